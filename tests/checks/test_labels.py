import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib.checks.facts import inspect_samples, refuse_uniform
from seglib.checks.labels import judge_labels
from seglib.errors import InputError
from seglib.images.reading import Scale

INNER, OUTER = (slice(20, 40), slice(20, 40)), (slice(10, 50), slice(10, 50))


def table_of(folder, masks, *, ending="png", **how):
    """Samples of these masks as files, and what is known of them."""
    rows = []
    for number, mask in enumerate(masks):
        image, path = folder / f"{number}.jpg", folder / f"{number}_mask.{ending}"
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(image)
        Image.fromarray(mask).save(path, **how)
        rows.append((str(number), str(image), str(path)))
    samples = pd.DataFrame(rows, columns=["sample_id", "image_path", "mask_path"])
    return inspect_samples(samples, scale=Scale(0, 255))


def paint(inner, outer=0, *, dtype=np.uint8):
    """A square within a square."""
    mask = np.zeros((64, 64, 3) if np.ndim(inner) else (64, 64), dtype)
    mask[OUTER], mask[INNER] = outer, inner
    return mask


def kinds(table):
    return [problem.problem for problem in judge_labels(table)]


def test_a_label_below_the_threshold_that_fills_areas_is_told_once_for_the_set(tmp_path):
    table = table_of(tmp_path, [paint(1, 255), paint(1, 255), paint(255)])
    assert table["label_below"].tolist() == [0, 0, 0]  # the contour is larger than what it surrounds
    thin = [paint(1, 1) for _ in range(3)]
    for mask in thin:
        mask[9, 9:51] = 255
    (problem,) = judge_labels(table_of(tmp_path, thin))
    assert problem.problem == "label read as background"
    assert problem.file.name == "0_mask.png"
    assert problem.fact == (
        "has areas of the value 1 that were read as background, as what is not above 127; so have 2 other masks"
    )


def test_a_jpeg_whose_white_is_127_is_told(tmp_path):
    table = table_of(tmp_path, [paint(127, 127)] * 2, ending="jpg", quality=80)
    assert 120 <= table["label_below"][0] <= 127
    assert kinds(table)[0] == "label read as background"
    assert kinds(table_of(tmp_path, [paint(255, 255)] * 2, ending="jpg", quality=30)) == []


def test_smoothed_edges_are_no_label(tmp_path):
    distance = 32 - np.hypot(*(np.mgrid[:64, :64] - 31.5))
    smooth = [(255 * np.clip(distance / width - 1, 0, 1)).astype(np.uint8) for width in (4, 8, 16)]
    assert kinds(table_of(tmp_path, smooth)) == []
    assert kinds(table_of(tmp_path, [*smooth, paint(255)])) == []  # beside one of two values


def test_noise_that_fills_no_areas_is_no_label(tmp_path):
    noisy = paint(255)
    noisy[::2, ::2] = np.maximum(noisy[::2, ::2], 5)
    assert kinds(table_of(tmp_path, [noisy])) == []


def test_labels_in_some_files_and_a_threshold_in_others_are_told(tmp_path):
    table = table_of(tmp_path, [paint(170, 85)] * 2 + [paint(255, 3)] * 3)
    assert table["background_top"].tolist() == [0, 0, 127, 127, 127]
    (problem,) = [one for one in judge_labels(table) if one.problem == "read unlike the others"]
    assert problem.file.name == "0_mask.png"
    assert problem.fact == (
        "was read as foreground above 0 (and 1 more), but 3 other masks of several values above 127"
    )


RED, GREEN = (255, 0, 0), (0, 200, 0)


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ([paint(RED, GREEN)], "2 colours besides black ((0, 200, 0), (248, 0, 0))"),
        ([paint(RED, RED), paint(GREEN, GREEN)], "2 colours besides black ((248, 0, 0), (0, 200, 0))"),
        ([paint(RED, RED), paint((230, 20, 20), (230, 20, 20))], None),
        ([paint(1, 1), paint(2, 2), paint(3, 3)], "3 values besides black (1, 2, 3)"),
        ([paint(1, 1), paint(255, 255), paint(1, 1)], None),
        ([paint(2, 1), paint(3, 1)], None),  # the files themselves tell
        ([paint(255, 255), paint(65535, 65535, dtype=np.uint16)], None),
        (
            [paint(1, 1), paint(2, 2), paint(3, 3), paint(4, 4), paint(5, 5)],
            "5 values besides black (1, 2, 3 and 2 more)",
        ),
    ],
)
def test_classes_that_become_one_foreground_are_told(tmp_path, masks, said):
    problems = judge_labels(table_of(tmp_path, masks))
    facts = [problem.fact for problem in problems if problem.problem == "several classes"]
    assert facts == ([f"holds masks of {said}, which all count as one foreground"] if said else [])
    assert all(problem.file == tmp_path for problem in problems)


def test_a_colour_at_smoothed_edges_is_no_class(tmp_path):
    edge = paint(RED, RED)
    edge[10, 10:50] = GREEN  # 40 of 1600 pixels
    assert kinds(table_of(tmp_path, [edge])) == []


def test_masks_without_any_background_are_refused(tmp_path):
    full = np.full((64, 64), 2, np.uint8)
    full[INNER] = 1
    with pytest.raises(InputError, match="all 2 masks in .* cover all of their images, as no pixel of them is 0"):
        refuse_uniform(table_of(tmp_path, [full, full]))
    refuse_uniform(table_of(tmp_path, [full, paint(255)]))
