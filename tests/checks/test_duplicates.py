import tracemalloc

import cv2
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter
from scipy.sparse.csgraph import connected_components

from seglib.checks import duplicates
from seglib.checks.duplicates import (
    MIN_CORRELATION,
    SIDE,
    find_pairs,
    group_near_duplicates,
    iterate_pairs,
    make_thumbnail,
)
from seglib.data.synthetic import draw_phantom
from seglib.machine.scratch import Row


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


def behind(image, field):
    """As an instrument shows it that lights a part of its picture."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    down, right = abs(y / height - 0.5), abs(x / width - 0.5)
    wedge = (abs(x / width - 0.5) < 0.45 * (y / height + 0.1)) & (np.hypot(y / height, x / width - 0.5) < 0.98)
    fields = {
        "round": np.hypot(down, right) < 0.47,
        "eight sides": (down < 0.47) & (right < 0.47) & (down + right < 0.75),
        "wedge": wedge,
        "bars": down < 0.38,
    }
    return image * fields[field][..., None]


FIELDS = ["round", "eight sides", "wedge", "bars"]


@pytest.mark.parametrize("field", FIELDS)
def test_the_edge_of_a_field_makes_no_near_duplicates(field):
    thumbnails = stack(*(behind(draw(seed, 192, 192), field) for seed in range(30)))
    assert find_pairs(thumbnails, min_correlation=MIN_CORRELATION - 0.1).empty
    with pytest.MonkeyPatch.context() as patch:  # ... as it would
        patch.setattr(duplicates, "_find_field", np.ones_like)
        assert len(find_pairs(thumbnails)) > 150


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("change", [shrink, recompress, brighten, turn, mirror, change_all])
def test_copies_of_what_lies_behind_a_field_are_found(change, field):
    images = [behind(draw(seed), field) for seed in range(4)]
    pairs = find_pairs(stack(*images, *map(change, images)))
    assert set(pairs["second"] - pairs["first"]) == {4}
    assert len(pairs) >= 3  # what the wedge leaves of one is too smooth to outlast JPEG (0.76)


def field_of(image):
    return duplicates._find_field(make_thumbnail(image))


def test_a_field_ends_before_its_edge_and_leaves_nothing_else_out():
    image = np.full((640, 640, 1), 160, np.uint8)
    image[:, :100] = 15
    image[200:300, 300:400] = 10  # dark, but not of the surround
    assert field_of(image)[:, 13:].all()
    assert not field_of(image)[:, :12].any()
    brighter = np.where(image == 10, 0, image + 40).astype(np.uint8)  # so what is darkest is not the surround
    assert field_of(brighter).tolist() == field_of(image).tolist()


def test_what_is_no_field_is_looked_at_whole():
    x = np.linspace(-1, 1, 256)
    radius = np.hypot(x[:, None], x)
    shadow = np.interp(radius, (0.3, 1.1), (200, 10)).astype(np.uint8)[..., None]  # dark corners without an edge
    things = np.zeros((256, 256, 1), np.uint8)  # shining on a dark ground
    for place in np.ndindex(3, 3):
        cv2.circle(things, (43 + 85 * place[0], 43 + 85 * place[1]), 40, 200, -1)
    speck = np.where(radius < 0.4, 200, 5).astype(np.uint8)[..., None]  # less than a quarter would be left
    thin = np.full((256, 256, 1), 180, np.uint8)
    thin[:8] = 0  # a line along the border
    for image in (shadow, things, speck, thin, np.zeros_like(thin), 255 - thin, draw(0)):
        assert field_of(image).all()


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
    monkeypatch.setattr("seglib.checks.duplicates.CHUNK", 3)
    monkeypatch.setattr("seglib.checks.duplicates.COLUMNS", 4)
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


def draw_any_set(seed):
    """Thumbnails smooth, noisy, faint and flat, with copies equal, turned, mirrored, blended and nearly equal."""
    rng = np.random.default_rng(seed)
    thumbnails = [
        gaussian_filter(rng.normal(0, 1, (SIDE, SIDE)), rng.uniform(0, 6)) * 10 ** rng.uniform(-2, 3) for _ in range(40)
    ]
    thumbnails += [np.full((SIDE, SIDE), level) for level in rng.integers(0, 3, 6)]
    for _ in range(60):
        one, other = (thumbnails[row] for row in rng.integers(len(thumbnails), size=2))
        turned = np.rot90(one[:, :: rng.choice([-1, 1])], rng.integers(4))
        thumbnails.append(turned + rng.choice([0, 0, 0.1, 0.5, 1]) * other)
    return np.array(thumbnails)[rng.permutation(len(thumbnails))]


def compare_plainly(thumbnails):
    """Correlation of all pairs at once, by turning pixels: the definition."""
    details = thumbnails - gaussian_filter(thumbnails, (0, duplicates.BLUR, duplicates.BLUR), mode="nearest")
    details -= details.mean((1, 2), keepdims=True)
    details /= np.maximum(details.std((1, 2), keepdims=True), duplicates.MIN_CONTRAST) * SIDE
    best = np.full((len(details), len(details)), -1.0)
    for mirrored in (details, details[:, ::-1]):
        for quarters in range(4):
            turned = np.rot90(mirrored, quarters, axes=(1, 2)).reshape(len(details), -1)
            best = np.maximum(best, turned @ details.reshape(len(details), -1).T)
    same = (thumbnails[:, None] == thumbnails[None]).all((2, 3))
    return np.where(same, 1, best)


@pytest.mark.parametrize("many", [0, 0.5])
@pytest.mark.parametrize("least", [-0.5, 0.1, 0.5, 0.85, 0.99])
@pytest.mark.parametrize("seed", range(3))
def test_the_pairs_are_those_of_comparing_all_pixels_of_all_pairs(monkeypatch, seed, least, many):
    for name, value in {"CHUNK": 8, "COLUMNS": 24, "KEPT": 40, "PIECE": 50, "MANY": many}.items():
        monkeypatch.setattr(duplicates, name, value)
    thumbnails = draw_any_set(seed)
    correlation = compare_plainly(thumbnails)
    surely, perhaps = (np.triu(correlation >= least + sign * 1e-5, 1) for sign in (1, -1))
    assert surely.sum() > 20
    pairs = find_pairs(thumbnails, min_correlation=least)
    found = np.zeros_like(surely)
    found[pairs["first"], pairs["second"]] = True
    assert len(pairs) == found.sum()
    assert not (surely & ~found).any()
    assert not (found & ~perhaps).any()
    assert np.allclose(pairs["correlation"], correlation[pairs["first"], pairs["second"]].clip(-1, 1), atol=1e-5)
    assert pairs["correlation"].is_monotonic_decreasing


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_what_the_pairs_connect(monkeypatch, seed):
    for name, value in {"CHUNK": 8, "COLUMNS": 24, "KEPT": 40}.items():
        monkeypatch.setattr(duplicates, name, value)
    thumbnails = draw_any_set(seed)
    linked = connected_components(compare_plainly(thumbnails) >= MIN_CORRELATION)[1]
    assert group_near_duplicates(thumbnails).tolist() == pd.factorize(linked)[0].tolist()
    assert len(set(linked)) < len(linked) - 10


def test_most_pairs_of_images_are_ruled_out_by_few_coefficients(monkeypatch):
    compared, correlate = [], duplicates._correlate
    monkeypatch.setattr(
        duplicates, "_correlate", lambda whole, *pair: compared.append(len(pair[0])) or correlate(whole, *pair)
    )
    find_pairs(stack(*(draw(seed, 192, 192) for seed in range(60))))
    assert sum(compared) < 0.01 * 60 * 59 / 2


def test_pairs_come_in_parts_of_bounded_size_however_many_copies_there_are(monkeypatch):
    monkeypatch.setattr(duplicates, "PIECE", 100)
    thumbnails = np.random.default_rng(0).uniform(0, 255, (2, SIDE, SIDE))[[0] * 20 + [1] * 10]
    parts = list(iterate_pairs(thumbnails, min_correlation=-1))
    assert max(map(len, parts)) <= 100
    pairs = {(first, second) for part in parts for first, second in zip(part["first"], part["second"], strict=True)}
    assert sum(map(len, parts)) == len(pairs) == 30 * 29 / 2


def test_what_is_together_already_is_not_compared_again(monkeypatch):
    for name, value in {"CHUNK": 10, "COLUMNS": 20}.items():
        monkeypatch.setattr(duplicates, name, value)
    compared, correlate = [], duplicates._correlate
    monkeypatch.setattr(
        duplicates, "_correlate", lambda whole, *pair: compared.append(len(pair[0])) or correlate(whole, *pair)
    )
    rng = np.random.default_rng(0)
    thumbnails = rng.uniform(0, 255, (SIDE, SIDE)) + rng.uniform(0, 1, (100, SIDE, SIDE))
    assert not group_near_duplicates(thumbnails).any()
    assert sum(compared) < 10 * 100  # of 4950 pairs


def test_memory_does_not_grow_with_the_thumbnails(monkeypatch):
    for name, value in {"CHUNK": 32, "COLUMNS": 64}.items():
        monkeypatch.setattr(duplicates, name, value)

    class Drawn:
        def __init__(self, seed):
            self.seed = seed

        def __array__(self, dtype=None, copy=None):
            return gaussian_filter(np.random.default_rng(self.seed).uniform(0, 255, (SIDE, SIDE)), 2)

    def measure_peak(count):
        tracemalloc.start()
        group_near_duplicates([Drawn(seed) for seed in range(count)])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    assert measure_peak(1000) - measure_peak(200) < 0.05 * 800 * SIDE**2 * 4  # of what they take as float32


def test_thumbnails_may_be_rows_of_a_scratch_file():
    thumbnails = draw_any_set(0).astype(np.float32)
    rows = [Row(thumbnails, number) for number in range(len(thumbnails))]
    assert find_pairs(rows).equals(find_pairs(thumbnails))
