"""Images with contours of masks, and how large masks are."""

from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from seglib.figures.style import BLUE, ORANGE, STYLE, image_grid, legend_below, new_figure, outline, show_image


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
def plot_areas(val_share: Sequence[float], test_share: Sequence[float]) -> Figure:
    """Predicted foreground on the test images beside the references of the training images.

    Args:
        val_share: share of foreground in each reference, in [0, 1].
        test_share: the same in each predicted test mask.
    """
    figure = new_figure(2.8)
    ax = figure.subplots()
    bins = np.linspace(0, 100, 26)
    for share, name, color in ((val_share, "training references", ORANGE), (test_share, "test predictions", BLUE)):
        weights = np.full(len(share), 100 / max(1, len(share)))
        ax.hist(100 * np.asarray(share), bins, weights=weights, histtype="step", linewidth=2, color=color, label=name)
    ax.set(xlabel="foreground (% of the image)", ylabel="images (%)", title="Is as much found as there should be?")
    ax.legend(frameon=False)
    return figure
