import numpy as np
import pandas as pd
import pytest

from seglib import figures


def titles_of(figure):
    return [ax.get_title() for ax in figure.axes if ax.get_title()]


def samples(count=40, *, gray=False):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"height": 48, "width": 64, "gray": gray, "mask_share": rng.uniform(0, 1, count)})
    table["compactness"], table["parts"], table["border_sides"] = 0.8, 1, 0
    for name in ("red", "green", "blue", "contrast", "saturation", "detail", "grain"):
        table[name] = rng.uniform(50, 200, count)
    for colour in ("red", "green", "blue"):
        table[f"foreground_{colour}"], table[f"background_{colour}"] = 60.0, 180.0
    return table


def drift(auc=0.6):
    return {"auc": auc, "low": 0.5, "high": 0.7, "gray": False, "train_images": 40, "test_images": 20} | {
        "differences": {"red": 1.25, "height": 0.0}
    }


def test_one_size_is_said_in_words_and_several_are_counted():
    table = samples()
    assert titles_of(figures.plot_data(table)) == ["All 40 files are 64 x 48 pixels", "40 wide, 0 square, 0 tall"]
    table.loc[:1, ["height", "width"]] = [[64, 64], [90, 64]]
    assert titles_of(figures.plot_data(table)) == [
        "3 sizes of file (larger dot: more files)",
        "38 wide, 1 square, 1 tall",
    ]


def test_parts_and_borders_are_counted_in_the_titles():
    table = samples()
    table.loc[:4, "parts"], table.loc[:2, "border_sides"] = 9, 2
    figure = figures.plot_shapes(table)
    assert titles_of(figure)[2:] == ["5 of 40 masks have several parts", "3 of 40 masks touch the border"]
    bars = [[round(bar.get_height()) for bar in ax.patches] for ax in figure.axes[2:]]
    assert bars == [[0, 35, 0, 0, 0, 0, 5], [37, 0, 3, 0, 0]]


def test_small_foreground_has_a_scale_of_its_own():
    table = samples()
    for share, limit, label in ((0.45, 50, "mean 45 %"), (0.0044, 0.5, "mean 0.44 %"), (1.0, 100, "mean 100 %")):
        table["mask_share"] = share
        ax = figures.plot_shapes(table).axes[0]
        assert ax.patches[-1].get_x() + ax.patches[-1].get_width() == pytest.approx(limit)
        assert ax.get_legend().get_texts()[0].get_text() == label
        assert figures.plot_mean_mask(np.full((4, 4), share)).axes[0].images[0].get_clim() == (0, limit)
        outlines = [patch.get_xy()[:, 0].max() for patch in figures.plot_areas([share / 2], [share]).axes[0].patches]
        assert outlines == pytest.approx([limit, limit])


def test_gray_images_have_one_channel_and_colour_ones_three():
    assert titles_of(figures.plot_colours(samples(gray=True)))[:-1] == ["Brightness"]
    titles = titles_of(figures.plot_colours(samples()))
    assert titles == ["Red", "Green", "Blue", "Foreground is darker in 40 of 40 images"]


def test_an_image_without_foreground_is_left_out_of_the_contrast():
    table = samples()
    table.loc[0, ["foreground_red", "foreground_green", "foreground_blue"]] = np.nan
    assert titles_of(figures.plot_colours(table))[-1] == "Foreground is darker in 39 of 39 images"


def test_drift_shows_what_varies_and_names_what_does_not():
    figure = figures.plot_drift(samples(), samples(20), drift())
    assert titles_of(figure) == ["red: d = +1.25"]
    title = figure.get_suptitle()
    assert "AUC 0.60, 95 % interval 0.50 to 0.70" in title
    assert title.endswith("the same in all images: height")
    assert (
        "Too few to say (40 training, 20 test)"
        in figures.plot_drift(samples(), samples(20), drift(np.nan)).get_suptitle()
    )


def test_no_line_strikes_through_the_shares_that_are_told():
    share = pd.DataFrame({"image": [0.45], "mask": [np.nan]}, index=["mirrored_sideways"])
    ax = figures.plot_orientation(share, 0.9).axes[0]
    assert [text.get_text() for text in ax.texts] == ["45 %", "too few"]
    chance = next(line for line in ax.lines if line.get_label() == "chance")
    for text in ax.texts:
        assert text.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)
        assert text.get_zorder() > chance.get_zorder()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_pairs_stand_side_by_side(count):
    images = [np.zeros((20, 30, 3), np.uint8)] * count
    figure = figures.plot_duplicates(images, images, [f"pair {number}" for number in range(count)])
    assert sum(bool(ax.images) for ax in figure.axes) == 2 * count
    shown = [cell.get_suptitle() for cell in figure.subfigs][:count]
    assert shown == [f"pair {number}" for number in range(count)]
    assert count or figure.get_suptitle() == "No near-duplicates"


@pytest.mark.parametrize("count", [1, 2])
def test_the_smallest_sets_can_be_drawn(count):
    table = samples(count)
    for figure in (figures.plot_data(table), figures.plot_shapes(table), figures.plot_colours(table)):
        figure.draw_without_rendering()
