"""Masks that are stored in several files, one for each object, from the listing to the score."""

import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from empty_files import touch
from PIL import Image

from seglib.batches.cache import build_cache
from seglib.checks.facts import check_samples
from seglib.checks.listing import list_left_out
from seglib.checks.problems import inspect_data
from seglib.config import Config
from seglib.data import fingerprints
from seglib.data.fingerprints import fingerprint_data
from seglib.data.folds import assign_folds
from seglib.data.references import list_masks
from seglib.data.resolution import prepare_sizes
from seglib.data.samples import list_samples, pair_samples
from seglib.errors import InputError
from seglib.images.mask_files import first_file, join_files, list_files, split_files
from seglib.images.masks import read_mask, read_mask_levels
from seglib.images.reading import Scale
from seglib.submission.run_lengths import encode_rle
from seglib.submission.scoring import read_submitted, score_submission
from seglib.training.orders import Order, read_order, write_order

SCALE = Scale(0, 255)


def cut(path):
    """A mask's left and right halves, as two files in the place of one: STEM_mask and STEM_mask_1."""
    mask = read_mask(path)
    middle = mask.shape[1] // 2
    stem = path.stem.removesuffix("_mask")
    for name, columns in ((f"{stem}_mask", slice(None, middle)), (f"{stem}_mask_1", slice(middle, None))):
        half = np.zeros_like(mask)
        half[:, columns] = mask[:, columns]
        Image.fromarray(255 * half).save(path.with_name(f"{name}.png"))
    if path.stem == stem:
        path.unlink()


@pytest.fixture
def several(phantoms, tmp_path):
    """Phantoms of which the first three have masks in two files."""
    data = shutil.copytree(phantoms, tmp_path / "several")
    for path in sorted((data / "Train" / "Mask").iterdir())[:3]:
        cut(path)
    return data


def names_of(data):
    samples, problems = pair_samples(data)
    masks = {
        row.sample_id: [path.removeprefix(f"{data}/Train/Mask/") for path in split_files(row.mask_path)]
        for row in samples.itertuples()
    }
    return masks, [problem.problem for problem in problems]


# --- listing ---------------------------------------------------------------------------------------------------------


def test_numbered_files_are_one_mask(tmp_path):
    masks = ["b (1)_mask.png", "b (1)_Mask_1.png", "b (1)_mask_12.gif", "c_mask_1.png"]
    data = touch(tmp_path, *(f"Train/Image/{name}.png" for name in ("b (1)", "c")), *(f"Train/Mask/{m}" for m in masks))
    found, problems = names_of(data)
    assert problems == []
    assert {image: sorted(files) for image, files in found.items()} == {"b (1)": sorted(masks[:3]), "c": masks[3:]}


def test_files_in_a_folder_called_after_the_image_are_one_mask(tmp_path):
    masks = ["a/0f3c.png", "a/99.png", "P1/s1/x.png", "P1/s1/y_mask.png", "P1/s2.png", "b/one.png"]
    images = ["a.png", "b.png", "P1/s1.png", "P1/s2.png"]
    data = touch(tmp_path, *(f"Train/Image/{name}" for name in images), *(f"Train/Mask/{name}" for name in masks))
    found, problems = names_of(data)
    assert problems == []
    assert found == {"a": masks[:2], "b": ["b/one.png"], "P1_s1": masks[2:4], "P1_s2": ["P1/s2.png"]}


def test_a_name_of_its_own_comes_before_the_folder(tmp_path):
    images = ["P1.png", "P1_s1.png"]
    data = touch(tmp_path, *(f"Train/Image/{name}" for name in images), "Train/Mask/P1/s1.png", "Train/Mask/P1.png")
    assert names_of(data) == ({"P1": ["P1.png"], "P1_s1": ["P1/s1.png"]}, [])


