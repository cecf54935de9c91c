"""How training went: curves by epoch."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from seglib.figures.style import BLUE, GRAY, GREEN, ORANGE, RED, STYLE, WIDTH, new_figure

SMOOTHED = 30  # epochs from which on a smoothed curve is drawn too


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
    for history in histories:
        _draw_rate(axes["rate"], history)
    if all("seconds" in one for one in histories):
        _draw(axes["time"], [_curve(one, "seconds") for one in histories], None, GRAY, "o")
    axes["loss"].set(title="Loss (falls)", ylabel="loss", yscale="log")  # else the first epochs hide the rest
    _plain_ticks(axes["loss"])
    axes["dice"].set(title="Dice (rises)", ylabel="mean Dice per image")
    axes["gap"].set(title="Gap (grows where images are learnt by heart)", ylabel="validation - training loss")
    axes["gap"].title.set_fontsize(9)
    axes["rate"].set(title="Learning rate", ylabel="learning rate", yscale="log")
    axes["time"].set(title="Time", ylabel="seconds per epoch", ylim=(0, None))
    _mark_best(axes.values(), sorted(set(best_epochs)))
    axes["loss"].legend(framealpha=0.9, edgecolor="none")
    if axes["rate"].get_legend_handles_labels()[1]:
        axes["rate"].legend(frameon=False, fontsize=8)
    return figure


@rc_context(STYLE)
def plot_runs(runs: Mapping[str, Sequence[pd.DataFrame]]) -> Figure:
    """Several runs as small multiples with common axes: loss above, Dice below.

    Args:
        runs: name of a run -> the histories of its networks, as for `plot_history`.
    """
    columns = min(4, len(runs))
    rows = -(-len(runs) // columns)
    figure = Figure(figsize=(WIDTH, 4.4 * rows), layout="constrained")
    grid = figure.subplots(2 * rows, columns, sharex=True, squeeze=False)
    for number, (name, histories) in enumerate(runs.items()):
        row, column = divmod(number, columns)
        loss, dice = grid[2 * row, column], grid[2 * row + 1, column]
        _draw(loss, [_curve(one, "train_loss") for one in histories], "training", BLUE, "o")
        _draw(loss, [_curve(one, "val_loss") for one in histories], "validation", ORANGE, "s")
        _draw(dice, [_curve(one, "val_dice") for one in histories], "validation", ORANGE, "s")
        loss.set_title(name, fontsize=9, parse_math=False)  # folder names may hold a $
        loss.set(yscale="log", ylabel="loss (falls)" if column == 0 else "")
        dice.set(xlabel="epoch", ylabel="Dice (rises)" if column == 0 else "")
        dice.xaxis.get_major_locator().set_params(integer=True)
        dice.tick_params(labelbottom=True)
    for kind in (grid[::2], grid[1::2]):
        shown = [ax for ax in kind.ravel() if ax.lines]
        low, high = zip(*(ax.get_ylim() for ax in shown), strict=True)
        for ax in shown:
            ax.set_ylim(min(low), max(high))
            _plain_ticks(ax)
        for ax in set(kind.ravel()) - set(shown):
            ax.set_axis_off()
    grid[0, 0].legend(framealpha=0.9, edgecolor="none", fontsize=8)
    return figure


def _plain_ticks(ax: Axes) -> None:
    """0.2 instead of 2 x 10^-1, also between the powers of ten."""
    if ax.get_yscale() == "log":
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        ax.yaxis.set_minor_formatter("{x:g}")


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
        ax.plot(curve.index, curve, label=name if number == 0 and not many and len(curve) < SMOOTHED else None, **thin)
    if many:
        table = pd.concat(list(curves), axis=1)
        mean, spread = table.mean(axis=1), table.std(axis=1).fillna(0)
        ax.plot(mean.index, mean, color=color, linewidth=2, label=name and f"{name}, mean of {len(curves)}")
        ax.fill_between(mean.index, mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    elif len(curves[0]) >= SMOOTHED:
        smooth = curves[0].rolling(max(3, len(curves[0]) // 10), center=True, min_periods=1).mean()
        ax.plot(smooth.index, smooth, color=color, linewidth=2, label=name and f"{name}, smoothed")


def _draw_rate(ax: Axes, history: pd.DataFrame) -> None:
    """The rate, and a mark at every epoch that begins with a lower one after a level stretch."""
    rate = _curve(history, "lr")
    ax.step(rate.index, rate, color=GRAY, where="mid")
    change = rate.diff()
    halved = (change < 0) & (change.shift() == 0)
    halved |= (change < 0) & (np.arange(len(rate)) == 1) & np.isclose(rate, rate.shift() / 2)
    if halved.any():
        marks = {"marker": "v", "linestyle": "", "color": RED, "markersize": 6}
        ax.plot(rate.index[halved], rate[halved], label=f"lowered {halved.sum()} times", **marks)


def _mark_best(axes: Sequence[Axes], epochs: Sequence[int]) -> None:
    """Dashed lines through all panels, named once."""
    for number, ax in enumerate(axes):
        for epoch in epochs:
            name = f"best epoch {', '.join(map(str, epochs))}" if number == 0 and epoch == epochs[0] else None
            ax.axvline(epoch, color=GREEN, linestyle="--", linewidth=1.2, label=name)
        ax.set_xlabel("epoch")
        ax.xaxis.get_major_locator().set_params(integer=True)
