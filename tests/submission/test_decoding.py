import os
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from seglib.cli import main
from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.submission import decoding
from seglib.submission.decoding import Decoded, Joined, decode_masks
from seglib.submission.run_lengths import decode_rle, decode_runs, encode_rle, make_absolute, seem_relative


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "Image"
    folder.mkdir()
    for name in ("a", "b", "c"):
        cv2.imwrite(str(folder / f"{name}.png"), np.zeros((30, 50), np.uint8))
    return folder


def disc(x, y, radius=6):
    return cv2.circle(np.zeros((30, 50), np.uint8), (x, y), radius, 1, -1)


def write(path, rows, columns=("id", "rle")):
    pd.DataFrame(rows, columns=list(columns)).to_csv(path, index=False)
    return path


MASKS = {"a": disc(20, 12), "b": disc(33, 15), "c": np.zeros((30, 50), np.uint8)}


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("zero_based", [False, True])
def test_masks_come_back_as_files_at_the_size_of_their_images(images, tmp_path, by_rows, zero_based):
    order = {"by_rows": by_rows, "zero_based": zero_based}
    table = write(tmp_path / "t.csv", [(f"{name}.png", encode_rle(mask, **order)) for name, mask in MASKS.items()])
    assert decode_masks(table, images, tmp_path / "Mask", **order) == Decoded(3, 1, 0, torn=False)
    assert sorted(path.name for path in (tmp_path / "Mask").iterdir()) == ["a.png", "b.png", "c.png"]
    for name, mask in MASKS.items():
        assert np.array_equal(read_mask(tmp_path / "Mask" / f"{name}.png"), mask)
    assert cv2.imread(str(tmp_path / "Mask" / "a.png"), cv2.IMREAD_UNCHANGED).max() == 255
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Image", "Mask", "t.csv"]


def test_few_masks_wait_to_be_written_however_slow_the_disk_is(images, tmp_path, monkeypatch):
    names = [f"{number:03d}" for number in range(20 * os.cpu_count())]
    for name in names:
        (images / f"{name}.png").write_bytes((images / "a.png").read_bytes())
    table, decoded = write(tmp_path / "t.csv", [(name, "1 9") for name in names]), []

    def count(*runs, **order):
        decoded.append(runs)
        return decode_runs(*runs, **order)

    def take_one(masks, out):
        next(masks)
        time.sleep(0.5)
        waiting.append(len(decoded))
        return {}

    waiting = []
    monkeypatch.setattr(decoding, "decode_runs", count)
    monkeypatch.setattr(decoding, "_write_masks", take_one)
    decode_masks(table, images, tmp_path / "Mask", rest_empty=True)
    assert waiting[0] <= 2 * os.cpu_count() + 1


def test_masks_may_be_written_into_an_empty_folder_that_a_link_leads_to(images, tmp_path):
    table = write(tmp_path / "t.csv", [(name, encode_rle(mask)) for name, mask in MASKS.items()])
    (tmp_path / "disk").mkdir()
    (tmp_path / "Mask").symlink_to(tmp_path / "disk")
    decode_masks(table, images, tmp_path / "Mask")
    assert (tmp_path / "Mask").is_symlink()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("nothing", ["", " -1", "nan"])
def test_rows_of_one_image_are_joined_and_a_word_for_nothing_is_none(images, tmp_path, nothing):
    one, two = disc(10, 10), disc(14, 12)  # which overlap
    rows = [("a", encode_rle(one)), ("b", nothing), ("a", encode_rle(two)), ("a", nothing), ("c", encode_rle(one))]
    assert decode_masks(write(tmp_path / "t.csv", rows), images, tmp_path / "m").empty == 1
    assert np.array_equal(read_mask(tmp_path / "m" / "a.png"), one | two)
    assert not read_mask(tmp_path / "m" / "b.png").any()


def test_one_class_of_several_is_chosen_by_another_column(images, tmp_path):
    rows = [(n, kind, encode_rle(disc(x, 15)), "x") for n in "abc" for kind, x in (("large", 10), ("small", 40))]
    table = write(tmp_path / "t.csv", rows, ("id", "class", "segmentation", "other"))
    decode_masks(table, images, tmp_path / "m", where={"class": "small"})
    assert np.array_equal(read_mask(tmp_path / "m" / "b.png"), disc(40, 15))
    decode_masks(table, images, tmp_path / "both")
    assert np.array_equal(read_mask(tmp_path / "both" / "b.png"), disc(40, 15) | disc(10, 15))


