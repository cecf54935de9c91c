"""Masks of one set that leave open what their grays are, from the listing to what a network learns."""

import cv2
import numpy as np
import pytest
from gray_masks import disc, enlarged, nested, smooth

from seglib.batches.cache import build_cache
from seglib.checks.problems import inspect_data
from seglib.config import Config
from seglib.data import usual_grays
from seglib.data.folds import assign_folds
from seglib.data.references import list_masks
from seglib.data.samples import list_samples
from seglib.data.usual_grays import find_usual, mark_usual
from seglib.images.grays import EDGES, LABELS
from seglib.images.mask_files import add_usual, join_files, split_files, take_usual
from seglib.images.masks import read_mask, read_mask_levels, resize_mask
from seglib.images.reading import Scale
from seglib.training.orders import Order, read_order, write_order

SURE_LABELS, SURE_EDGES = [nested(255, 85, 40 + n) for n in range(4)], [smooth(40 + n) for n in range(4)]
RARE = nested(255, 85, 8)  # a label that is a small part of the foreground: by itself it reads as smoothed edges
TINY = enlarged(9)  # smoothed, but by itself it reads as labels


@pytest.fixture
def write_set(tmp_path):
    def write(planes):
        for place in ("Image", "Mask"):
            (tmp_path / "Train" / place).mkdir(parents=True, exist_ok=True)
        for number, plane in enumerate(planes):
            picture = np.random.default_rng(number).integers(0, 255, plane.shape, np.uint8)
            cv2.imwrite(str(tmp_path / "Train" / "Image" / f"{number:03}.png"), picture)
            cv2.imwrite(str(tmp_path / "Train" / "Mask" / f"{number:03}.png"), plane)
        return tmp_path

    return write


@pytest.fixture
def save(tmp_path):
    def save_planes(planes, ending="png"):
        paths = [str(tmp_path / f"{number:03}.{ending}") for number in range(len(planes))]
        for path, plane in zip(paths, planes, strict=True):
            cv2.imwrite(path, plane)
        return paths

    return save_planes


@pytest.mark.parametrize(
    ("others", "plane", "usual", "top", "alone"),
    [
        (SURE_LABELS, RARE, LABELS, 0, 127),
        ([nested(3, 9, 30), nested(18, 6, 30)], nested(7, 255, 30), LABELS, 0, 127),  # 255 is one more class
        ([nested(40, 100, 30), nested(90, 60, 30)], nested(200, 10, 30), LABELS, 0, 127),
        ([enlarged(50), enlarged(54)], TINY, EDGES, 127, 0),
    ],
)
def test_a_file_that_was_read_unlike_its_set_is_read_alike(write_set, others, plane, usual, top, alone):
    data = write_set([*others, plane])
    samples = list_samples(data)
    last = samples["mask_path"].iloc[-1]
    assert set(map(take_usual, samples["mask_path"])) == {usual}
    assert read_mask_levels(split_files(last)[0])[1] == alone
    assert np.array_equal(read_mask(last), plane > top)
    found = inspect_data(data)
    assert "read unlike the others" not in found.problems["problem"].tolist()
    assert found.samples["mask_share"].iloc[-1] == np.mean(plane > top)
    stored = build_cache(samples, data / "cache", size=32, channels=1, scale=Scale(0, 255)).masks
    assert np.array_equal(stored[-1], resize_mask((plane > top).astype(np.uint8), 32))
    assert list_masks(data / "Train" / "Mask")[samples["sample_id"].iloc[-1]] == last


def test_what_is_usual_is_known_to_the_cache(write_set, tmp_path):
    samples, how = list_samples(write_set([*SURE_LABELS, RARE])), {"size": 128, "channels": 1, "scale": Scale(0, 255)}
    alone = samples.assign(mask_path=[split_files(path)[0] for path in samples["mask_path"]])
    kept, lost = (build_cache(table, tmp_path / "cache", **how).masks[-1].sum() for table in (samples, alone))
    assert (kept, lost) == (np.count_nonzero(RARE), np.count_nonzero(RARE > 127))


