import cv2
import numpy as np
import pytest

from seglib.duplicates import MIN_CORRELATION, SIDE, find_pairs, group_near_duplicates, make_thumbnail
from seglib.synthetic import draw_phantom


def draw(seed, height=384, width=512, *, gray=False):
    return np.atleast_3d(draw_phantom(np.random.default_rng(seed), height, width, gray=gray)[0])


def shrink(image):
    return cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def recompress(image):
    return cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)


def brighten(image):
    return np.clip(image * 1.1, 0, 255).astype(np.uint8)


def turn(image):
    return np.ascontiguousarray(np.rot90(image))


def mirror(image):
    return np.ascontiguousarray(image[:, ::-1])


def change_all(image):
    return recompress(brighten(shrink(mirror(turn(image)))))


def stack(*images):
    return np.stack([make_thumbnail(image) for image in images])


@pytest.mark.parametrize("change", [shrink, recompress, brighten, turn, mirror, change_all])
@pytest.mark.parametrize("seed", range(5))
def test_a_changed_copy_is_a_near_duplicate(change, seed):
    image = draw(seed)
    assert len(find_pairs(stack(image, change(image)))) == 1


def test_images_that_only_look_alike_are_apart():
    thumbnails = stack(*(draw(seed, 192, 192) for seed in range(60)))
    assert find_pairs(thumbnails, min_correlation=MIN_CORRELATION - 0.2).empty
    assert group_near_duplicates(thumbnails).tolist() == list(range(60))


def test_two_dark_blobs_on_skin_with_other_details_are_apart():
    y, x = np.mgrid[-1:1:256j, -1:1:256j]
    blob = 200 - 150 * np.exp(-4 * (x**2 + y**2))
    details = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 100, (256, 256, 2)), None, 4)
    thumbnails = stack(*(np.clip(blob + details[..., k], 0, 255).astype(np.uint8)[..., None] for k in range(2)))
    assert np.corrcoef(thumbnails.reshape(2, -1))[0, 1] > 0.95  # plain thumbnails would pair them
    assert find_pairs(thumbnails, min_correlation=0.5).empty


def test_all_eight_symmetries_correlate_perfectly():
    image = draw(0)
    copies = [np.rot90(mirrored, quarters) for mirrored in (image, image[:, ::-1]) for quarters in range(4)]
    pairs = find_pairs(stack(*map(np.ascontiguousarray, copies)))
    assert len(pairs) == 8 * 7 // 2
    assert pairs["correlation"].between(0.999, 1).all()


def test_correlation_is_that_of_the_best_symmetry():
    rng = np.random.default_rng(0)
    one, other = rng.uniform(0, 255, (2, SIDE, SIDE))
    mixed = 0.8 * one + 0.6 * np.rot90(other)
    pairs = find_pairs(np.stack([one, other, mixed]), min_correlation=0.3).set_index(["first", "second"])["correlation"]
    assert pairs.index.tolist() == [(0, 2), (1, 2)]
    assert pairs.tolist() == pytest.approx([0.8, 0.6], abs=0.03)


def test_groups_are_numbered_by_their_first_image_and_joined_along_a_chain():
    rng = np.random.default_rng(0)
    start, step, other = rng.uniform(0, 255, (3, SIDE, SIDE))
    ends = [start - 0.5 * step, start, start + 0.5 * step]  # 0.89 from the middle, 0.6 from each other
    thumbnails = np.stack([other, ends[0], ends[2], other.T, ends[1]])
    assert len(find_pairs(thumbnails)) == 3
    assert group_near_duplicates(thumbnails).tolist() == [0, 1, 1, 0, 1]
    assert group_near_duplicates(thumbnails[:3]).tolist() == [0, 1, 2]


def test_pairs_are_found_between_all_chunks(monkeypatch):
    thumbnails = np.random.default_rng(0).uniform(0, 255, (11, SIDE, SIDE))
    thumbnails[[4, 10]] = np.rot90(thumbnails[1]), thumbnails[3, ::-1]
    whole = find_pairs(thumbnails)
    monkeypatch.setattr("seglib.duplicates.CHUNK", 3)
    assert sorted(zip(whole["first"], whole["second"], strict=True)) == [(1, 4), (3, 10)]
    chunked = find_pairs(thumbnails).sort_values("first", ignore_index=True)
    assert chunked[["first", "second"]].equals(whole.sort_values("first", ignore_index=True)[["first", "second"]])


def test_flat_images_pair_only_if_they_are_equal():
    flat = [np.full((80, 100, 1), level, np.uint8) for level in (0, 255, 0, 90)]
    dot = np.full((80, 100, 1), 90, np.uint8)
    dot[40:44, 40:44] = 92  # what rounding leaves of a shadow
    thumbnails = stack(*flat, dot, dot + 1)
    thumbnails[5] *= 1.01
    assert group_near_duplicates(thumbnails).tolist() == [0, 1, 0, 2, 3, 4]


def test_a_large_offset_or_contrast_does_not_matter():
    thumbnail = np.random.default_rng(0).uniform(0, 100, (SIDE, SIDE))
    assert len(find_pairs(np.stack([thumbnail, 2 * thumbnail + 50]))) == 1


def test_a_negative_is_no_duplicate():
    thumbnail = np.random.default_rng(0).uniform(0, 255, (SIDE, SIDE))
    assert find_pairs(np.stack([thumbnail, 255 - thumbnail])).empty


def test_a_thumbnail_holds_the_means_of_areas_in_gray_levels():
    image = np.random.default_rng(0).integers(0, 256, (2 * SIDE, 4 * SIDE, 1), dtype=np.uint8)
    means = image.reshape(SIDE, 2, SIDE, 4).mean((1, 3))
    thumbnail = make_thumbnail(image)
    assert thumbnail.dtype == np.float32
    assert np.allclose(thumbnail, means)
    assert np.array_equal(make_thumbnail(np.repeat(image, 3, axis=2)), thumbnail)


def test_one_image_is_a_group():
    assert group_near_duplicates(np.zeros((1, SIDE, SIDE), np.float32)).tolist() == [0]
