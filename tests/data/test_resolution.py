import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib import figures
from seglib.config import Config, make_config
from seglib.data import resolution
from seglib.data.resolution import describe_sizes, fit_config, list_sizes, prepare_sizes, score_size
from seglib.errors import InputError


def disc(side, radius, *, centre=(0.5, 0.5)):
    y, x = np.mgrid[:side, :side]
    return (np.hypot(y - centre[0] * side, x - centre[1] * side) <= radius).astype(np.uint8)


def vessels(height=240, width=320, *, thick=2, seed=0):
    rng, mask = np.random.default_rng(seed), np.zeros((height, width), np.uint8)
    for _ in range(12):
        ends = rng.integers(0, (width, height), (2, 2)).tolist()
        cv2.line(mask, *ends, 1, thick)
    return mask


def write(folder, masks):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(len(masks))]
    for path, mask in zip(paths, masks, strict=True):
        Image.fromarray(255 * mask).save(path)
    return pd.DataFrame({"sample_id": [path.stem for path in paths], "mask_path": [str(path) for path in paths]})


def by_pillow(mask, size):
    shares = Image.fromarray(255 * mask).resize((size, size), Image.Resampling.BOX)
    found = np.asarray(shares.resize(mask.shape[::-1], Image.Resampling.BILINEAR)) > 127
    return 2 * np.count_nonzero(found & (mask > 0)) / (found.sum() + mask.sum())


# --- one mask --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 64])
def test_edges_between_the_pixels_of_the_network_cost_nothing(size):
    mask = np.zeros((128, 256), np.uint8)
    mask[64:] = 1
    assert score_size(mask, size) == 1


@pytest.mark.parametrize("mask", [disc(200, 60), vessels(), vessels(300, 90, thick=7)])
def test_at_the_size_of_the_file_and_above_nothing_is_lost(mask):
    assert score_size(mask, 2 * max(mask.shape)) > 0.99


def test_a_line_thinner_than_half_a_pixel_of_the_network_is_lost():
    line = np.zeros((256, 256), np.uint8)
    line[:, 100] = 1
    assert score_size(line, 64) == 0
    assert score_size(line, 256) == 1


def test_an_empty_mask_says_nothing_and_a_full_one_stays_full():
    assert np.isnan(score_size(np.zeros((50, 70), np.uint8), 32))
    assert score_size(np.ones((50, 70), np.uint8), 32) == 1


@pytest.mark.parametrize("size", [40, 80, 480])  # whole factors: where pixels are cut, Pillow counts whole ones only
@pytest.mark.parametrize("mask", [disc(240, 40), disc(320, 9, centre=(0.3, 0.61)), vessels(thick=5)])
def test_pillow_says_the_same(mask, size):
    assert score_size(mask, size) == pytest.approx(by_pillow(mask, size), abs=0.003)


@pytest.mark.parametrize("seed", range(5))
def test_more_pixels_show_more_of_thin_things_and_turning_changes_nothing(seed):
    mask = vessels(seed=seed, thick=3)
    scores = [score_size(mask, size) for size in (32, 64, 128, 256)]
    assert scores == sorted(scores)
    assert scores[0] < 0.65 < 0.9 < scores[-1]
    for turned in (mask[::-1], mask[:, ::-1], mask.T):
        assert score_size(np.ascontiguousarray(turned), 64) == pytest.approx(scores[1], abs=0.005)


# --- many masks ------------------------------------------------------------------------------------------------------


def test_every_mask_has_a_row_and_they_are_kept_in_a_file(tmp_path, monkeypatch):
    masks = [disc(96, 30), np.zeros((96, 96), np.uint8), disc(96, 3)]
    samples, config = write(tmp_path, masks).assign(sample_id=["007", "NA", "2"]), Config(image_size=64)
    scores = prepare_sizes(tmp_path / "sizes.csv", samples, config)
    assert scores.columns.tolist() == [32, 48, 64, 96]
    assert scores.index.tolist() == ["007", "NA", "2"]
    assert scores.loc["2"].tolist() == [score_size(masks[2], size) for size in (32, 48, 64, 96)]
    assert scores.loc["NA"].isna().all()
    measure = resolution._score_sizes
    monkeypatch.setattr(resolution, "_score_sizes", None)  # calling it would fail
    pd.testing.assert_frame_equal(prepare_sizes(tmp_path / "sizes.csv", samples, config), scores)
    monkeypatch.setattr(resolution, "_score_sizes", measure)
    Image.fromarray(255 * disc(96, 1)).save(samples["mask_path"][0])  # mended since: measured anew
    assert prepare_sizes(tmp_path / "sizes.csv", samples, config).loc["007", 96] == score_size(disc(96, 1), 96)
    other = prepare_sizes(tmp_path / "sizes.csv", samples, Config(image_size=96))  # other sizes: measured anew
    assert other.columns.tolist() == [48, 64, 96]
    assert other.loc["007", 96] == score_size(disc(96, 1), 96)
    fewer = prepare_sizes(tmp_path / "sizes.csv", samples[1:], Config(image_size=96))  # so with other samples
    assert fewer.index.tolist() == ["NA", "2"]


