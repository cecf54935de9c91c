"""What there is to learn from: sizes, shares of foreground, where it lies."""

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from seglib.figures.style import BLUE, RED, STYLE, new_figure


@rc_context(STYLE)
def plot_data(table: pd.DataFrame) -> Figure:
    """Sizes of the files and share of foreground.

    Args:
        table: one row per training sample with ``height``, ``width`` and ``mask_share`` in [0, 1].
    """
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2)
    counts = table.groupby(["width", "height"]).size()
    widths, heights = counts.index.get_level_values(0), counts.index.get_level_values(1)
    title = "All files have one size" if len(counts) == 1 else f"{len(counts)} sizes of file (larger dot: more files)"
    left.scatter(widths, heights, s=20 + 180 * counts / counts.max(), color=BLUE, alpha=0.6)
    left.set(xlabel="width (pixels)", ylabel="height (pixels)", title=title)
    left.set(xlim=(0, widths.max() * 1.15), ylim=(0, heights.max() * 1.15))
    right.hist(100 * table["mask_share"], bins=np.linspace(0, 100, 26), color=BLUE)
    mean = 100 * table["mask_share"].mean()
    right.axvline(mean, color=RED, linestyle="--", label=f"mean {mean:.0f} %")
    right.set(xlabel="foreground (% of the image)", ylabel="images", title="How much is foreground")
    right.legend(frameon=False)
    return figure


@rc_context(STYLE)
def plot_mean_mask(mean_mask: np.ndarray) -> Figure:
    """Where foreground lies: the share of samples that have it at each place.

    Args:
        mean_mask: float (S, S) in [0, 1].
    """
    figure = Figure(figsize=(5, 3.8), layout="constrained")
    ax = figure.subplots()
    picture = ax.imshow(100 * mean_mask, cmap="cividis", vmin=0, vmax=100, extent=(0, 100, 100, 0))
    ax.set(xlabel="across (% of the width)", ylabel="down (% of the height)", title="Where foreground lies")
    ax.grid(False)
    figure.colorbar(picture, ax=ax, label="samples with foreground here (%)")
    return figure
