import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from seglib import figures


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + 10 * k, 60, 1 + 2 * (k % 2)), dtype=np.uint8) for k in range(5)]


@pytest.fixture
def masks(images):
    made = [np.zeros(image.shape[:2], np.uint8) for image in images]
    for mask in made[:3]:
        mask[10:20, 10:30] = 1
    made[4][:] = 1  # the fourth is empty, the fifth full of foreground
    return made


def test_a_contact_sheet_has_a_panel_per_image_and_contours_where_there_is_foreground(images, masks):
    figure = figures.plot_samples(images, masks, list("abcde"))
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == list("abcde")
    assert [len(ax.collections) for ax in shown] == [1, 1, 1, 0, 1]


def test_what_fills_an_image_has_a_contour_along_its_frame(images, masks):
    ax = figures.plot_samples(images[4:], masks[4:], ["full"]).axes[0]
    assert ax.collections[0].get_paths()[0].get_extents().get_points().tolist() == [[-0.5, -0.5], [59.5, 79.5]]
    assert (ax.get_xlim(), ax.get_ylim()) == ((-0.5, 59.5), (79.5, -0.5))
    assert not ax.collections[0].get_clip_on()  # half of the line lies outside


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1), (3000, 4), (3, 3000)])
def test_strips_are_drawn_with_their_contours(shape):
    image, mask = np.zeros((*shape, 3), np.uint8), np.ones(shape, np.uint8)
    sheet = figures.plot_predictions([image], [mask], ["strip"])
    errors = figures.plot_errors([image], [mask], [mask], ["strip"])
    for figure, ax in ((sheet, sheet.axes[0]), (errors, errors.axes[2])):
        figure.draw_without_rendering()
        assert len(ax.collections[0].get_paths()[0].vertices) > 4
        assert min(ax.images[0].get_array().shape[:2]) >= min(2, *shape)


@pytest.mark.parametrize("name", ["p$1_$2", "$\\frac$"])
def test_names_are_not_read_as_formulas(images, masks, name):
    two = images[:2]
    drawn = [
        figures.plot_samples(two, masks[:2], [name, name]),
        figures.plot_errors(two, masks[:2], masks[:2], [name] * 2),
    ]
    drawn += [figures.plot_duplicates(two, two, [name, name]), figures.plot_runs({name: [make_history()]})]
    for figure in drawn:
        figure.draw_without_rendering()


def test_predictions_are_told_from_references_by_colour_and_line(images, masks):
    figure = figures.plot_predictions(images[:2], masks[:2], ["a", "b"], masks=masks[:2])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["prediction", "reference"]
    assert len(figure.axes[0].collections) == 2
    alone = figures.plot_predictions(images[:2], masks[:2], ["a", "b"])
    assert [text.get_text() for text in alone.legends[0].get_texts()] == ["prediction"]


def make_history():
    names = ("epoch", "train_loss", "val_loss", "val_dice", "lr", "seconds")
    return pd.DataFrame([dict.fromkeys(names, epoch) for epoch in (1, 2)])


def make_scores():
    return pd.DataFrame({"dice": [0.5, 0.9, 1.0], "target_area": [10, 50, 100], "pixels": [100, 100, 100]})


def all_figures():
    table = pd.DataFrame({"height": [10, 20, 10], "width": [10, 30, 10], "mask_share": [0.1, 0.5, 0.0]})
    yield figures.plot_data(table)
    yield figures.plot_mean_mask(np.eye(8))
    yield figures.plot_scores(make_scores())
    yield figures.plot_areas([0.1, 0.2], [0.3])
    yield figures.plot_rules(make_sensitivity(), make_sensitivity()[4])
    yield figures.plot_calibration(np.zeros((3, 3)), np.zeros((3, 3)))  # no pixels at all


def make_sensitivity():
    rows = [(t, fill, area, big) for t in (0.3, 0.5, 0.7) for fill in (False, True)
            for area, big in ((0.0, False), (0.002, False), (0.0, True))]  # fmt: skip
    names = ("threshold", "fill_holes", "smallest_area", "largest_only")
    return [
        {**dict(zip(names, row, strict=True)), "smallest_core": 0.0, "dice": 0.8 + number / 100, "standard_error": 0.01}
        for number, row in enumerate(rows)
    ]