def test_of_many_masks_some_are_measured_both_ends_among_them(tmp_path, monkeypatch):
    monkeypatch.setattr(resolution, "MOST", 5)
    scores = prepare_sizes(tmp_path / "a.csv", write(tmp_path, [disc(64, 9)] * 28), Config(image_size=32))
    assert scores.index.tolist() == ["0", "7", "14", "20", "27"]


def test_masks_without_any_foreground_change_nothing_and_say_so(tmp_path):
    config = Config(image_size=192, max_image_size=384)
    scores = prepare_sizes(tmp_path / "a.csv", write(tmp_path, [np.zeros((400, 500), np.uint8)]), config)
    assert fit_config(config, scores) == Config(image_size=192)
    assert describe_sizes(scores, config) == "no mask has foreground, so no size loses any"
    assert figures.plot_sizes(scores, 192).axes


def test_a_mask_that_cannot_be_read_is_named(tmp_path):
    samples = write(tmp_path, [disc(64, 9)])
    (tmp_path / "0.png").write_bytes(b"none")
    with pytest.raises(InputError, match=r"0\.png"):
        prepare_sizes(tmp_path / "a.csv", samples, Config())


# --- which sizes, and what they mean ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "sides", "sizes"),
    [
        ({"image_size": 192}, [512] * 9, [96, 144, 192, 288, 384]),
        ({"image_size": 192}, [512, 4000, 4000], [96, 144, 192, 288, 384, 576, 768]),
        ({"image_size": 192, "architecture": "Unet", "encoder": "resnet34"}, [300], [96, 128, 192, 288]),
        ({"image_size": 192}, [100], [96, 144, 192]),
        ({"image_size": 32}, [64], [16, 32, 48, 64]),
    ],
)
def test_sizes_fit_the_network_and_end_at_the_files(config, sides, sizes):
    assert list_sizes(Config(**config), sides) == sizes


def table(**means):
    return pd.DataFrame({int(name[1:]): [mean - 0.01, mean + 0.01, np.nan] for name, mean in means.items()})


@pytest.mark.parametrize(
    ("scores", "most", "size"),
    [
        (table(s96=0.95, s192=0.985, s384=0.999), 384, 192),  # little is lost
        (table(s192=0.8, s288=0.89, s384=0.9, s576=0.98), 384, 384),  # half of what was lost is back
        (table(s192=0.8, s288=0.91, s384=0.99), 384, 288),  # already by less
        (table(s192=0.8, s288=0.81, s384=0.83), 384, 384),  # not half, but something
        (table(s192=0.8, s288=0.805, s384=0.81), 384, 192),  # next to nothing
        (table(s192=0.8, s288=0.81, s384=0.99), 288, 192),  # not allowed
        (table(s192=0.8, s288=0.91, s384=0.99), 0, 192),  # never
        (table(s96=0.5, s192=0.8), 384, 192),  # the files are no larger
    ],
)
def test_the_size_is_raised_where_that_has_details_back(scores, most, size):
    fitted = fit_config(Config(image_size=192, max_image_size=most, seed=3), scores)
    assert fitted == Config(image_size=size, seed=3)


def test_where_little_is_lost_no_cure_is_offered():
    scores = table(s96=0.95, s192=0.985, s384=0.999)
    for most in (0, 384):
        fact, verdict = describe_sizes(scores, Config(image_size=192, max_image_size=most)).split(", so ")
        assert fact == "192 pixels can show the masks up to a Dice of 0.985 per image"
        assert verdict == "the size of the network's images loses little"


def test_a_size_that_was_asked_for_stays_and_its_cure_is_named():
    scores = table(s96=0.5, s192=0.8, s288=0.89, s384=0.9, s576=0.98)
    sentence = describe_sizes(scores, Config(image_size=192))
    assert "a Dice of 0.800 per image: finer details are lost" in sentence
    assert "384 pixels can show 0.900 (--set image_size=384)" in sentence
    assert "about 4 times as long" in sentence
    assert "--set image_size=576" in describe_sizes(scores, Config(image_size=384))
    assert describe_sizes(table(s192=0.9, s288=0.91), Config(image_size=192)).endswith("no larger size shows much more")


def test_a_size_that_is_raised_is_said_with_its_price_and_how_to_keep_it():
    sentence = describe_sizes(table(s192=0.8, s384=0.9), Config(image_size=192, max_image_size=384))
    assert "so it sees 384 pixels, which can show 0.900" in sentence
    assert "about 4 times as long (--set image_size=192 keeps 192)" in sentence


@pytest.mark.parametrize("preset", ["quick", "best"])
def test_a_preset_may_raise_its_size_and_a_size_that_is_given_is_kept(preset):
    assert make_config(preset).max_image_size == 384
    assert make_config(preset, image_size=224).max_image_size == 0
    assert make_config(preset, image_size=224, max_image_size=288).max_image_size == 288
    assert make_config("baseline").max_image_size == 0
    with pytest.raises(InputError, match="max_image_size=100 .* 0 or 192 or more"):
        make_config(preset, max_image_size=100)


def test_the_figure_marks_the_size_that_is_set():
    ax = figures.plot_sizes(table(s96=0.5, s192=0.8, s384=0.9), 192).axes[0]
    assert ax.get_title() == "What 2 masks keep at each size"
    assert [text.get_text() for text in ax.texts] == ["0.500", "0.800", "0.900"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [192]
    low, high = ax.get_ylim()
    assert low < 0.49
    assert high > 1
