"""How training went: curves by epoch."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seglib.figures.style import BLUE, GRAY, GREEN, ORANGE, RED, STYLE, WIDTH, new_figure, plain_ticks, whole_ticks

SMOOTHED = 30  # epochs from which on a smoothed curve is drawn too
LETTERS = 96  # of a name that fit above panels across the whole figure


@rc_context(STYLE)
def plot_history(histories: Sequence[pd.DataFrame], best_epochs: Sequence[int]) -> Figure:
    """Loss, Dice, gap, learning rate and time by epoch; the best epochs as dashed lines.

    The networks of several folds are thin lines, with their mean as a thick one and its standard deviation as a band.

    Args:
        histories: for each network one row per epoch: ``epoch``, ``train_loss``, ``val_loss``, ``val_dice``, ``lr``
            and, where it was measured, ``seconds``.
        best_epochs: for each network the epoch whose weights are kept.
    """
    figure = new_figure(5.6)
    axes = figure.subplot_mosaic([["loss", "loss", "dice"], ["gap", "rate", "time"]])
    _draw(axes["loss"], [_curve(one, "train_loss") for one in histories], "training", BLUE, "o")
    _draw(axes["loss"], [_curve(one, "val_loss") for one in histories], "validation", ORANGE, "s")
    _draw(axes["dice"], [_curve(one, "val_dice") for one in histories], "validation", ORANGE, "s")
    _draw(axes["gap"], [_curve(one, "val_loss") - _curve(one, "train_loss") for one in histories], None, RED, "d")
    axes["gap"].axhline(0, color=GRAY, linewidth=1)
    _draw_rates(axes["rate"], [_curve(one, "lr") for one in histories])
    if all("seconds" in one for one in histories):
        _draw(axes["time"], [_curve(one, "seconds") for one in histories], None, GRAY, "o")
    axes["loss"].set(title="Loss (falls)", ylabel="loss", yscale="log")  # else the first epochs hide the rest
    axes["dice"].set(title="Dice (rises)", ylabel="mean Dice per image")
    axes["gap"].set(title="Gap (grows where images are learnt by heart)", ylabel="validation - training loss")
    axes["gap"].title.set_fontsize(9)
    axes["rate"].set(title="Learning rate", ylabel="learning rate", yscale="log")
    axes["time"].set(title="Time", ylabel="seconds per epoch", ylim=(0, None))
    _mark_best(axes.values(), sorted(set(best_epochs)))
    plain_ticks(axes["loss"])
    plain_ticks(axes["rate"])
    _name_below(figure, (axes["loss"], axes["rate"]))
    return figure


@rc_context(STYLE)
def plot_runs(runs: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """Several runs as small multiples with common axes: loss above, Dice below.

    Args:
        runs: name of a run -> the histories of its networks, as for `plot_history`.
    """
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(WIDTH, 4.4 * rows + 0.3), layout="constrained")
    grid = figure.subplots(2 * rows, columns, sharex=True, squeeze=False)
    for number, (name, histories) in enumerate(runs.items()):
        row, column = divmod(number, columns)
        loss, dice = grid[2 * row, column], grid[2 * row + 1, column]
        _draw(loss, [_curve(one, "train_loss") for one in histories], "training", BLUE, "o")
        _draw(loss, [_curve(one, "val_loss") for one in histories], "validation", ORANGE, "s")
        _draw(dice, [_curve(one, "val_dice") for one in histories], "validation", ORANGE, "s")
        loss.set_title(
            textwrap.fill(name, LETTERS // columns), fontsize=9, parse_math=False
        )  # folder names may hold a $
        loss.set(yscale="log", ylabel="loss (falls)" if column == 0 else "")
        dice.set(xlabel="epoch", ylabel="Dice (rises)" if column == 0 else "")
        dice.tick_params(labelbottom=True)
    whole_ticks(grid[-1, 0].xaxis)  # that of all
    for kind in (grid[::2], grid[1::2]):
        shown = [ax for ax in kind.ravel() if ax.lines]
        low, high = zip(*(ax.get_ylim() for ax in shown), strict=True)
        for ax in shown:
            ax.set_ylim(min(low), max(high))
            plain_ticks(ax)
        for ax in set(kind.ravel()) - set(shown):
            ax.set_axis_off()
    _name_below(figure, grid[::2].ravel())
    return figure


def _name_below(figure: Figure, axes: Iterable[Axes]) -> None:
    """One legend under all panels, where it covers no curve; a name that several panels have stands there once."""
    shown = {name: line for ax in axes for line, name in zip(*ax.get_legend_handles_labels(), strict=True)}
    columns = len(shown) if sum(map(len, shown)) < LETTERS else 2
    figure.legend(shown.values(), shown, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def _curve(history: pd.DataFrame, name: str) -> pd.Series:
    return pd.Series(history[name].to_numpy(float), index=history["epoch"].to_numpy())


def _draw(ax: Axes, curves: Sequence[pd.Series], name: str | None, color: str, marker: str) -> None:
    """One curve as it is and smoothed, or many with their mean and its band."""
    many = len(curves) > 1
    thin = (
        {"color": color, "linewidth": 0.8, "alpha": 0.5}
        if many
        else {"color": color, "marker": marker, "markersize": 3}
    )
    thin |= {"linewidth": 0.8, "alpha": 0.5} if len(curves[0]) >= SMOOTHED else {}
    for number, curve in enumerate(curves):
        look = thin if len(curve) > 1 else thin | {"marker": marker, "markersize": 6}  # one point makes no line
        ax.plot(curve.index, curve, label=name if number == 0 and not many and len(curve) < SMOOTHED else None, **look)
    if many:
        table = pd.concat(list(curves), axis=1)
        mean, spread = table.mean(axis=1), table.std(axis=1).fillna(0)
        look = {"color": color, "linewidth": 2, "marker": marker if len(mean) == 1 else None}
        ax.plot(mean.index, mean, label=name and f"{name}, mean of {len(curves)}", **look)
        ax.fill_between(mean.index, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    elif len(curves[0]) >= SMOOTHED:
        smooth = curves[0].rolling(max(3, len(curves[0]) // 10), center=True, min_periods=1).mean()
        ax.plot(smooth.index, smooth, color=color, linewidth=2, label=name and f"{name}, smoothed")


def _draw_rates(ax: Axes, rates: Sequence[pd.Series]) -> None:
    """The rates, and a mark at every epoch that begins with a lower one after a level stretch."""
    marked = []
    for rate in rates:
        ax.step(rate.index, rate, color=GRAY, where="mid", marker="o" if len(rate) == 1 else None)
        change = rate.diff()
        halved = (change < 0) & (change.shift() == 0)
        halved |= (change < 0) & (np.arange(len(rate)) == 1) & np.isclose(rate, rate.shift() / 2)
        marked.append(rate[halved])
    if any(map(len, marked)):
        times = ", ".join(str(len(rate)) for rate in marked)
        label = f"rate lowered {times} {'time' if times == '1' else 'times'}"
        ax.plot(pd.concat(marked), "v", color=RED, markersize=6, label=label)


def _mark_best(axes: Iterable[Axes], epochs: Sequence[int]) -> None:
    """Dashed lines through all panels, named once."""
    for number, ax in enumerate(axes):
        for epoch in epochs:
            name = f"best epoch {', '.join(map(str, epochs))}" if number == 0 and epoch == epochs[0] else None
            ax.axvline(epoch, color=GREEN, linestyle="--", linewidth=1.2, label=name)
        ax.set_xlabel("epoch")
        whole_ticks(ax.xaxis)