@pytest.mark.parametrize("number", range(6))
def test_axes_carry_a_name_and_a_title(number):
    figure = list(all_figures())[number]
    assert isinstance(figure, Figure)
    for ax in figure.axes:
        assert ax.get_ylabel()
        assert ax.get_title() or ax.get_label() == "<colorbar>"


def test_scores_are_drawn_against_size():
    right = figures.plot_scores(make_scores()).axes[1]
    assert right.collections[0].get_offsets().tolist() == [[10, 0.5], [50, 0.9], [100, 1.0]]


def test_a_reliable_map_lies_on_the_diagonal_and_empty_bins_are_left_out():
    before = np.array([[6.0, 0.6, 1.8], [0, 0, 0], [2.0, 1.8, 1.0]])  # says 10 % and 90 %; 30 % and 50 % are
    after = np.array([[4.0, 1.2, 1.2], [4.0, 2.0, 2.0], [0, 0, 0]])
    figure = figures.plot_calibration(before, after)
    top, below = figure.axes
    diagonal, first, second = (np.column_stack(line.get_data()) for line in top.lines)
    assert diagonal.tolist() == [[0, 0], [100, 100]]
    assert first == pytest.approx(np.array([[10, 30], [90, 50]]))
    assert second == pytest.approx(np.array([[30, 30], [50, 50]]))
    shares = [patch.get_data().values.tolist() for patch in below.patches]
    assert shares == [[75, 0, 25], [50, 50, 0]]
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["probability = share", "as predicted", "after temperature"]
    assert top.get_legend() is None  # it would lie over the curves of a poor network


@pytest.mark.parametrize(("row", "drawn_by_itself"), [(0, False), (4, True), (11, False)])
def test_the_rules_in_use_are_ringed_and_lie_on_a_line(row, drawn_by_itself):
    rows = make_sensitivity()
    (ax,) = figures.plot_rules(rows, rows[row]).axes
    *lines, ring = ax.lines
    point = [ring.get_xdata().tolist(), ring.get_ydata().tolist()]
    assert point == [[rows[row]["threshold"]], [rows[row]["dice"]]]
    assert any(tuple(p[0] for p in point) in zip(*line.get_data(), strict=True) for line in lines)
    assert ("with the chosen steps" in [line.get_label() for line in lines]) == drawn_by_itself
    assert ring.get_label() == "chosen"  # there may be no test images to use them on
    assert not ring.get_clip_on()  # the best of all lies at the end of the axes
    assert lines[0].get_ydata().tolist() == [r["dice"] for r in rows if not any(list(r.values())[1:4])]


@pytest.mark.parametrize(("dice", "drawn"), [(0.99, True), (0.1, False)])
def test_what_empties_masks_is_drawn_where_it_helps(dice, drawn):
    rows = make_sensitivity()
    core = {"fill_holes": False, "smallest_area": 0.0, "largest_only": False, "smallest_core": 0.01, "dice": dice}
    largest = core | {"largest_only": True, "smallest_core": 0.03, "dice": 2 * dice}
    rows += [{"threshold": t, "standard_error": 0.01} | kind for kind in (largest, core) for t in (0.3, 0.5, 0.7)]
    lines = {line.get_label(): line for line in figures.plot_rules(rows, rows[0]).axes[0].lines}
    name = "+ nothing unless 1 % of the image is sure"
    assert [label for label in lines if label.startswith("+ nothing")] == [name] * drawn
    assert not drawn or lines[name].get_ydata().tolist() == [dice] * 3
    assert len(lines["threshold alone"].get_xdata()) == 3
    assert "with the chosen steps" not in lines
    (ax,) = figures.plot_rules(rows, rows[-2]).axes
    assert ax.lines[-1].get_xdata().tolist() == [0.5]
    assert ("with the chosen steps" in [line.get_label() for line in ax.lines]) != drawn


