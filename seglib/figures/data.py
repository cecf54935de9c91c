"""What there is to learn from: sizes, shapes, places and colours of foreground; test images beside it; duplicates."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seglib.figures.style import (
    BLUE,
    GRAY,
    ORANGE,
    RED,
    STYLE,
    WIDTH,
    new_figure,
    percent_limit,
    show_image,
    whole_ticks,
)

COLOURS = ("red", "green", "blue")
MANY = 6  # parts; masks with as many or more share a bar
UNITS = dict.fromkeys(COLOURS, "mean level (0 to 255)")
UNITS |= {"contrast": "standard deviation (levels)", "saturation": "largest - smallest colour (levels)"}
UNITS |= {"detail": "share of the contrast", "grain": "share of the contrast"}
UNITS |= {"height": "pixels", "width": "pixels"}


@rc_context(STYLE)
def plot_data(table: pd.DataFrame) -> Figure:
    """Sizes and aspect ratios of the files.

    Args:
        table: one row per image with ``height`` and ``width``.
    """
    figure = new_figure(3.4)
    left, right = figure.subplots(1, 2)
    _draw_sizes(left, table)
    ratios = table["width"] / table["height"]
    low, high = min(1, ratios.min()) - 0.1, max(1, ratios.max()) + 0.1
    right.hist(ratios, bins=np.linspace(low, high, 32), color=BLUE)  # an odd number, so that squares lie on their line
    right.axvline(1, color=RED, linestyle="--", label="square")
    wide, tall = sum(ratios > 1), sum(ratios < 1)
    title = f"{wide} wide, {len(ratios) - wide - tall} square, {tall} tall"
    right.set(xlabel="aspect ratio (width / height)", ylabel="images", title=title)
    right.locator_params(axis="x", nbins=6)
    whole_ticks(right.yaxis)
    right.legend(frameon=False)
    return figure


@rc_context(STYLE)
def plot_shapes(table: pd.DataFrame) -> Figure:
    """How large foreground is, how compact, of how many parts, and how often the image's border cuts it.

    Args:
        table: one row per mask with ``mask_share`` in [0, 1], ``compactness`` in [0, 1] (not a number where the mask is
            empty), ``parts`` and ``border_sides`` (0 to 4).
    """
    figure = new_figure(5.8)
    (share, compactness), (parts, sides) = figure.subplots(2, 2)
    percent = 100 * table["mask_share"]
    share.hist(percent, bins=_edges(0, percent_limit(table["mask_share"]), len(table)), color=BLUE)
    _mark_middle(share, percent, " %")
    share.set(xlabel="foreground (% of the image)", ylabel="masks", title="How large foreground is")
    compactness.hist(table["compactness"].dropna(), bins=_edges(0, 1, len(table)), color=BLUE)
    for value, name, style in ((1, "disc 1", ":"), (np.pi / 4, "square 0.79", "-.")):
        compactness.axvline(value, color=GRAY, linestyle=style, label=name)
    compactness.set(xlabel="compactness of the largest part (ragged 0 to round 1)", ylabel="masks")
    compactness.set(title="How compact foreground is")
    compactness.legend(frameon=False, loc="upper left")
    whole_ticks(compactness.yaxis)
    several = f"{sum(table['parts'] > 1)} of {len(table)} masks have several parts"
    _draw_counts(parts, table["parts"].clip(upper=MANY), [*map(str, range(MANY)), f"{MANY} or more"])
    parts.set(xlabel="connected parts", ylabel="masks", title=several)
    touching = f"{sum(table['border_sides'] > 0)} of {len(table)} masks touch the border"
    _draw_counts(sides, table["border_sides"], list("01234"))
    sides.set(xlabel="sides of the image that foreground touches", ylabel="masks", title=touching)
    return figure


@rc_context(STYLE)
def plot_sizes(scores: pd.DataFrame, size: int) -> Figure:
    """How well masks can be found by networks that see the images at different sizes.

    Args:
        scores: of ``resolution.prepare_sizes``: Dice in [0, 1], one row per mask (not a number where it is empty), one
            column per size.
        size: the one that the network sees, in pixels.
    """
    figure = new_figure(3.4)
    ax = figure.subplots()
    means, low = scores.mean(), scores.quantile(0.05)
    ax.fill_between(scores.columns, low, scores.quantile(0.95), color=BLUE, alpha=0.2, label="nine in ten masks")
    ax.plot(scores.columns, means, color=BLUE, marker="o", label="mean")
    for where, mean in means.dropna().items():
        ax.annotate(f"{mean:.3f}", (where, mean), (0, -14), textcoords="offset points", ha="center", fontsize=8)
    ax.axvline(size, color=RED, linestyle="--", label=f"the network: {size} pixels")
    ax.set(xlabel="side of what the network sees (pixels)", ylabel="Dice that can be had", xticks=scores.columns)
    ax.set_title(f"What {len(scores.dropna())} masks keep at each size")
    ax.set_ylim(min(0.9, np.nan_to_num(low.min(), nan=1) - 0.05), 1.01)
    ax.legend(frameon=False, loc="lower right")
    return figure


@rc_context(STYLE)
def plot_orientation(share: pd.DataFrame, limit: float) -> Figure:
    """How many pictures are told from themselves mirrored or turned: whether a set has a way up.

    Args:
        share: of ``orientation.share_told``: in [0, 1], a row for each change, columns ``image`` and ``mask``; not a
            number where there are too few.
        limit: the share from which on the set has no such symmetry.
    """
    figure = new_figure(2.6)
    ax = figure.subplots()
    rows = np.arange(len(share))
    for kind, color, marker, up in (("image", BLUE, "o", -0.12), ("mask", ORANGE, "s", 0.12)):
        ax.plot(100 * share[kind], rows + up, marker, color=color, label=f"by the {kind}", zorder=4)
        for row, value in zip(rows + up, 100 * share[kind], strict=True):
            at, words = (0, "too few") if np.isnan(value) else (value, f"{value:.0f} %")
            text = ax.annotate(words, (at, row), (8, 0), textcoords="offset points", va="center", fontsize=8)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})  # no line strikes it through
    ax.axvline(50, color=GRAY, linestyle=":", label="chance")
    ax.axvline(100 * limit, color=RED, linestyle="--", label=f"from {100 * limit:.0f} % on: not a symmetry")
    ax.set(xlim=(0, 110), ylim=(len(share) - 0.5, -0.5), xlabel="told from themselves changed (% of the pictures)")
    ax.set_yticks(rows, [name.replace("_", " ") for name in share.index])
    ax.set_title("Which changes can be told?")
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


@rc_context(STYLE)
def plot_mean_mask(mean_mask: np.ndarray) -> Figure:
    """Where foreground lies: the share of samples that have it at each place.

    Args:
        mean_mask: float (S, S) in [0, 1].
    """
    figure = Figure(figsize=(5, 3.8), layout="constrained")
    ax = figure.subplots()
    limit = percent_limit(mean_mask.ravel())
    picture = ax.imshow(100 * mean_mask, cmap="cividis", vmin=0, vmax=limit, extent=(0, 100, 100, 0))
    ax.set(xlabel="across (% of the width)", ylabel="down (% of the height)", title="Where foreground lies")
    ax.grid(False)
    figure.colorbar(picture, ax=ax, label="samples with foreground here (%)")
    return figure


@rc_context(STYLE)
def plot_colours(table: pd.DataFrame) -> Figure:
    """Mean levels of foreground and background, and how far the two lie apart in each image.

    Args:
        table: one row per sample with ``foreground_red`` and so on, ``background_red`` and so on (0 to 255; not a
            number where there is none), and ``gray``: where it is true in all rows one channel is drawn, else three.
    """
    channels = COLOURS[:1] if table["gray"].all() else COLOURS
    figure = new_figure(3.4 if len(channels) == 1 else 5.8)
    axes = figure.subplots(len(channels) // 2 + 1, 2).ravel()
    for ax, channel in zip(axes, channels, strict=False):
        levels = (table[f"foreground_{channel}"], table[f"background_{channel}"])
        _draw_two(ax, *levels, _edges(0, 255, len(table)), ("foreground", "background"))
        name = "Brightness" if len(channels) == 1 else channel.capitalize()
        ax.set(xlabel="mean level within an image (0 to 255)", ylabel="images", title=name)
        whole_ticks(ax.yaxis)
    axes[0].legend(frameon=False)
    light = (table[[f"{part}_{channel}" for channel in channels]].mean(axis=1) for part in ("foreground", "background"))
    _draw_contrast(axes[-1], next(light) - next(light))
    return figure


@rc_context(STYLE)
def plot_drift(train: pd.DataFrame, test: pd.DataFrame, facts: Mapping[str, Any]) -> Figure:
    """The traits of training and test images, those whose means differ most first; one that never varies is named only.

    Args:
        train: one row per training image.
        test: one row per test image.
        facts: of ``drift.measure_drift``.
    """
    values = {name: pd.concat([train[name], test[name]]).dropna() for name in facts["differences"]}
    varied = [name for name in values if values[name].nunique() > 1]
    columns = 2 if len(varied) in (1, 2, 4) else 3
    rows = max(1, -(-len(varied) // columns))
    figure = new_figure(1.1 + 2.1 * rows)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax, name in zip(axes, varied, strict=False):
        bins = _edges(values[name].min(), values[name].max(), min(len(train), len(test) or len(train)) // 4)
        _draw_two(ax, train[name], test[name], bins, ("training", "test"), percent=True)
        word, d = "brightness" if facts["gray"] and name == "red" else name, facts["differences"][name]
        title = word if np.isnan(d) else f"{word}: d = {d:+.2f}"
        ax.set(xlabel=UNITS[name], ylabel="images (%)", title=title)
        ax.locator_params(nbins=6)
    for ax in axes[len(varied) :]:
        ax.set_axis_off()
    if varied:
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(_drift_title(facts, [name for name in values if name not in varied]), fontsize=10)
    return figure


def _drift_title(facts: Mapping[str, Any], constant: Sequence[str]) -> str:
    answer = f"AUC {facts['auc']:.2f}, 95 % interval {facts['low']:.2f} to {facts['high']:.2f} (0.5: no, 1: always)"
    if np.isnan(facts["auc"]):
        answer = f"Too few to say ({facts['train_images']} training, {facts['test_images']} test)"
    notes = ["d: by how many standard deviations the mean of the test images is higher"]
    notes += [f"the same in all images: {', '.join(constant)}"] if constant else []
    return f"Can test images be told from training images? {answer}\n{'; '.join(notes)}"


@rc_context(STYLE)
def plot_duplicates(
    images_first: Sequence[np.ndarray], images_second: Sequence[np.ndarray], titles: Sequence[str]
) -> Figure:
    """Pairs of near-duplicates side by side, two pairs in a row.

    Args:
        images_first: uint8 (H, W, C) with C 1 or 3; sizes may differ.
        images_second: the other image of each pair, alike.
        titles: one line for each pair.
    """
    if not titles:
        figure = new_figure(0.6)
        figure.suptitle("No near-duplicates", fontsize=10)
        return figure
    rows = -(-len(titles) // 2)
    tallest = min(1.5, max(image.shape[0] / image.shape[1] for image in (*images_first, *images_second)))
    figure = new_figure(rows * (0.5 + WIDTH / 4 * tallest))
    cells = figure.subfigures(rows, 2, squeeze=False, wspace=0.04).ravel()
    for cell, *pair, title in zip(cells, images_first, images_second, titles, strict=False):
        cell.suptitle(title, fontsize=9, parse_math=False)  # file names may hold a $
        for ax, image in zip(cell.subplots(1, 2), pair, strict=True):
            ax.set_axis_off()
            ax.set_anchor("N")  # below the title, where the two differ in shape
            show_image(ax, image, "")
    return figure


def _draw_sizes(ax: Axes, table: pd.DataFrame) -> None:
    """A dot for each size of file, larger where more files have it."""
    counts = table.groupby(["width", "height"]).size()
    widths, heights = (counts.index.get_level_values(name).to_numpy() for name in ("width", "height"))
    ax.scatter(widths, heights, s=20 + 180 * counts / counts.max(), color=BLUE, alpha=0.6)
    title = f"{len(counts)} sizes of file (larger dot: more files)"
    if len(counts) == 1:
        title = f"All {len(table)} files are {widths[0]} x {heights[0]} pixels"
    ax.set(xlabel="width (pixels)", ylabel="height (pixels)", title=title)
    ax.set(xlim=(0, 1.15 * max(widths, default=1)), ylim=(0, 1.15 * max(heights, default=1)))


def _mark_middle(ax: Axes, values: pd.Series, unit: str) -> None:
    for value, name, style in ((values.mean(), "mean", "--"), (values.median(), "median", ":")):
        ax.axvline(value, color=RED, linestyle=style, label=f"{name} {value:.3g}{unit}")
    ax.legend(frameon=False)
    whole_ticks(ax.yaxis)


def _draw_counts(ax: Axes, numbers: pd.Series, names: Sequence[str]) -> None:
    """A bar for each whole number from 0, with its count above it."""
    counts = np.bincount(numbers.astype(int), minlength=len(names))
    ax.bar_label(ax.bar(names, counts, color=BLUE), fontsize=8)
    ax.margins(y=0.12)
    ax.grid(False, axis="x")
    whole_ticks(ax.yaxis)


def _draw_two(
    ax: Axes, first: pd.Series, second: pd.Series, bins: np.ndarray, names: tuple[str, str], *, percent: bool = False
) -> None:
    """Two histograms that stay readable on top of each other: the first filled, the second a line."""
    looks = ({"color": BLUE, "alpha": 0.35}, {"color": ORANGE, "histtype": "step", "linewidth": 2})
    for values, name, look in zip((first.dropna(), second.dropna()), names, looks, strict=True):
        if len(values):
            weights = np.full(len(values), 100 / len(values) if percent else 1)
            ax.hist(values, bins, weights=weights, label=name, **look)


def _draw_contrast(ax: Axes, contrast: pd.Series) -> None:
    """Foreground less background in each image; its sign is what a threshold could rest on."""
    limit = 10 + np.nan_to_num(contrast.abs().max())
    ax.hist(contrast.dropna(), bins=_edges(-limit, limit, len(contrast)), color=BLUE)
    ax.axvline(0, color=RED, linestyle="--", label="equally light")
    darker, count = sum(contrast < 0), contrast.count()
    ax.set(xlabel="foreground - background (levels)", ylabel="images")
    ax.set_title(f"Foreground is darker in {darker} of {count} images")
    ax.legend(frameon=False)
    whole_ticks(ax.yaxis)


def _edges(low: float, high: float, count: int) -> np.ndarray:
    """Of bins: 10 to 40 of them, the more the more values there are; an even number, so that 0 may be an edge."""
    return np.linspace(low, high, 2 * int(np.clip(np.sqrt(count), 5, 20)) + 1)
