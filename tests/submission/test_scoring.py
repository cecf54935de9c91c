import cv2
import numpy as np
import pytest

from seglib.cli import main
from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.submission.run_lengths import encode_rle
from seglib.submission.scoring import compare_directions, read_submitted, score_submission

MASK = np.array([[0, 1, 1], [0, 1, 0]])  # columns: 00 11 10, rows: 011 010


@pytest.fixture
def truth(tmp_path):
    folder = tmp_path / "truth"
    folder.mkdir()
    paths = {"a": folder / "a.png", "b": folder / "b.png"}
    cv2.imwrite(str(paths["a"]), (255 * MASK).astype(np.uint8))
    cv2.imwrite(str(paths["b"]), np.zeros((4, 4), np.uint8))
    return paths


@pytest.fixture
def score(tmp_path, truth):
    def score_(text, **options):
        (tmp_path / "s.csv").write_text(text)
        return score_submission(read_submitted(tmp_path / "s.csv", truth, **options), truth, read_mask)

    return score_


def test_scores_are_per_image_and_an_empty_pair_is_right(score):
    scores = score("image,runs\nb.jpg,\na.jpg,3 2\n")  # two of the three pixels of a
    assert scores["sample_id"].tolist() == ["a", "b"]
    assert scores["dice"].tolist() == pytest.approx([4 / 5, 1.0])


@pytest.mark.parametrize("nothing", ["", "-1", " -1", "NaN", "none"])
def test_what_competitions_write_for_nothing_is_an_empty_mask(score, nothing):
    assert score(f"image,runs\nb,{nothing}\na,3 2\n")["dice"].tolist() == pytest.approx([4 / 5, 1.0])


@pytest.mark.parametrize(
    "rows",
    ["a,3 1 4 2", "a,5 1 3 2", "a,3 2 4 2", "a.png,3 1\na,4 1\na.png,5 1\na,"],
    ids=["runs that touch", "out of order", "that overlap", "a row for each object"],
)
def test_a_mask_may_be_written_as_competitions_write_it(score, rows):
    assert score(f"id,rle\nb,\n{rows}\n")["dice"].tolist() == [1, 1]


def test_columns_beside_the_run_lengths_do_no_harm_and_choose_a_class(score):
    text = "id,class,EncodedPixels\na,x,3 3\na,y,1 1\nb,x,\nb,y,\n"
    assert score(text)["dice"].tolist() == pytest.approx([6 / 7, 1])
    assert score(text, where={"class": "x"})["dice"].tolist() == [1, 1]
    assert score(text.replace("EncodedPixels", "z"), column="z")["dice"].tolist() == pytest.approx([6 / 7, 1])
    with pytest.raises(InputError, match="which column of .* say --column, one of class, z"):
        score(text.replace("EncodedPixels", "z"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,rle\na,\n", r"s\.csv has no row for b \(1 such\); submission and truth"),
        ("id,rle\na,\nb,\nc,\nc,\n", r"s\.csv has a row for c without reference \(1 such\); submission"),
        ("id,rle\nd,\nb,\nc,\n", r"has no row for a \(1 such\) and a row for c without reference \(2 such\);"),
        (f"id,rle\na,\n{'1 2 ' * 99},a\n", r"for 1 2 [1 2]{30,33}\.\.\. without reference \(1 such\)"),
        (
            f"rle,id\n{'1 2 ' * 99},a\n",
            r"no row of .*s\.csv is about an image .* says '1 2 [1 2]{30,33}\.\.\.', and the",
        ),
        ("a,b\n1,2\n3,4\n", r"its first column says '1', and the first image is a: make a table of which the first"),
        ("id,rle\na,7 1\nb,\n", "row a: a run leaves the image of 6 pixels; the mask is 2 x 3"),
        ("id,rle\n", "has a head and no rows"),
    ],
)
def test_submission_and_truth_must_name_the_same_images_and_fit(score, text, words):
    with pytest.raises(InputError, match=words):
        score(text)


def test_relative_run_lengths_are_scored_where_they_are_said_to_be_and_refused_elsewhere(score, truth):
    cv2.imwrite(str(truth["b"]), np.array([[1, 0, 1, 0], [0, 0, 0, 0]], np.uint8))  # columns 10 00 10 00
    assert score("id,rle\na,2 3\nb,0 1 3 1\n", relative=True)["dice"].tolist() == [1, 1]
    with pytest.raises(InputError, match="as in relative run lengths; say --relative"):
        score("id,rle\na,\nb,4 1 0 1\n")


@pytest.mark.parametrize("by_rows", [False, True])
def test_the_direction_that_fits_the_references_is_told_of_square_images_too(tmp_path, truth, capsys, by_rows):
    disc = cv2.circle(np.zeros((40, 40), np.uint8), (10, 20), 7, 255, -1)
    for path in truth.values():
        cv2.imwrite(str(path), disc)
    for order, ratio in ((by_rows, 1), (not by_rows, 0)):
        rows = "".join(f"{name},{encode_rle(disc, by_rows=order)}\n" for name in truth)
        (tmp_path / "s.csv").write_text(f"id,rle\n{rows}")
        submitted = read_submitted(tmp_path / "s.csv", truth, by_rows=by_rows)
        ours, theirs = compare_directions(submitted, truth, read_mask)
        assert (ours == 1, theirs == 1) == (ratio == 1, ratio == 0)
        words = ["score", "--truth", str(tmp_path / "truth"), "--submission", str(tmp_path / "s.csv")]
        assert main([*words, "--by-rows"] if by_rows else words) == 0
        said = capsys.readouterr().out
        word = "without" if by_rows else "with"
        assert (f"look: {word} --by-rows, the Dice of the first images is 1.0000 instead of" in said) == (ratio == 0)


def test_of_nothing_but_empty_masks_no_direction_is_told(tmp_path, truth):
    (tmp_path / "s.csv").write_text("id,rle\na,\nb,\n")
    assert compare_directions(read_submitted(tmp_path / "s.csv", truth), truth, read_mask) == (0, 0)