def test_clear_files_of_both_kinds_are_each_read_as_they_are_and_told(write_set):
    planes = [*SURE_LABELS, SURE_EDGES[0], RARE]
    data = write_set(planes)
    read = map(read_mask, list_samples(data)["mask_path"])
    for mask, plane, top in zip(read, planes, [0, 0, 0, 0, 127, 0], strict=True):
        assert np.array_equal(mask, plane > top)
    (told,) = inspect_data(data).problems.query("problem == 'read unlike the others'").itertuples()
    assert told.file == "Train/Mask/004.png"
    assert told.fact == "was read as foreground above 127, but 5 other masks of several values above 0"
    assert told.cure == "save all masks as 0 and 255"


@pytest.mark.parametrize(
    ("planes", "usual"),
    [
        ([disc(40), disc(30, 1), np.zeros((128, 128), np.uint8)], None),  # 0/255 beside 0/1: none has grays
        (SURE_LABELS, LABELS),
        (SURE_EDGES, EDGES),
        ([*SURE_LABELS[:2], *SURE_EDGES[:2]], None),
        ([*SURE_LABELS[:2], *SURE_EDGES[:3]], EDGES),
        ([RARE, TINY], None),
        ([SURE_LABELS[0], *[RARE] * 9], LABELS),
        ([SURE_LABELS[0], *[RARE] * 10], None),  # one would speak for ten
        ([], None),
    ],
)
def test_those_that_are_sure_speak_for_the_set(save, planes, usual):
    assert find_usual(save(planes)) == usual


def test_masks_that_leave_nothing_open_are_read_as_ever(save):
    planes = [disc(40), disc(30, 1), disc(20, 100), np.full((8, 8), 3, np.uint8), np.zeros((8, 8), np.uint8)]
    shares = np.clip(smooth(40) / np.float32(255), 0, 0.9)
    jpeg, (part,) = save([nested(255, 85, 40)], "jpg"), save([shares], "tif")
    for usual in (LABELS, EDGES):
        for path, plane in zip(save(planes), planes, strict=True):
            assert np.array_equal(read_mask(add_usual(path, usual)), plane > 0)
        assert read_mask_levels(add_usual(jpeg[0], usual))[1] == 127
        assert np.array_equal(read_mask(add_usual(part, usual)), shares > 0.5)
    assert find_usual([*save(planes), *jpeg, part]) is None


def test_each_file_of_a_mask_is_read_as_is_usual(save):
    first, second = save([RARE, np.zeros((128, 128), np.uint8)])
    for paths in ([first, second], [second, first]):
        assert np.array_equal(read_mask(add_usual(join_files(paths), LABELS)), RARE > 0)
        assert np.array_equal(read_mask(add_usual(join_files(paths), EDGES)), RARE > 127)


def test_what_cannot_be_read_has_no_say(save, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"none")
    paths = [str(tmp_path / "broken.png"), str(tmp_path / "missing.png"), *save(SURE_LABELS)]
    assert find_usual(paths) == LABELS
    assert mark_usual(paths[:2]) == paths[:2]


def test_few_files_are_opened_where_no_mask_has_grays(monkeypatch):
    looked, paths = set(), [f"{number}.png" for number in range(1001)]
    monkeypatch.setattr(usual_grays, "judge_grays", looked.add)  # which gives None
    assert find_usual(paths) is None
    assert len(looked) == 19
    monkeypatch.setattr(usual_grays, "judge_grays", lambda path: looked.add(path) or (EDGES, True))
    assert find_usual(paths) == EDGES
    assert len(looked) == 167


def test_what_is_usual_reaches_the_processes_that_train(write_set, tmp_path):
    samples = list_samples(write_set([*SURE_LABELS, RARE]))
    folds = assign_folds(samples, np.zeros(len(samples)), n_folds=2, seed=0)
    write_order(tmp_path / "order", Order(samples, folds, Config(), tmp_path, tmp_path))
    assert read_order(tmp_path / "order").samples["mask_path"].tolist() == samples["mask_path"].tolist()
