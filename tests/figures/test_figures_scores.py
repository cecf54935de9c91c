import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from seglib import figures
from seglib.figures.masks import ERRORS, paint_errors
from seglib.figures.style import BLUE, GRAY, ORANGE, RED
from seglib.prediction.uncertainty import MEASURES
from seglib.scores.causes import compare_causes


def make_pair(shape=(40, 60), channels=3):
    image = np.full((*shape, channels), 120, np.uint8)
    pred, mask = np.zeros((2, *shape), np.uint8)
    mask[10:30, 10:40], pred[10:30, 20:50] = 1, 1
    return image, pred, mask


def test_errors_are_shown_row_by_row_with_the_text_beside_them():
    pairs = [make_pair(), make_pair((60, 40), channels=1), make_pair()]
    images, preds, masks = zip(*pairs, strict=True)
    figure = figures.plot_errors(images, preds, masks, ["a\nDice 0.10", "b", "c " + "very " * 12 + "long"])
    rows = np.array(figure.axes).reshape(3, 4)
    assert [ax.get_title() for ax in rows[0]] == ["", "image", "contours", "errors"]
    assert [row[0].texts[0].get_text() for row in rows[:2]] == ["a\nDice 0.10", "b"]
    assert max(map(len, rows[2, 0].texts[0].get_text().splitlines())) <= 27
    assert [[len(ax.images) for ax in row] for row in rows] == [[0, 1, 1, 1]] * 3
    assert [[len(ax.collections) for ax in row] for row in rows] == [[0, 0, 2, 0]] * 3
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["reference", "prediction", *ERRORS]


def test_contours_have_the_colour_and_line_of_the_legend():
    figure = figures.plot_errors(*([thing] for thing in make_pair()), ["a"])
    reference, prediction = figure.axes[2].collections
    assert [to_hex(line.get_edgecolor()[0]).upper() for line in (reference, prediction)] == [ORANGE, BLUE]
    assert reference.get_linestyle() != prediction.get_linestyle()
    assert list(reference.get_paths()[0].get_extents().get_points()[:, 0].round()) == [10, 40]  # not the prediction's


def test_nothing_is_drawn_that_is_not_there():
    image, pred, mask = make_pair()
    figure = figures.plot_errors([image], [pred * 0], [mask * 0], ["both empty"])
    assert len(figure.axes[2].collections) == 0


def test_found_missed_and_added_are_painted_apart_and_the_rest_is_pale():
    image, pred, mask = make_pair()
    painted = paint_errors(image, pred, mask)
    assert painted.dtype == np.uint8
    assert painted[0, 0].tolist() == [232, 232, 232]
    for place, color, alpha in (((15, 25), GRAY, 0.65), ((15, 12), ORANGE, 0.8), ((15, 45), BLUE, 0.8)):
        wanted = [(1 - alpha) * 232 + alpha * int(color[at : at + 2], 16) for at in (1, 3, 5)]
        assert painted[place] == pytest.approx(np.array(wanted), abs=1)
    assert np.array_equal(paint_errors(image[..., :1], pred, mask), painted)


def test_black_outside_the_masks_does_not_look_like_what_was_found():
    image, pred, mask = make_pair()
    black, found = (paint_errors(np.full_like(image, level), pred, mask) for level in (0, 255))
    assert (
        black[0, 0].min() - found[15, 25].max() >= 60
    )  # the darkest of what is outside, the lightest of what is found


def test_a_large_image_is_thinned_and_a_tall_one_does_not_fill_the_screen():
    figure = figures.plot_errors(*([thing] for thing in make_pair((3000, 300))), ["a"])
    assert figure.axes[3].images[0].get_array().shape[0] <= 600
    assert figure.get_size_inches()[1] < 4


