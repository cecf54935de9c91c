import numpy as np
import pandas as pd
import pytest

from seglib import figures


def make_history(count, *, start=0.5, rate=None, **more):
    epoch = np.arange(1, count + 1)
    columns = {
        "epoch": epoch,
        "train_loss": start / epoch,
        "val_loss": start / epoch + 0.1,
        "val_dice": 1 - 0.5 / epoch,
    }
    return pd.DataFrame(columns | {"lr": np.full(count, 1e-3) if rate is None else rate, "seconds": 60} | more)


def panels(figure):
    return {ax.get_title().split(" (")[0]: ax for ax in figure.axes}


def names(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_best_epoch_is_a_dashed_line_in_every_panel():
    figure = figures.plot_history([make_history(3)], [2])
    assert list(panels(figure)) == ["Loss", "Dice", "Gap", "Learning rate", "Time"]
    for ax in figure.axes:
        dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert [list(line.get_xdata()) for line in dashed] == [[2, 2]]
    assert names(panels(figure)["Loss"]) == ["training", "validation", "best epoch 2"]


def test_one_network_is_drawn_as_it_is():
    shown = panels(figures.plot_history([make_history(3)], [3]))
    train, val = shown["Loss"].lines[:2]
    assert train.get_ydata().tolist() == pytest.approx([0.5, 0.25, 0.5 / 3])
    assert val.get_ydata().tolist() == pytest.approx([0.6, 0.35, 0.5 / 3 + 0.1])
    assert shown["Gap"].lines[0].get_ydata().tolist() == pytest.approx([0.1] * 3)
    assert shown["Time"].lines[0].get_ydata().tolist() == [60] * 3


def test_a_long_curve_is_drawn_smoothed_too():
    shown = panels(figures.plot_history([make_history(40)], [3]))
    raw, smooth = shown["Loss"].lines[:2]
    assert names(shown["Loss"])[:2] == ["training, smoothed", "validation, smoothed"]
    expected = make_history(40)["train_loss"].rolling(4, center=True, min_periods=1).mean()
    assert smooth.get_ydata() == pytest.approx(expected.to_numpy())
    assert raw.get_linewidth() < smooth.get_linewidth()
    assert raw.get_alpha() == 0.5


def test_folds_are_thin_lines_with_their_mean_and_spread():
    histories = [make_history(4, start=0.4), make_history(4, start=0.6), make_history(3, start=0.5)]
    loss = panels(figures.plot_history(histories, [2, 1, 2]))["Loss"]
    first, second, third, mean = loss.lines[:4]
    assert [len(line.get_xdata()) for line in (first, second, third)] == [4, 4, 3]
    assert mean.get_ydata().tolist() == pytest.approx([0.5, 0.25, 0.5 / 3, 0.125])
    assert names(loss) == ["training, mean of 3", "validation, mean of 3", "best epoch 1, 2"]
    edges = loss.collections[0].get_paths()[0].vertices
    assert edges[edges[:, 0] == 1, 1].min() == pytest.approx(0.5 - 0.1)
    assert edges[:, 1].max() == pytest.approx(0.5 + 0.1)  # the standard deviation of 0.4, 0.5, 0.6


@pytest.mark.parametrize(
    ("rates", "lowered"),
    [
        ([8, 8, 4, 4, 4, 2], [3, 6]),
        ([8, 4, 4, 4], [2]),
        ([8, 7, 5, 3, 1], []),  # a cosine falls all the time
        ([1, 2, 4, 4], []),
    ],
)
def test_every_halving_of_the_rate_is_marked(rates, lowered):
    rate = panels(figures.plot_history([make_history(len(rates), rate=rates)], [1]))["Learning rate"]
    marks = [line for line in rate.lines if line.get_marker() == "v"]
    assert [epoch for line in marks for epoch in line.get_xdata()] == lowered
    assert not lowered or names(rate) == [f"lowered {len(lowered)} times"]


def test_a_run_of_one_epoch_or_without_times_is_drawn():
    figures.plot_history([make_history(1)], [1])
    shown = panels(figures.plot_history([make_history(2).drop(columns="seconds")], [1]))
    assert len(shown["Time"].lines) == 1  # the best epoch alone


def test_runs_lie_side_by_side_on_common_axes():
    runs = {name: [make_history(3 + k, start=0.1 * (k + 1))] for k, name in enumerate("abcde")}
    figure = figures.plot_runs(runs)
    shown = [ax for ax in figure.axes if ax.lines]
    losses = [ax for ax in shown if ax.get_yscale() == "log"]
    assert [ax.get_title() for ax in losses] == list("abcde")
    assert len({ax.get_ylim() for ax in losses}) == 1
    assert len({ax.get_ylim() for ax in shown if ax not in losses}) == 1
    assert len({ax.get_xlim() for ax in shown}) == 1
    assert losses[0].get_ylim()[1] >= 0.6 > 0.034 >= losses[0].get_ylim()[0]
    assert losses[2].lines[0].get_ydata()[0] == pytest.approx(0.3)