@pytest.mark.parametrize("masks", [["a.png", "a_mask.png"], ["a.png", "a_mask_1.png"], ["a.png", "a/1.png"]])
def test_other_masks_of_one_image_are_two_masks(tmp_path, masks):
    data = touch(tmp_path, "Train/Image/a.png", "Train/Image/b.png", "Train/Mask/b.png")
    touch(data, *(f"Train/Mask/{name}" for name in masks))
    found, problems = names_of(data)
    assert problems == ["two masks"]
    assert len(found["a"]) == 1


# --- reading ---------------------------------------------------------------------------------------------------------


def test_foreground_is_what_is_so_in_one_of_the_files(tmp_path):
    parts = np.random.default_rng(0).integers(0, 2, (3, 20, 30), dtype=np.uint8)
    paths = [str(tmp_path / f"{number}.png") for number in range(3)]
    parts[:, 0, 0] = 0
    for path, part, high in zip(paths, parts, (255, 1, 90), strict=True):
        pixels = high * part
        pixels[0, 0] = 60 if high == 255 else 0  # a smoothed edge
        Image.fromarray(pixels).save(path)
    mask = read_mask(join_files(paths))
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, parts.max(0))
    assert np.array_equal(read_mask(join_files(paths[:1])), parts[0])
    plane, background_top = read_mask_levels(join_files(paths))
    assert (plane.max(), background_top) == (1, 0)


def test_files_of_one_mask_have_one_size(tmp_path):
    for name, size in (("a", (30, 20)), ("b", (20, 30))):
        Image.new("L", size).save(tmp_path / f"{name}.png")
    with pytest.raises(
        InputError, match=r"b\.png is 20 x 30 pixels but .*a\.png, a part of .* is 30 x 20; export both"
    ):
        read_mask(join_files([str(tmp_path / "a.png"), str(tmp_path / "b.png")]))


# --- what follows ----------------------------------------------------------------------------------------------------


def test_a_set_in_parts_is_the_set_that_it_was_cut_from(several, phantoms, tmp_path):
    whole, parts = list_samples(phantoms), list_samples(several)
    assert [len(split_files(path)) for path in parts["mask_path"]][:4] == [2, 2, 2, 1]
    how = {"size": 32, "channels": 3, "scale": SCALE}
    first, second = (build_cache(one, tmp_path / name, **how) for one, name in ((whole, "a"), (parts, "b")))
    assert np.array_equal(first.masks, second.masks)
    sizes = [prepare_sizes(tmp_path / f"{len(one)}.csv", one, Config(image_size=32)) for one in (whole, parts)]
    pd.testing.assert_frame_equal(*sizes)
    ours, theirs = (inspect_data(data) for data in (several, phantoms))
    assert np.allclose(ours.samples["mask_share"], theirs.samples["mask_share"])


def test_a_file_that_moves_to_another_mask_is_noticed_by_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(fingerprints, "SETTLED", -60)
    paths = {name: str(tmp_path / f"{name}.png") for name in "abxyz"}
    for number, path in enumerate(paths.values()):
        Image.fromarray(np.roll(np.eye(32, dtype=np.uint8) * 255, number, axis=1)).save(path)
    images, how = [paths["a"], paths["b"]], {"size": 32, "channels": 1, "scale": SCALE}
    for first in ("xy", "x"):
        files = [paths[name] for name in "xyz"]
        masks = [files[: len(first)], files[len(first) :]]
        samples = pd.DataFrame({"image_path": images, "mask_path": [join_files(part) for part in masks]})
        assert list_files(samples) == [*images, *files]
        stored = build_cache(samples, tmp_path / "cache", **how).masks
        assert np.array_equal(stored[0], read_mask(samples["mask_path"][0]))


def test_every_file_counts_for_what_a_set_is_known_by(several):
    before = fingerprint_data(list_files(list_samples(several)))
    path = several / "Train" / "Mask" / first_file(list_samples(several)["mask_path"][0]).name
    path.with_name(path.name.replace("_mask", "_mask_2")).write_bytes(path.read_bytes())
    assert fingerprint_data(list_files(list_samples(several))) != before