def make_relative(mask):
    """As the pneumothorax challenge counts: the pixels since the end of the run before."""
    pairs = np.array(encode_rle(mask, zero_based=True).split(), dtype=int).reshape(-1, 2)
    ends = np.concatenate([[0], pairs.sum(axis=1)[:-1]])
    return " ".join(map(str, np.column_stack([pairs[:, 0] - ends, pairs[:, 1]]).ravel()))


@pytest.mark.parametrize("zero_based", [False, True])
def test_relative_run_lengths_are_read_where_they_are_said_to_be_and_refused_elsewhere(images, tmp_path, zero_based):
    one, two = disc(10, 10), disc(14, 20)
    rows = [("a", make_relative(one)), ("b", " -1"), ("a", make_relative(two)), ("c", make_relative(one))]
    table = write(tmp_path / "t.csv", rows)
    decode_masks(table, images, tmp_path / "m", relative=True, zero_based=zero_based)
    assert np.array_equal(read_mask(tmp_path / "m" / "a.png"), one | two)
    assert np.array_equal(read_mask(tmp_path / "m" / "c.png"), one)
    with pytest.raises(InputError, match=r"t\.csv: the starts of most rows go down, as in .*; say --relative"):
        decode_masks(table, images, tmp_path / "n")


def test_a_few_rows_out_of_order_or_objects_joined_in_a_row_are_not_taken_for_relative_ones(images, tmp_path):
    one, two = encode_rle(disc(10, 10)), encode_rle(disc(30, 20))
    swapped = " ".join(np.array(one.split()).reshape(-1, 2)[::-1].ravel())
    table = write(tmp_path / "t.csv", [("a", one), ("a", two), ("b", swapped), ("c", two)])
    decode_masks(table, images, tmp_path / "m")
    assert np.array_equal(read_mask(tmp_path / "m" / "b.png"), disc(10, 10))
    assert not seem_relative([(f"{two} {one}", 1500)])  # it goes down, but the numbers are too large for gaps
    assert not seem_relative([("9 3", 1500), ("x", 1500), ("", 1500)])
    assert seem_relative([("9 3 2 1", 1500), ("1 3 2 1 2 1", 1500)])


@pytest.mark.parametrize("text", ["1 2 3", "a b", ""])
def test_what_is_no_list_of_runs_is_left_for_the_decoder_to_refuse(text):
    assert make_absolute(text) == text


def test_classes_that_are_joined_are_named_and_numbers_of_objects_are_none(images, tmp_path):
    rows = [(name, number, "u", kind, "1 3") for number, (name, kind) in enumerate((n, k) for n in "abc" for k in "yx")]
    table = write(tmp_path / "t.csv", rows, ("id", "number", "hospital", "class", "rle"))
    assert decode_masks(table, images, tmp_path / "m").joined == Joined("class", ["x", "y"])
    assert decode_masks(table, images, tmp_path / "x", where={"class": "x"}).joined is None


def test_a_class_behind_the_name_of_a_file_is_a_column(images, tmp_path):
    rows = [(f"{n}.jpg_{kind}", encode_rle(disc(x, 15))) for n in "abc" for kind, x in ((1, 10), (2, 40))]
    table = write(tmp_path / "t.csv", rows, ("ImageId_ClassId", "EncodedPixels"))
    assert decode_masks(table, images, tmp_path / "both").joined == Joined("ClassId", ["1", "2"])
    decode_masks(table, images, tmp_path / "m", where={"ClassId": "2"})
    assert np.array_equal(read_mask(tmp_path / "m" / "b.png"), disc(40, 15))
    decode_masks(write(tmp_path / "u.csv", rows), images, tmp_path / "n", where={"class": "1"})
    assert np.array_equal(read_mask(tmp_path / "n" / "b.png"), disc(10, 15))


@pytest.mark.parametrize("call", ["case{0}_scan_1.png", "case{0}_day1_scan_1", "case{0}_case{0}_day1_scan_1_30_50"])
def test_images_in_folders_of_patients_are_called_by_a_folder_or_by_all_of_them(tmp_path, call):
    for case in (1, 2):
        folder = tmp_path / "train" / f"case{case}" / f"case{case}_day1"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "scan_1_30_50.png"), np.zeros((30, 50), np.uint8))
    table = write(tmp_path / "t.csv", [(call.format(case), f"{case} 7") for case in (1, 2)])
    assert decode_masks(table, tmp_path / "train", tmp_path / "m").masks == 2
    assert read_mask(tmp_path / "m" / "case2_case2_day1_scan_1_30_50.png")[:9, 0].tolist() == [0] + [1] * 7 + [0]
    write(tmp_path / "t.csv", [("scan_1", "1 3")])  # which may be either
    with pytest.raises(InputError, match="no row of .* says 'scan_1'"):
        decode_masks(table, tmp_path / "train", tmp_path / "n")


