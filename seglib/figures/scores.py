"""How good the masks are: distributions, calibration, the rules that make masks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from seglib.figures.style import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    STYLE,
    WIDTH,
    new_figure,
    plain_ticks,
    whole_ticks,
)

AFTER = ["fill_holes", "smallest_area", "largest_only", "smallest_core"]  # what may be done after the threshold
NO_RULES = (False, 0.0, False, 0.0)  # nothing is


@rc_context(STYLE)
def plot_scores(scores: pd.DataFrame) -> Figure:
    """How the images' Dice is spread, and whether it depends on the size of the mask.

    Args:
        scores: one row per image with ``dice`` in [0, 1], ``target_area`` and ``pixels``.
    """
    figure = new_figure(3.2)
    left, right = figure.subplots(1, 2)
    left.hist(scores["dice"], bins=np.linspace(0, 1, 41), color=BLUE)
    for value, name, style in ((scores["dice"].mean(), "mean", "--"), (scores["dice"].median(), "median", ":")):
        left.axvline(value, color=RED, linestyle=style, label=f"{name} {value:.3f}")
    left.set(xlabel="Dice of an image, at the size of its file", ylabel="images", title="How the scores are spread")
    whole_ticks(left.yaxis)
    _legend_below(left, columns=2)
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
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    # most pixels are easy background: on a linear scale the others would be a flat line
    scale = "log" if before[:, 0].any() else "linear"
    below.set(xlabel="probability of the pixels (%)", ylabel="pixels (%)", yscale=scale, xlim=(-2, 102))
    below.set_title("How many pixels say so")
    below.set_ylim(max(0.01, below.get_ylim()[0]) if scale == "log" else None)  # fewer have no point above either
    plain_ticks(below, decades=1.5)
    return figure


@rc_context(STYLE)
def plot_rules(sensitivity: Sequence[dict], chosen: dict) -> Figure:
    """Mean Dice against the threshold, by what is done after it; the chosen rules are ringed.

    Args:
        sensitivity: of ``choice.describe_rules``: for each candidate its rules, ``dice`` and ``standard_error``.
        chosen: the rules that are used: ``threshold``, ``fill_holes``, ``smallest_area``, ``largest_only``,
            ``smallest_core``.
    """
    table = pd.DataFrame(list(sensitivity))
    figure = new_figure(3.4)
    ax = figure.subplots()
    kinds = {"threshold alone": NO_RULES, "+ holes filled": (True, 0.0, False, 0.0)}
    kinds |= {"+ largest part only": (False, 0.0, True, 0.0), "+ holes filled, largest part": (True, 0.0, True, 0.0)}
    small = table["smallest_area"].max()
    kinds[f"+ parts below {100 * small:g} % of the image removed"] = (False, small, False, 0.0)
    cores = table[~table["fill_holes"] & (table["smallest_area"] == 0) & ~table["largest_only"]]
    core = cores.loc[cores["dice"].idxmax(), "smallest_core"]
    if core:  # helps only where some images show nothing
        kinds[f"+ nothing unless {100 * core:g} % of the image is sure"] = (False, 0.0, False, core)
    picked = tuple(chosen[name] for name in AFTER)
    kinds |= {"with the chosen steps": picked} if picked not in kinds.values() else {}
    colors = (BLUE, GREEN, ORANGE, RED, GRAY, PURPLE, "black")
    styles = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), "-")
    for (name, kind), color, style in zip(kinds.items(), colors, styles, strict=False):
        rows = table[(table[AFTER] == pd.Series(kind, AFTER)).all(axis=1)].sort_values("threshold")
        ax.plot(rows["threshold"], rows["dice"], color=color, linestyle=style, label=name)
        if name == "threshold alone":
            low, high = rows["dice"] - rows["standard_error"], rows["dice"] + rows["standard_error"]
            ax.fill_between(rows["threshold"], low, high, color=color, alpha=0.15, label="standard error of the change")
    used = table[(table[[*AFTER, "threshold"]] == pd.Series(chosen)[[*AFTER, "threshold"]]).all(axis=1)]
    ring = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": "black", "markeredgewidth": 1.6}
    ax.plot(used["threshold"], used["dice"], "o", label="chosen", clip_on=False, **ring)
    ax.set(xlabel="threshold (probability)", ylabel="mean Dice per image", title="How much do the rules matter?")
    floor = _find_floor(table, picked)
    if table["dice"].min() < floor:  # one part of two lungs is far off; the others are what there is to choose from
        best = table["dice"].max()
        ax.set_ylim(floor, best + 0.05 * (best - floor))
        ax.set_title(f"How much do the rules matter? (what is below {floor:.2f} is not shown)", fontsize=10)
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _find_floor(table: pd.DataFrame, picked: tuple) -> float:
    """The lowest Dice that is drawn: the whole line that is used is in the picture, and so is 0.5 alone."""
    alone, used = (table[(table[AFTER] == pd.Series(kind, AFTER)).all(axis=1)] for kind in (NO_RULES, picked))
    plain = alone.loc[(alone["threshold"] - 0.5).abs().idxmin(), "dice"]
    return min(table["dice"].max() - 0.05, plain - 0.005, used["dice"].min() - 0.005)


@rc_context(STYLE)
def plot_causes(comparison: pd.DataFrame, count: int) -> Figure:
    """What goes with a lower Dice, and with which kind of error.

    Args:
        comparison: of ``causes.compare_causes``.
        count: images in all.
    """
    rows = comparison.set_index(-np.arange(len(comparison)))  # the first on top
    figure = new_figure(1.5 + 0.42 * len(rows))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    _draw_differences(left, rows)
    for column, name, color, marker, up in (("fn", "missed", ORANGE, "o", 0.13), ("fp", "added", BLUE, "s", -0.13)):
        both = rows[rows["difference"].notna()]  # where every image or none has it there is nothing to compare
        without, having = (100 * both[f"{column}_{which}"] for which in ("without", "with"))
        right.hlines(both.index + up, without, having, color=color, linewidth=1.2)
        right.plot(without, both.index + up, marker, markerfacecolor="white", color=color, label=f"{name}, without it")
        right.plot(having, both.index + up, marker, color=color, label=f"{name}, with it")
    names = [f"{row.cause}\n({row.images} of {count})" for row in rows.itertuples()]
    left.set_yticks(rows.index, names, fontsize=9)
    left.set(ylabel="what images have (how many)", ylim=(rows.index.min() - 0.6, 0.6))
    left.set(xlabel="mean Dice with it - without it (95 % interval)", title="Which images score worse?")
    right.set(xlabel="part of the union of both masks (%)", title="What goes wrong there?", xlim=(0, None))
    for ax in (left, right):
        _legend_below(ax, columns=2)
    return figure


def _draw_differences(ax: Axes, rows: pd.DataFrame) -> None:
    """Dots with their intervals by what they tell; empty lines where every image or none has the cause."""
    ax.axvline(0, color=GRAY, linewidth=1)
    real, few = (rows["low"] > 0) | (rows["high"] < 0), rows["low"].isna() & rows["difference"].notna()
    for chosen, color, marker, name in (
        (real, RED, "o", "real"),
        (~real & rows["low"].notna(), BLUE, "s", "may be chance"),
    ):
        ax.plot(rows["difference"][chosen], rows.index[chosen], marker, color=color, label=name)
        ax.hlines(rows.index[chosen], rows["low"][chosen], rows["high"][chosen], color=color)
    ax.plot(rows["difference"][few], rows.index[few], "x", color=GRAY, label="too few images to tell")


def _legend_below(ax: Axes, *, columns: int) -> None:
    """Below the name of the axis, however tall the panel is."""
    place = ax.transAxes + ScaledTranslation(0, -0.42, ax.figure.dpi_scale_trans)  # inches
    look = {"fontsize": 8, "frameon": False, "loc": "upper center", "ncols": columns}
    ax.legend(bbox_to_anchor=(0.5, 0), bbox_transform=place, **look)


@rc_context(STYLE)
def plot_uncertainty(table: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """Whether the images that the networks are unsure of are those that they get wrong.

    Args:
        table: one row per image with ``dice`` and the columns of the measures, in [0, 1].
        measures: column -> what it is called; those that the table lacks are left out.
    """
    known = {column: name for column, name in measures.items() if column in table}
    figure = Figure(figsize=(WIDTH if len(known) > 1 else 5.6, 4.8), layout="constrained")
    tenth = max(1, round(len(table) / 10))
    worst = table["dice"].rank(method="first") <= tenth
    for ax, (column, name) in zip(figure.subplots(1, len(known), squeeze=False)[0], known.items(), strict=True):
        unsure = table[column].rank(method="first") <= tenth
        kinds = ((~unsure & ~worst, GRAY, ".", "others"), (unsure & ~worst, BLUE, "s", "least sure tenth"))
        kinds += ((worst & ~unsure, ORANGE, "^", "worst tenth"), (unsure & worst, RED, "D", "both"))
        for chosen, color, marker, kind in kinds:
            label = f"{kind} ({chosen.sum()})"
            ax.plot(table[column][chosen], table["dice"][chosen], marker, color=color, alpha=0.7, label=label)
        if column == "expected_dice":  # agreement is no estimate of the Dice
            ax.plot((0, 1), (0, 1), color=GRAY, linestyle="--", linewidth=1, label="as sure as it should be")
        low = max(0, min(table[column].min(), 0.9) - 0.03)
        ax.set(xlim=(low, 1.01), ylim=(max(0, min(table["dice"].min(), low)) - 0.02, 1.02))
        ax.set(xlabel=name, ylabel="true Dice", title="Does doubt tell where the errors are?")
        _legend_below(ax, columns=3 if len(known) == 1 else 2)
    return figure
