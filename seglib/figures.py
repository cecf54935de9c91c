"""Tables and arrays -> matplotlib figures. matplotlib lives here only; nothing is shown, everything is returned."""

import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

# Okabe and Ito 2008: told apart by colour-blind readers and in gray print
BLUE, ORANGE, GREEN, RED, GRAY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#5A5A5A"
WIDTH = 9.0  # inches: the width of a notebook's cell
THUMBNAIL = 600  # pixels: longest side that is drawn in a panel
STYLE = {"axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "font.size": 10}


def save_figure(figure: Figure, path: Path, caption: str) -> Figure:
    """Write a figure as PNG, whole or not at all, with its caption inside the file (``Description``).

    Returns:
        The figure, so that a notebook's cell can end with this call and show it.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110, metadata={"Description": caption})
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(picture.getvalue())
    os.replace(part, path)
    return figure


@rc_context(STYLE)
def plot_samples(images: Sequence[np.ndarray], masks: Sequence[np.ndarray], titles: Sequence[str]) -> Figure:
    """A contact sheet: each image with the contour of its mask.

    Args:
        images: uint8 (H, W, C) with C 1 or 3; sizes may differ.
        masks: uint8 (H, W) in {0, 1}, sizes as the images'.
        titles: one line each.
    """
    figure, axes = _image_grid(len(images), columns=4)
    for ax, image, mask, title in zip(axes, images, masks, titles, strict=False):
        _show(ax, image, title)
        _outline(ax, mask, ORANGE)
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
    figure, axes = _image_grid(len(images), columns=4)
    for number, (ax, image, pred, title) in enumerate(zip(axes, images, preds, titles, strict=False)):
        _show(ax, image, title)
        if masks is not None:
            _outline(ax, masks[number], ORANGE, linestyles="dashed")
        _outline(ax, pred, BLUE)
    _legend(figure, {"prediction": (BLUE, "-")} | ({"reference": (ORANGE, "--")} if masks is not None else {}))
    return figure


@rc_context(STYLE)
def plot_data(table: pd.DataFrame) -> Figure:
    """Sizes of the files and share of foreground.

    Args:
        table: one row per training sample with ``height``, ``width`` and ``mask_share`` in [0, 1].
    """
    figure = _figure(3.2)
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


@rc_context(STYLE)
def plot_history(histories: Sequence[pd.DataFrame], best_epochs: Sequence[int]) -> Figure:
    """Loss, Dice and learning rate by epoch, the best epochs as dashed lines; the networks of a run lie together.

    Args:
        histories: for each network one row per epoch: ``epoch``, ``train_loss``, ``val_loss``, ``val_dice``, ``lr``.
        best_epochs: for each network the epoch whose weights are kept.
    """
    figure = _figure(3.2)
    loss, dice, rate = figure.subplots(1, 3)
    dots = {"marker": "o", "markersize": 3, "alpha": 1 if len(histories) == 1 else 0.6}
    for number, history in enumerate(histories):
        training, validation = ("training", "validation") if number == 0 else (None, None)  # one legend for all
        loss.plot(history["epoch"], history["train_loss"], color=BLUE, label=training, **dots)
        loss.plot(history["epoch"], history["val_loss"], color=ORANGE, label=validation, **dots)
        dice.plot(history["epoch"], history["val_dice"], color=ORANGE, label=validation, **dots)
        rate.step(history["epoch"], history["lr"], color=GRAY, where="mid")
    loss.set(title="Loss (falls)", ylabel="loss of training")
    dice.set(title="Dice (rises)", ylabel="mean Dice per image, network size")
    rate.set(title="Learning rate", ylabel="learning rate", yscale="log")
    epochs = sorted(set(best_epochs))
    for ax in (loss, dice, rate):
        for number, epoch in enumerate(epochs):
            name = f"best epoch {', '.join(map(str, epochs))}" if number == 0 else None
            ax.axvline(epoch, color=GREEN, linestyle="--", label=name)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
    loss.legend(frameon=False)
    dice.legend(frameon=False)
    return figure


@rc_context(STYLE)
def plot_scores(scores: pd.DataFrame) -> Figure:
    """How the images' Dice is spread, and whether it depends on the size of the mask.

    Args:
        scores: one row per image with ``dice`` in [0, 1], ``target_area`` and ``pixels``.
    """
    figure = _figure(3.2)
    left, right = figure.subplots(1, 2)
    left.hist(scores["dice"], bins=np.linspace(0, 1, 41), color=BLUE)
    for value, name, style in ((scores["dice"].mean(), "mean", "--"), (scores["dice"].median(), "median", ":")):
        left.axvline(value, color=RED, linestyle=style, label=f"{name} {value:.3f}")
    left.set(xlabel="Dice of an image, at the size of its file", ylabel="images", title="How the scores are spread")
    left.legend(frameon=False, loc="upper left")
    share = 100 * scores["target_area"] / scores["pixels"]
    right.scatter(share, scores["dice"], s=12, color=BLUE, alpha=0.5)
    right.set(xlabel="foreground in the reference (% of the image)", ylabel="Dice", title="Dice against size")
    right.set_ylim(-0.02, 1.02)
    return figure


@rc_context(STYLE)
def plot_calibration(before: np.ndarray, after: np.ndarray) -> Figure:
    """Reliability: of the pixels that say 30 %, how many are foreground, and how many pixels say so.

    Args:
        before: table of ``calibration.count_bins``, (bins, 3): pixels, sum of probability, sum of mask.
        after: the same after temperature scaling. Bins with less than 0.01 % of the pixels have no point on the curve.
    """
    figure = Figure(figsize=(5.4, 5.6), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.plot((0, 100), (0, 100), color=GRAY, linestyle="--", linewidth=1, label="probability = share")
    edges = np.linspace(0, 100, len(before) + 1)
    for table, name, color, marker in ((before, "as predicted", ORANGE, "s"), (after, "after temperature", BLUE, "o")):
        share = table[:, 0] / max(table[:, 0].sum(), 1e-12)  # references without an edge have no pixels round it
        pixels, probability, foreground = table[share > 1e-4].T  # fewer are chance
        line = {"color": color, "marker": marker, "markersize": 4, "linewidth": 1.4, "label": name}
        top.plot(100 * probability / pixels, 100 * foreground / pixels, **line)
        below.stairs(100 * share, edges, color=color, linewidth=1.6)
    top.set(ylabel="foreground among them (%)", title="Do the probabilities mean what they say?", ylim=(-2, 102))
    top.legend(frameon=False, loc="upper left")
    # most pixels are easy background: on a linear scale the others would be a flat line
    scale = "log" if before[:, 0].any() else "linear"
    below.set(xlabel="probability of the pixels (%)", ylabel="pixels (%)", yscale=scale, xlim=(-2, 102))
    below.set_title("How many pixels say so")
    below.yaxis.set_major_formatter("{x:g}")
    return figure


@rc_context(STYLE)
def plot_areas(val_share: Sequence[float], test_share: Sequence[float]) -> Figure:
    """Predicted foreground on the test images beside the references of the training images.

    Args:
        val_share: share of foreground in each reference, in [0, 1].
        test_share: the same in each predicted test mask.
    """
    figure = _figure(2.8)
    ax = figure.subplots()
    bins = np.linspace(0, 100, 26)
    for share, name, color in ((val_share, "training references", ORANGE), (test_share, "test predictions", BLUE)):
        weights = np.full(len(share), 100 / max(1, len(share)))
        ax.hist(100 * np.asarray(share), bins, weights=weights, histtype="step", linewidth=2, color=color, label=name)
    ax.set(xlabel="foreground (% of the image)", ylabel="images (%)", title="Is as much found as there should be?")
    ax.legend(frameon=False)
    return figure


@rc_context(STYLE)
def plot_rules(sensitivity: Sequence[dict], chosen: dict) -> Figure:
    """Mean Dice against the threshold, by what is done after it; the chosen rules are ringed.

    Args:
        sensitivity: of ``rules.describe_rules``: for each candidate its rules, ``dice`` and ``standard_error``.
        chosen: the rules that are used: ``threshold``, ``fill_holes``, ``smallest_area``, ``largest_only``.
    """
    table = pd.DataFrame(list(sensitivity))
    after = ["fill_holes", "smallest_area", "largest_only"]
    figure = _figure(3.4)
    ax = figure.subplots()
    kinds = {"threshold alone": (False, 0.0, False), "+ holes filled": (True, 0.0, False)}
    kinds |= {"+ largest part only": (False, 0.0, True), "+ holes filled, largest part only": (True, 0.0, True)}
    small = table.loc[~table["fill_holes"] & (table["smallest_area"] > 0), "smallest_area"].max()
    kinds[f"+ parts below {100 * small:g} % of the image removed"] = (False, small, False)
    picked = tuple(chosen[name] for name in after)
    kinds |= {"chosen": picked} if picked not in kinds.values() else {}
    colors, styles = (BLUE, GREEN, ORANGE, RED, GRAY, "black"), ("-", "--", "-.", ":", (0, (5, 1)), "-")
    for (name, kind), color, style in zip(kinds.items(), colors, styles, strict=False):
        rows = table[(table[after] == pd.Series(kind, after)).all(axis=1)].sort_values("threshold")
        ax.plot(rows["threshold"], rows["dice"], color=color, linestyle=style, label=name)
        if name == "threshold alone":
            low, high = rows["dice"] - rows["standard_error"], rows["dice"] + rows["standard_error"]
            ax.fill_between(rows["threshold"], low, high, color=color, alpha=0.15, label="standard error of the change")
    used = table[(table[[*after, "threshold"]] == pd.Series(chosen)[[*after, "threshold"]]).all(axis=1)]
    ring = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 1.6}
    ax.plot(used["threshold"], used["dice"], "o", label="used on the test images", **ring)
    ax.set(xlabel="threshold (probability)", ylabel="mean Dice per image", title="How much do the rules matter?")
    low, high = table["dice"].min(), table["dice"].max()
    if low < high - 0.05:  # one part of two lungs is far off; the others are what there is to choose from
        ax.set_ylim(high - 0.05, high + 0.005)
        ax.set_title("How much do the rules matter? (more than 0.05 below the best is not shown)", fontsize=10)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _figure(height: float) -> Figure:
    """An empty figure that belongs to nobody's global state."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def _image_grid(count: int, *, columns: int) -> tuple[Figure, list[Axes]]:
    rows = max(1, -(-count // columns))
    figure = Figure(figsize=(WIDTH, rows * WIDTH / columns * 1.08), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes:
        ax.set_axis_off()
    return figure, axes


def _thin(pixels: np.ndarray) -> np.ndarray:
    """Every k-th pixel, so that at most THUMBNAIL are left on a side: a panel is no larger on paper."""
    step = -(-max(pixels.shape[:2]) // THUMBNAIL)
    return pixels[::step, ::step]


def _show(ax: Axes, image: np.ndarray, title: str) -> None:
    small = _thin(image)
    ax.imshow(small[..., 0] if small.shape[-1] == 1 else small, cmap="gray", vmin=0, vmax=255)
    ax.set_title(title, fontsize=8)


def _outline(ax: Axes, mask: np.ndarray, color: str, **line: str) -> None:
    """The border of a mask; nothing where it is empty or full, since there is none."""
    small = _thin(mask)
    if 0 < small.mean() < 1:
        ax.contour(small, levels=[0.5], colors=[color], linewidths=1.4, **line)


def _legend(figure: Figure, names: dict[str, tuple[str, str]]) -> None:
    lines = [Line2D([], [], color=color, linestyle=style, label=name) for name, (color, style) in names.items()]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), frameon=False)