def test_rules_that_are_far_off_do_not_flatten_the_others():
    rows = make_sensitivity()
    plain = next(row for row in rows if row["threshold"] == 0.5)  # alone, and always in the picture
    plain["dice"] = 0.83
    assert figures.plot_rules(rows, rows[4]).axes[0].get_ylim()[0] == pytest.approx(0.83 - 0.005)
    plain["dice"] = 0.97
    rows[4]["dice"] = rows[10]["dice"] = 0.93  # the line that is used
    ax = figures.plot_rules(rows, rows[4]).axes[0]
    assert ax.get_ylim()[0] == pytest.approx(0.97 - 0.05)
    assert "below 0.92 is not shown" in ax.get_title()
    for row in rows:
        row["dice"] = 0.9
    assert "not shown" not in figures.plot_rules(rows, rows[4]).axes[0].get_title()


def test_the_line_in_use_is_drawn_whole_below_a_better_one_that_is_not_used():
    rows = make_sensitivity()
    for row in rows:
        row["dice"] = 0.95 if row["fill_holes"] else 0.1 if row["largest_only"] else row["threshold"]
    ax = figures.plot_rules(rows, next(row for row in rows if row["threshold"] == 0.5)).axes[0]
    low, high = ax.get_ylim()
    assert low == pytest.approx(0.3 - 0.005)
    assert high > 0.95 + 0.04 * (high - low)  # room for a ring


def test_small_numbers_of_pixels_are_labelled_in_plain_numbers():
    for pixels in ([2.0, 1, 4], [1e6, 1e3, 1]):
        counts = np.column_stack([pixels, np.multiply(pixels, 0.5), np.multiply(pixels, 0.5)])
        figure = figures.plot_calibration(counts, counts)
        figure.draw_without_rendering()
        below = figure.axes[1]
        low, high = below.get_ylim()
        ticks = [*below.yaxis.get_major_ticks(), *below.yaxis.get_minor_ticks()]  # some versions have more, not shown
        labels = [tick.label1.get_text() for tick in ticks if low <= tick.get_loc() <= high]
        assert any(labels)
        assert not any("$" in label or "e" in label for label in labels)
        assert low >= 0.01


@pytest.mark.parametrize("dice", [[0.5], [0.9, 0.96, 0.96], [0.0] * 30 + [1.0] * 3])
def test_images_are_counted_in_whole_numbers_and_no_bar_is_covered(dice):
    figure = figures.plot_scores(pd.DataFrame({"dice": dice, "target_area": 10, "pixels": 100}))
    left = figure.axes[0]
    figure.draw_without_rendering()
    assert all(tick == round(tick) for tick in left.get_yticks())
    assert left.get_legend().get_window_extent().y1 < left.get_window_extent().y0


def test_a_saved_figure_carries_its_caption_and_is_returned(tmp_path):
    figure = figures.plot_areas([0.1], [0.2])
    assert figures.save_figure(figure, tmp_path / "a.png", "What it shows: Dice.") is figure
    with Image.open(tmp_path / "a.png") as image:
        assert image.info["Description"] == "What it shows: Dice."
        assert image.width == 990
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_large_images_are_thinned_before_they_are_drawn():
    big = np.zeros((3000, 2000, 3), np.uint8)
    mask = np.zeros((3000, 2000), np.uint8)
    mask[:1500] = 1
    ax = figures.plot_samples([big], [mask], ["big"]).axes[0]
    assert max(ax.images[0].get_array().shape) <= 1000
    assert len(ax.collections) == 1


def test_a_notebook_clears_its_own_figures_and_no_other(tmp_path):
    (tmp_path / "figures").mkdir()
    for name in ("04_causes.png", "04_rules.png", "05_areas.png", "04_notes.txt"):
        (tmp_path / "figures" / name).touch()
    figures.clear_figures(tmp_path, "04")
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == ["04_notes.txt", "05_areas.png"]
    figures.clear_figures(tmp_path / "new", "04")
