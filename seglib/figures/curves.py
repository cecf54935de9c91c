"""How training went: curves by epoch."""

from collections.abc import Sequence

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from seglib.figures.style import BLUE, GRAY, GREEN, ORANGE, STYLE, new_figure


@rc_context(STYLE)
def plot_history(histories: Sequence[pd.DataFrame], best_epochs: Sequence[int]) -> Figure:
    """Loss, Dice and learning rate by epoch, the best epochs as dashed lines; the networks of a run lie together.

    Args:
        histories: for each network one row per epoch: ``epoch``, ``train_loss``, ``val_loss``, ``val_dice``, ``lr``.
        best_epochs: for each network the epoch whose weights are kept.
    """
    figure = new_figure(3.2)
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
