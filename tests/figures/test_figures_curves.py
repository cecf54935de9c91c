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


def names(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def ticks(axis):
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in axis.get_ticklocs() if low <= tick <= high]


def test_the_best_epoch_is_a_dashed_line_in_every_panel():
    figure = figures.plot_history([make_history(3)], [2])
    assert list(panels(figure)) == ["Loss", "Dice", "Gap", "Learning rate", "Time"]
    for ax in figure.axes:
        dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert [list(line.get_xdata()) for line in dashed] == [[2, 2]]
    assert names(figure) == ["training", "validation", "best epoch 2"]


def test_one_network_is_drawn_as_it_is():
    shown = panels(figures.plot_history([make_history(3)], [3]))
    train, val = shown["Loss"].lines[:2]
    assert train.get_ydata().tolist() == pytest.approx([0.5, 0.25, 0.5 / 3])
    assert val.get_ydata().tolist() == pytest.approx([0.6, 0.35, 0.5 / 3 + 0.1])
    assert shown["Gap"].lines[0].get_ydata().tolist() == pytest.approx([0.1] * 3)
    assert shown["Time"].lines[0].get_ydata().tolist() == [60] * 3


def test_a_long_curve_is_drawn_smoothed_too():
    figure = figures.plot_history([make_history(40)], [3])
    raw, smooth = panels(figure)["Loss"].lines[:2]
    assert names(figure)[:2] == ["training, smoothed", "validation, smoothed"]
    expected = make_history(40)["train_loss"].rolling(4, center=True, min_periods=1).mean()
    assert smooth.get_ydata() == pytest.approx(expected.to_numpy())
    assert raw.get_linewidth() < smooth.get_linewidth()
    assert raw.get_alpha() == 0.5


def test_folds_are_thin_lines_with_their_mean_and_spread():
    histories = [make_history(4, start=0.4), make_history(4, start=0.6), make_history(3, start=0.5)]
    figure = figures.plot_history(histories, [2, 1, 2])
    loss = panels(figure)["Loss"]
    first, second, third, mean = loss.lines[:4]
    assert [len(line.get_xdata()) for line in (first, second, third)] == [4, 4, 3]
    assert mean.get_ydata().tolist() == pytest.approx([0.5, 0.25, 0.5 / 3, 0.125])
    assert names(figure) == ["training, mean of 3", "validation, mean of 3", "best epoch 1, 2"]
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
    figure = figures.plot_history([make_history(len(rates), rate=rates)], [1])
    marks = [line for line in panels(figure)["Learning rate"].lines if line.get_marker() == "v"]
    assert [epoch for line in marks for epoch in line.get_xdata()] == lowered
    assert names(figure)[3:] == [f"rate lowered {len(lowered)} time{'s' * (len(lowered) > 1)}"] * bool(lowered)


@pytest.mark.parametrize("count", [1, 5])
def test_no_panel_has_a_legend_over_its_curves(count):
    rates = [[8] * (2 + number) + [4] * (4 - number) for number in range(count)]
    figure = figures.plot_history([make_history(6, rate=rate) for rate in rates], [6] * count)
    assert not any(ax.get_legend() for ax in figure.axes)
    lowered = {1: "rate lowered 1 time", 5: "rate lowered 1, 1, 1, 1, 0 times"}
    assert names(figure)[2:] == ["best epoch 6", lowered[count]]
    figure.draw_without_rendering()
    frame, legend = figure.bbox, figure.legends[0].get_window_extent()
    assert frame.x0 < legend.x0 < legend.x1 < frame.x1
    assert not any(ax.get_tightbbox().overlaps(legend) for ax in figure.axes)


@pytest.mark.parametrize("networks", [1, 2])
def test_one_epoch_is_a_point_in_every_panel_on_a_whole_number(networks):
    figure = figures.plot_history([make_history(1)] * networks, [1] * networks)
    for ax in figure.axes:
        assert ticks(ax.xaxis) == [1]
        points = [line for line in ax.lines if len(line.get_xdata()) == 1]
        assert points
        assert all(line.get_marker() not in ("None", None) for line in points)


def test_a_run_without_times_is_drawn():
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


def test_each_name_of_a_curve_stands_once_below_all_runs():
    runs = {"one": [make_history(3)], "again": [make_history(3)], "folds": [make_history(3)] * 2}
    figure = figures.plot_runs(runs | {"a_long_name_of_a_folder" * 3: [make_history(40)]})
    kinds = ("", ", mean of 2", ", smoothed")
    assert names(figure) == [f"{name}{kind}" for kind in kinds for name in ("training", "validation")]
    assert not any(ax.get_legend() for ax in figure.axes)
    assert all(len(line) <= 24 for ax in figure.axes for line in ax.get_title().splitlines())


def test_a_logarithmic_scale_is_labelled_in_plain_numbers():
    for histories in ([make_history(9)], [make_history(9, rate=np.geomspace(1e-3, 1e-4, 9))]):
        figure = figures.plot_history(histories, [9])
        figure.draw_without_rendering()
        for ax in (panels(figure)["Loss"], panels(figure)["Learning rate"]):
            labels = [label.get_text() for label in ax.get_yticklabels(which="both")]
            assert any(labels)
            assert not any("$" in label for label in labels)