def make_table():
    contrast, dice = [10.0] * 6 + [60.0] * 10, [0.4, 0.5, 0.6] * 2 + [0.8, 0.9] * 5
    plain = {"dice": dice, "overlap": 12, "pred_area": 12, "target_area": 20, "pixels": 100, "contrast": contrast}
    return pd.DataFrame(
        plain | {"border_sides": [0, 1] * 8, "dark_lines": 0.0, "dark_corners": [1] * 2 + [0] * 14}
    ).assign(overlap=[5] * 6 + [12] * 10)


def test_causes_are_dots_with_intervals_by_what_they_tell():
    comparison = compare_causes(make_table())
    left = figures.plot_causes(comparison, 16).axes[0]
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert labels[4] == "low contrast\n(6 of 16)"
    dots = {line.get_label(): line for line in left.lines[1:]}
    assert dots["real"].get_xydata().tolist() == pytest.approx(np.array([[-0.35, -4]]))
    assert dots["may be chance"].get_ydata().tolist() == [-3]
    assert dots["too few images to tell"].get_ydata().tolist() == [-6]
    assert {to_hex(dots["real"].get_color()).upper(), to_hex(dots["may be chance"].get_color()).upper()} == {RED, BLUE}
    (interval,) = left.collections[0].get_segments()
    assert interval[:, 0].tolist() == pytest.approx(comparison.loc[4, ["low", "high"]].tolist())
    assert left.lines[0].get_xdata() == [0, 0]


def test_errors_with_a_cause_are_filled_and_those_without_hollow():
    comparison = compare_causes(make_table())
    right = figures.plot_causes(comparison, 16).axes[1]
    lines = {line.get_label(): line for line in right.lines}
    assert list(lines) == ["missed, without it", "missed, with it", "added, without it", "added, with it"]
    assert lines["missed, with it"].get_xdata()[1] == pytest.approx(100 * comparison.loc[4, "fn_with"])
    assert lines["added, without it"].get_xdata()[1] == pytest.approx(100 * comparison.loc[4, "fp_without"])
    assert [lines[name].get_markerfacecolor() for name in list(lines)[::2]] == ["white", "white"]
    assert len(lines["added, with it"].get_xdata()) == 3  # where no image has it there is nothing to compare


def test_causes_that_no_image_has_leave_empty_lines():
    figure = figures.plot_causes(compare_causes(make_table().iloc[:1]), 1)
    assert all(ax.get_title() and ax.get_xlabel() for ax in figure.axes)
    assert len(figure.axes[0].get_yticklabels()) == 7
    figure.draw_without_rendering()


def make_doubts(count=20):
    dice = np.linspace(0.5, 1, count)
    doubts = pd.DataFrame({"dice": dice, "expected_dice": dice})
    doubts.loc[1, "expected_dice"], doubts.loc[10, "expected_dice"] = 0.95, 0.1
    return doubts


def test_the_least_sure_and_the_worst_are_told_apart():
    (ax,) = figures.plot_uncertainty(make_doubts(), MEASURES).axes
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    kinds = ["others (17)", "least sure tenth (1)", "worst tenth (1)", "both (1)", "as sure as it should be"]
    assert names == kinds
    dots = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert dots["both (1)"] == [[0.5, 0.5]]
    assert dots["worst tenth (1)"][0][0] == 0.95
    assert dots["least sure tenth (1)"][0][0] == 0.1
    assert ax.get_xlim()[0] < 0.1
    assert ax.get_ylim()[0] < 0.5
    assert ax.get_xlabel() == "Dice that the probability map itself expects"
    assert ax.get_ylabel()
    assert ax.get_title()


def test_agreement_has_a_panel_of_its_own_and_no_line_to_lie_on():
    figure = figures.plot_uncertainty(make_doubts().assign(agreement=0.9), MEASURES)
    agreement, expected = figure.axes
    assert agreement.get_xlabel() == MEASURES["agreement"]
    assert [sum(line.get_linestyle() == "--" for line in ax.lines) for ax in (agreement, expected)] == [0, 1]


@pytest.mark.parametrize("count", [1, 2])
def test_few_images_are_drawn_too(count):
    figures.plot_uncertainty(make_doubts().iloc[:count], MEASURES).draw_without_rendering()