def test_of_square_images_it_is_said_that_nothing_tells_the_direction(images, tmp_path, capsys):
    rows = [(name, encode_rle(mask)) for name, mask in MASKS.items()]
    for name in ("d", "e"):
        cv2.imwrite(str(images / f"{name}.png"), np.zeros((30, 30), np.uint8))
        rows.append((name, "40 3"))
    assert not decode_masks(write(tmp_path / "t.csv", rows), images, tmp_path / "m").untold
    for name in MASKS:
        (images / f"{name}.png").unlink()
    assert main(["decode", str(tmp_path / "t.csv"), str(images), "--out", str(tmp_path / "n")]) == 0
    assert "all images are square, so the direction could not be told" in capsys.readouterr().out


def test_images_without_a_row_are_a_mistake_unless_they_are_meant(images, tmp_path):
    table = write(tmp_path / "t.csv", [("a", "1 3"), ("elsewhere", "1 2"), ("elsewhere", "9 2")])
    with pytest.raises(InputError, match=r"no row for b \(2 such in .*Image\); .* say --rest-empty"):
        decode_masks(table, images, tmp_path / "m")
    assert not (tmp_path / "m").exists()
    assert decode_masks(table, images, tmp_path / "m", rest_empty=True) == Decoded(3, 2, 2, torn=False)


def test_masks_read_in_the_wrong_direction_are_seen_to_be_torn(images, tmp_path):
    table = write(tmp_path / "t.csv", [(name, encode_rle(mask)) for name, mask in MASKS.items()])
    assert decode_masks(table, images, tmp_path / "torn", by_rows=True).torn
    along = write(tmp_path / "r.csv", [(name, encode_rle(mask, by_rows=True)) for name, mask in MASKS.items()])
    assert decode_masks(along, images, tmp_path / "torn2").torn


def test_what_cannot_be_torn_does_not_hide_what_is(images, tmp_path):
    rows = [(name, encode_rle(mask)) for name, mask in MASKS.items()]
    for number in range(40):  # before them in order, the first of them without foreground
        cv2.imwrite(str(images / f"_{number:02d}.png"), np.zeros((30, 30), np.uint8))
        lines = np.indices((30, 30))[0] % 2 * (number >= 25)
        rows.append((f"_{number:02d}", encode_rle(lines)))
    assert decode_masks(write(tmp_path / "t.csv", rows), images, tmp_path / "torn", by_rows=True).torn


@pytest.mark.parametrize("columns", [("id", "x"), ("id", "EncodedPixels", "height"), ("id", "rle_mask", "ClassId")])
def test_the_column_of_run_lengths_is_told_by_its_name_or_is_the_only_one(images, tmp_path, columns):
    table = write(tmp_path / "t.csv", [(name, "1 7", "5")[: len(columns)] for name in "abc"], columns)
    decode_masks(table, images, tmp_path / "m")
    assert read_mask(tmp_path / "m" / "a.png").sum() == 7


