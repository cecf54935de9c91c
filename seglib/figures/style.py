"""The one style of all figures: colours, sizes, panels, contours, and how a figure is saved."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from seglib.writing import write_whole

# Okabe and Ito 2008: told apart by colour-blind readers and in gray print
BLUE, ORANGE, GREEN, RED, PURPLE, GRAY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#5A5A5A"
WIDTH = 9.0  # inches: the width of a notebook's cell
PERCENT_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
THUMBNAIL = 600  # pixels: longest side that is drawn in a panel
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 10}


def save_figure(figure: Figure, path: Path, caption: str) -> Figure:
    """Write a figure as PNG, whole or not at all, with its caption inside the file (``Description``).

    Returns:
        The figure, so that a notebook's cell can end with this call and show it.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, metadata={"Description": caption})
    with write_whole(path) as part:
        part.write_bytes(picture.getvalue())
    return figure


def clear_figures(output_dir: Path, number: str) -> None:
    """Remove the figures that an earlier execution of a notebook left: one that it draws no more would be out of date.

    Args:
        output_dir: the folder of the run.
        number: of the notebook, such as "04".
    """
    for path in (output_dir / "figures").glob(f"{number}_*.png"):
        path.unlink(missing_ok=True)


def new_figure(height: float) -> Figure:
    """An empty figure that belongs to nobody's global state."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def percent_limit(shares: Iterable[float]) -> float:
    """Upper end of a scale in percent: the smallest step that holds all shares, so that small ones can be told apart.

    Args:
        shares: in [0, 1].

    Example:
        >>> percent_limit([0.004, 0.03]), percent_limit([0.7]), percent_limit([])
        (5, 100, 100)
    """
    highest = 100 * max(shares, default=0)
    return next((step for step in PERCENT_STEPS if 0 < highest <= step), 100)


def image_grid(count: int, *, columns: int) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` square panels without axes, row by row; the last row may have empty ones."""
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(WIDTH, rows * WIDTH / columns * 1.08), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes:
        ax.set_axis_off()
    return figure, axes


def thin(pixels: np.ndarray) -> np.ndarray:
    """Every k-th pixel, so that at most THUMBNAIL are left on a side: a panel is no larger on paper.

    Of a strip more are left: nothing is made narrower than 2 pixels.
    """
    height, width = pixels.shape[:2]
    step = max(1, min(-(-max(height, width) // THUMBNAIL), min(height, width) // 2))
    return pixels[::step, ::step]


def show_image(ax: Axes, image: np.ndarray, title: str) -> None:
    """Draw an image, uint8 (H, W, C) with C 1 or 3, under its title."""
    small = thin(image)
    ax.imshow(small[..., 0] if small.shape[-1] == 1 else small, cmap="gray", vmin=0, vmax=255)
    ax.set_title(title, fontsize=8, parse_math=False)  # file names may hold a $


def outline(ax: Axes, mask: np.ndarray, color: str, **line: str) -> None:
    """The border of a mask, along the frame of the image where the mask reaches it; nothing where it is empty."""
    small = np.pad(thin(mask), 1)  # else what fills the image has no border, and looks as if nothing were there
    if small.any():
        ax.autoscale(False)  # the frame of pixels is not for the eye
        columns, rows = np.arange(small.shape[1]) - 1, np.arange(small.shape[0]) - 1
        lines = ax.contour(columns, rows, small, levels=[0.5], colors=[color], linewidths=1.4, **line)
        lines.set_clip_on(False)  # a line on the frame is as thick as any other


def whole_ticks(axis: Axis) -> None:
    """There are no halves of images or epochs; for an axis whose data are drawn."""
    low, high = axis.get_view_interval()
    fewest = 1 if high - low < 2 else 2  # halves come back where there are not as many whole numbers
    axis.get_major_locator().set_params(integer=True, min_n_ticks=fewest)


def plain_ticks(ax: Axes, *, decades: float = 2.5) -> None:
    """0.2 instead of 2 x 10^-1 along a logarithmic y, for axes whose data are drawn.

    Args:
        ax: left as it is where y is not logarithmic.
        decades: on longer axes 2 and 5 have no room between the powers of ten.
    """
    if ax.get_yscale() == "log":
        low, high = ax.get_ylim()
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter("{x:g}" if np.log10(high / low) < decades else NullFormatter())


def legend_below(figure: Figure, names: dict[str, tuple[str, str]]) -> None:
    """One legend under all panels: name -> colour and line style."""
    lines = [Line2D([], [], color=color, linestyle=style, label=name) for name, (color, style) in names.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
