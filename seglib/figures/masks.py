"""Images with contours of masks, and how large masks are."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from seglib.figures.style import (
    BLUE,
    GRAY,
    ORANGE,
    STYLE,
    WIDTH,
    image_grid,
    legend_below,
    new_figure,
    outline,
    percent_limit,
    show_image,
    thin,
)

# colours as the contours', and how much they cover of the image below
ERRORS = {"found": (GRAY, 0.65), "missed (false negative)": (ORANGE, 0.8), "added (false positive)": (BLUE, 0.8)}
PANEL, TEXT = 2.3, 27  # inches: width of a panel of `plot_errors`; letters in a line beside it


@rc_context(STYLE)
def plot_samples(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """A contact sheet: each image with the contour of its mask.

    Args:
        images: uint8 (H, W, C) with C 1 or 3; sizes may differ.
        masks: uint8 (H, W) in {0, 1}, sizes as the images'.
        titles: one line each.
    """
    figure, axes = image_grid(len(images), columns=4)
    for ax, image, mask, title in zip(axes, images, masks, titles, strict=False):
        show_image(ax, image, title)
        outline(ax, mask, ORANGE)
    return figure


@rc_context(STYLE)
def plot_predictions(
    images: Sequence[np.ndarray],
    preds: Sequence[np.ndarray],
    titles: Sequence[str],
    *,
    masks: Sequence[np.ndarray] | None = None,
) -> Figure:
    """Images with the contour of the prediction (blue) and, where it is known, of the reference (orange, dashed).

    Args:
        images: uint8 (H, W, C).
        preds: uint8 (H, W) in {0, 1}.
        titles: one line each.
        masks: references, uint8 (H, W) in {0, 1}.
    """
    figure, axes = image_grid(len(images), columns=4)
    for number, (ax, image, pred, title) in enumerate(zip(axes, images, preds, titles, strict=False)):
        show_image(ax, image, title)
        if masks is not None:
            outline(ax, masks[number], ORANGE, linestyles="dashed")
        outline(ax, pred, BLUE)
    legend_below(figure, {"prediction": (BLUE, "-")} | ({"reference": (ORANGE, "--")} if masks is not None else {}))
    return figure


@rc_context(STYLE)
def plot_errors(
    images: Sequence[np.ndarray], preds: Sequence[np.ndarray], masks: Sequence[np.ndarray], titles: Sequence[str]
) -> Figure:
    """Where masks are wrong: in each row an image, the contours on it, and what was found, missed and added.

    Args:
        images: uint8 (H, W, C) with C 1 or 3; sizes may differ.
        preds: uint8 (H, W) in {0, 1}.
        masks: references, uint8 (H, W) in {0, 1}.
        titles: what stands beside each row; long lines are broken.
    """
    # no row fills the screen, and none is lower than three lines of text
    shapes = [PANEL * min(1, max(0.25, image.shape[0] / image.shape[1])) for image in images]
    figure = Figure(figsize=(WIDTH, sum(shapes) + 0.1 * len(shapes) + 0.6), layout="constrained")
    widths = (WIDTH - 3 * PANEL, PANEL, PANEL, PANEL)
    rows = figure.subplots(len(images), 4, squeeze=False, height_ratios=shapes, width_ratios=widths)
    for row, image, pred, mask, title in zip(rows, images, preds, masks, titles, strict=True):
        for ax in row:
            ax.set_axis_off()
        text = "\n".join(textwrap.fill(line, TEXT) for line in title.splitlines())
        row[0].text(0, 0.5, text, fontsize=9, verticalalignment="center", parse_math=False)
        show_image(row[1], image, "")
        show_image(row[2], image, "")
        outline(row[2], mask, ORANGE, linestyles="dashed")
        outline(row[2], pred, BLUE)
        show_image(row[3], paint_errors(thin(image), thin(pred), thin(mask)), "")
    for ax, name in zip(rows[0, 1:], ("image", "contours", "errors"), strict=True):
        ax.set_title(name, fontsize=10)
    lines = {"reference": (ORANGE, "--"), "prediction": (BLUE, "-")}
    handles = [Line2D([], [], color=color, linestyle=style, label=name) for name, (color, style) in lines.items()]
    handles += [Patch(facecolor=color, alpha=alpha, label=name) for name, (color, alpha) in ERRORS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def paint_errors(image: np.ndarray, pred: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A pale gray image, and on it what was found, missed and added: uint8 (H, W, 3).

    Args:
        image: uint8 (H, W, C) with C 1 or 3.
        pred: uint8 (H, W) in {0, 1}.
        mask: reference, same shape.
    """
    light = 215 + image.mean(axis=2, keepdims=True) / 7  # black too is far lighter than what was found
    painted = np.repeat(light, 3, axis=2)
    found = (pred > 0) & (mask > 0)
    parts = (found, (mask > 0) & ~found, (pred > 0) & ~found)
    for part, (color, alpha) in zip(parts, ERRORS.values(), strict=True):
        painted[part] = (1 - alpha) * painted[part] + alpha * 255 * np.array(to_rgb(color))
    return painted.astype(np.uint8)


@rc_context(STYLE)
def plot_areas(val_share: Sequence[float], test_share: Sequence[float]) -> Figure:
    """Predicted foreground on the test images beside the references of the training images.

    Args:
        val_share: share of foreground in each reference, in [0, 1].
        test_share: the same in each predicted test mask.
    """
    figure = new_figure(2.8)
    ax = figure.subplots()
    bins = np.linspace(0, percent_limit([*val_share, *test_share]), 26)
    # one filled and one a line, as the better the network the more exactly the two lie on each other
    looks = ({"histtype": "stepfilled", "alpha": 0.5, "color": ORANGE, "label": "training references"},)
    looks += ({"histtype": "step", "linewidth": 2, "color": BLUE, "label": "test predictions"},)
    for share, look in zip((val_share, test_share), looks, strict=True):
        ax.hist(100 * np.asarray(share), bins, weights=np.full(len(share), 100 / max(1, len(share))), **look)
    ax.set(xlabel="foreground (% of the image)", ylabel="images (%)", title="Is as much found as there should be?")
    ax.legend(frameon=False)
    return figure