@pytest.mark.parametrize(
    ("rows", "columns", "options", "said"),
    [
        ([("a", "1 3"), ("b", "1400 200"), ("c", "")], ("id", "rle"), {}, r"t.csv, b: a run leaves .* is 30 x 50"),
        ([("a", "1 3"), ("b", "1"), ("c", "")], ("id", "rle"), {}, "b: run lengths come in pairs"),
        ([], ("id", "rle"), {}, "t.csv has a head and no rows"),
        ([("a!1", "1 3"), ("a!2", "9 3")], ("id", "rle"), {}, "no row of .* is about .* says 'a!1'"),
        (
            [("1 3 " * 50, "a")],
            ("rle", "id"),
            {},
            r"no row of .* says '1 3 [1 3]{30,33}\.\.\.', and the first image is a",
        ),
        ([("a.jpg_1", "1 3")], ("x_kind", "rle"), {"where": {"class": "1"}}, "no column class; it has x, kind, rle"),
        ([("x", "1 3")], ("id", "rle"), {}, "no row of .*t.csv is about .* says 'x', and the first image is a"),
        ([("a", "1 3", "2")], ("id", "one", "two"), {}, "which column .* say --column, one of one, two"),
        ([("a", "1 3", "2")], ("id", "rle", "mask"), {}, "which column .* one of rle, mask"),
        ([("a", "1 3")], ("id", "rle"), {"column": "runs"}, "has no column runs; it has id, rle"),
        ([("a", "1 3")], ("id", "rle"), {"where": {"class": "x"}}, "has no column class"),
        ([("a", "k", "1 3")], ("id", "class", "rle"), {"where": {"class": "x"}}, "no row where class is x"),
    ],
)
def test_what_cannot_be_decoded_is_said_and_nothing_is_left(images, tmp_path, rows, columns, options, said):
    table = write(tmp_path / "t.csv", rows, columns)
    with pytest.raises(InputError, match=said):
        decode_masks(table, images, tmp_path / "m", **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Image", "t.csv"]


def test_masks_are_not_mixed_among_their_images_nor_put_in_place_of_the_working_directory(
    images, tmp_path, monkeypatch
):
    table = write(tmp_path / "t.csv", [(name, "1 3") for name in "abc"])
    for out in (images / "new", images / "new" / "x"):
        with pytest.raises(InputError, match=f"{out} lies in {images}, where masks would be taken for images; name a"):
            decode_masks(table, images, out)
        assert not (images / "new").exists()
    assert decode_masks(table, images, images / "masks").masks == 3
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(InputError, match="is the working directory; name a new folder for the masks"):
        decode_masks(table, images, Path("."))
    assert decode_masks(table, images, Path("below")).masks == 3


def test_a_folder_that_holds_something_is_left_alone(images, tmp_path):
    table = write(tmp_path / "t.csv", [(name, "1 3") for name in "abc"])
    (tmp_path / "empty").mkdir()
    assert decode_masks(table, images, tmp_path / "empty").masks == 3
    with pytest.raises(InputError, match="is there and not empty"):
        decode_masks(table, images, tmp_path / "empty")
    with pytest.raises(InputError, match="is there and not empty"):
        decode_masks(table, images, table)


def test_runs_of_others_may_be_in_any_order_and_overlap():
    mask = (np.random.default_rng(0).random((20, 31)) > 0.7).astype(np.uint8)
    pairs = np.array(encode_rle(mask).split()).reshape(-1, 2)
    shuffled = np.concatenate([pairs[::-1], pairs[3:9]])
    assert np.array_equal(decode_runs([" ".join(shuffled.ravel())], mask.shape), mask)
    with pytest.raises(ValueError, match="touch, overlap"):
        decode_rle(" ".join(shuffled.ravel()), mask.shape)
    assert not decode_runs([""], (3, 4)).any()
    assert decode_runs(["1 3"] * 256, (3, 4)).sum() == 3


def test_the_command_says_what_it_wrote_and_what_to_look_at(images, tmp_path, capsys):
    rows = [("a", "k=1", encode_rle(MASKS["a"])), ("b", "k=1", ""), ("c", "l", "1 4"), ("z", "k=1", "")]
    table = write(tmp_path / "t.csv", rows, ("id", "class", "rle"))
    words = ["decode", str(table), str(images), "--out", str(tmp_path / "m")]
    assert main([*words, "--where", "class=k=1", "--rest-empty", "--by-rows"]) == 0
    said = capsys.readouterr().out
    assert f"masks       {tmp_path / 'm'}: 3, of which 2 are empty" in said
    assert "passed over 1 row about images that are not in" in said
    assert "seem torn; delete them and try without --by-rows" in said
    assert main(["decode", str(table), str(images), "--out", str(tmp_path / "n"), "--rest-empty"]) == 0
    assert "joined" not in capsys.readouterr().out
    write(table, [(name, kind, "1 3") for name in "abc" for kind in "opqrstu"], ("id", "class", "rle"))
    assert main(["decode", str(table), str(images), "--out", str(tmp_path / "o")]) == 0
    said = capsys.readouterr().out
    assert "joined      rows of 7 values of class (o, p, q, r, s, t, ...); --where class=u takes one" in said
    assert main([*words, "--where", "class"]) == 2
    assert "write COLUMN=VALUE" in capsys.readouterr().err
    assert main(words) == 2
    assert "no column" not in capsys.readouterr().err