def test_it_is_a_note_that_says_which_files_are_joined(several, phantoms):
    found = inspect_data(several).problems
    (row,) = found[found["problem"] == "several files"].itertuples()
    stem = list_samples(several)["sample_id"][0]
    assert (row.severity, row.file) == ("note", f"Train/Mask/{stem}_mask.png")
    assert row.fact == f"is one mask together with {stem}_mask_1.png, as are the files of 2 other images"
    assert "other names" not in found["problem"].tolist()
    assert "several files" not in inspect_data(phantoms).problems["problem"].tolist()


def test_numbered_files_are_no_other_names(several):
    for path in sorted((several / "Train" / "Mask").glob("*_mask.png")):
        path.rename(path.with_name(f"{path.stem}_0.png"))
    assert "other names" not in inspect_data(several).problems["problem"].tolist()


def test_one_object_in_a_folder_of_its_image_is_no_other_name(phantoms, tmp_path):
    data = shutil.copytree(phantoms, tmp_path / "folders")
    for path in sorted((data / "Train" / "Mask").iterdir()):
        (path.parent / path.stem).mkdir()
        path.rename(path.parent / path.stem / f"object{path.suffix}")
    assert {"other names", "several files"}.isdisjoint(inspect_data(data).problems["problem"])
    assert len(list_samples(data)) == len(list_samples(phantoms))


def test_a_broken_file_is_blamed_itself_and_leaves_with_its_image_and_the_others(several):
    stem = list_samples(several)["sample_id"][1]
    (several / "Train" / "Mask" / f"{stem}_mask_1.png").write_bytes(b"none")
    problems = inspect_data(several).problems
    (row,) = problems[problems["severity"] == "error"].itertuples()
    assert (row.file, row.problem) == (f"Train/Mask/{stem}_mask_1.png", "unreadable")
    left_out = list_left_out(problems, several)
    mine = left_out[left_out["problem"] == "unreadable"]["file"].tolist()
    assert [name.rpartition("/")[2].partition(".")[0] for name in mine] == [stem, f"{stem}_mask", f"{stem}_mask_1"]


def test_a_mask_of_another_size_than_its_image_is_named_by_its_first_file(several, tmp_path):
    samples = list_samples(several)
    for path in split_files(samples["mask_path"][0]):
        Image.new("1", (7, 9), 1).save(path)
    words = rf"{samples['sample_id'][0]}_mask\.png is 7 x 9 pixels but its image"
    with pytest.raises(InputError, match=words):
        check_samples(samples, scale=SCALE)
    with pytest.raises(InputError, match=words):
        build_cache(samples, tmp_path / "cache", size=32, channels=3, scale=SCALE)


def test_several_files_reach_the_processes_that_train(several, tmp_path):
    samples = list_samples(several)
    folds = assign_folds(samples, np.zeros(len(samples)), n_folds=2, seed=0)
    write_order(tmp_path / "order", Order(samples, folds, Config(), tmp_path, tmp_path))
    pd.testing.assert_frame_equal(read_order(tmp_path / "order").samples, samples, check_dtype=False)


def test_a_submission_is_scored_against_all_files_of_a_reference(tmp_path):
    y, x = np.mgrid[:40, :50]
    for name, at in (("a_mask", 10), ("a_mask_1", 35)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), 255 * (np.hypot(y - 20, x - at) < 6).astype(np.uint8))
    truth = list_masks(tmp_path)
    assert [len(split_files(path)) for path in truth.values()] == [2]
    pd.DataFrame({"id": ["a"], "rle": [encode_rle(read_mask(truth["a"]))]}).to_csv(tmp_path / "s.csv", index=False)
    assert score_submission(read_submitted(tmp_path / "s.csv", truth), truth, read_mask)["dice"].tolist() == [1]
