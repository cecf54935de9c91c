import cv2
import numpy as np
import pytest

from seglib.data.synthetic import draw_phantom
from seglib.images.traits import IMAGE_TRAITS, describe_colours, describe_image, describe_mask, is_gray


def grid(side):
    return np.mgrid[:side, :side] - side / 2


def disc(radius, *, shift=(0.0, 0.0)):
    y, x = grid(2 * radius + 8)
    return ((y - shift[0]) ** 2 + (x - shift[1]) ** 2 <= radius**2).astype(np.uint8)


def square(side, *, degrees=0.0):
    y, x = grid(2 * side)
    along = np.cos(np.deg2rad(degrees)) * x + np.sin(np.deg2rad(degrees)) * y
    across = np.cos(np.deg2rad(degrees)) * y - np.sin(np.deg2rad(degrees)) * x
    return (np.maximum(abs(along), abs(across)) < side / 2).astype(np.uint8)


def star(radius):
    y, x = grid(2 * radius + 8)
    return (np.hypot(y, x) <= radius * (0.7 + 0.3 * np.cos(8 * np.arctan2(y, x)))).astype(np.uint8)


def blobs(seed):
    noise = np.random.default_rng(seed).normal(size=(60, 70))
    return (cv2.GaussianBlur(noise, None, 2 + seed) > 0.02).astype(np.uint8)


def image_of(seed, *, gray=False):
    image, _ = draw_phantom(np.random.default_rng(seed), 300, 400, gray=gray)
    return np.repeat(np.atleast_3d(image), 3, axis=2) if gray else image


def turned(array):
    yield from (array[::-1], array[:, ::-1], np.rot90(array), np.rot90(array, 2))


@pytest.mark.parametrize("radius", [5, 7, 10, 20, 50, 100, 200])
@pytest.mark.parametrize("shift", [(0, 0), (0.3, 0.45), (-0.5, 0.1)])
def test_a_disc_has_compactness_one_at_every_size(radius, shift):
    assert 0.95 <= describe_mask(disc(radius, shift=shift))["compactness"] <= 1


@pytest.mark.parametrize("side", [40, 100, 200])
@pytest.mark.parametrize("degrees", [0, 10, 18.4, 26.6, 45])
def test_a_square_has_compactness_pi_over_four_however_it_lies(side, degrees):
    assert describe_mask(square(side, degrees=degrees))["compactness"] == pytest.approx(np.pi / 4, abs=0.04)


def test_the_perimeter_is_the_mean_of_the_polygons_through_every_third_pixel():
    # 4 pi area / (sum of the chords / 3 + pi)^2, counted by hand
    bar = np.zeros((5, 9), np.uint8)
    bar[1:4, 1:7] = 1  # 3 x 6 pixels: of 14 chords 8 go round a corner
    assert describe_mask(bar)["compactness"] == pytest.approx(4 * np.pi * 18 / ((8 * 5**0.5 + 6 * 3) / 3 + np.pi) ** 2)
    diagonal = np.eye(9, dtype=np.uint8)  # there and back: of 16 chords 4 turn at an end
    length = (12 * 3 + 4) * 2**0.5 / 3
    assert describe_mask(diagonal)["compactness"] == pytest.approx(4 * np.pi * 9 / (length + np.pi) ** 2)


def test_a_star_is_less_compact_than_a_square_and_a_line_least():
    line = np.pad(np.ones((2, 200), np.uint8), 2)
    found = [describe_mask(mask)["compactness"] for mask in (line, star(60), square(60), disc(60))]
    assert found == sorted(found)
    assert found[0] < 0.1 < found[1] < 0.5


@pytest.mark.parametrize("size", [1, 2])
def test_the_compactness_of_a_speck_is_one_at_most(size):
    assert describe_mask(np.pad(np.ones((size, size), np.uint8), 2))["compactness"] == 1


def test_share_parts_and_border_are_counted():
    mask = np.zeros((4, 5), np.uint8)
    mask[0, 1:3] = mask[1, 3] = mask[3, 4] = 1  # the first two touch at a corner
    facts = describe_mask(mask)
    assert facts["mask_share"] == 4 / 20
    assert facts["parts"] == 2
    assert facts["border_sides"] == 3  # top, bottom and right
    assert facts["border_share"] == pytest.approx((2 + 1 + 0 + 1) / (5 + 5 + 4 + 4))  # a corner is of two sides


@pytest.mark.parametrize(
    ("place", "sides"),
    [((0, 3), 1), ((-1, 3), 1), ((3, 0), 1), ((3, -1), 1), ((0, 0), 2), ((3, 3), 0), ((slice(None), 3), 2)],
)
def test_a_mask_touches_the_sides_it_lies_on(place, sides):
    mask = np.zeros((7, 7), np.uint8)
    mask[place] = 1
    assert describe_mask(mask)["border_sides"] == sides


def test_an_empty_mask_has_no_shape_and_a_full_one_touches_every_side():
    facts = describe_mask(np.zeros((5, 7), np.uint8))
    assert np.isnan(facts.pop("compactness"))
    assert facts == {"mask_share": 0, "parts": 0, "border_share": 0, "border_sides": 0}
    full = describe_mask(np.ones((50, 50), np.uint8))
    assert (full["mask_share"], full["parts"], full["border_share"], full["border_sides"]) == (1, 1, 1, 4)
    assert full["compactness"] == pytest.approx(np.pi / 4, abs=0.04)


def test_the_compactness_is_that_of_the_largest_part_with_its_holes_filled():
    mask = np.zeros((140, 120), np.uint8)
    mask[:48, :48] = disc(20)
    mask[60:63, 10:110] = 1  # longer, but of fewer pixels
    mask[64:, :76] = square(38)
    large = describe_mask(square(38))["compactness"]
    assert describe_mask(mask)["compactness"] == large
    mask[95:105, 30:40] = 0
    assert describe_mask(mask)["compactness"] == large
    assert describe_mask(mask)["parts"] == 3


def test_a_part_in_the_hole_of_another_is_counted():
    ring = np.ones((9, 9), np.uint8)
    ring[1:-1, 1:-1] = 0
    assert describe_mask(ring)["parts"] == 1
    ring[4, 4] = 1
    assert describe_mask(ring)["parts"] == 2


@pytest.mark.parametrize("seed", range(6))
def test_turned_and_mirrored_masks_have_the_same_facts(seed):
    mask = blobs(seed)
    assert describe_mask(mask)["parts"] == cv2.connectedComponents(mask)[0] - 1
    for other in turned(mask):
        assert describe_mask(np.ascontiguousarray(other)) == pytest.approx(describe_mask(mask))


def test_of_two_largest_parts_the_same_one_is_measured_however_the_mask_is_turned():
    mask = np.zeros((20, 40), np.uint8)
    mask[2:8, 2:8] = mask[12, 2:38] = 1  # 36 pixels each
    square_alone = describe_mask(mask[:10])["compactness"]
    for other in turned(mask):
        assert describe_mask(np.ascontiguousarray(other))["compactness"] == pytest.approx(square_alone)


def test_a_mask_of_many_specks_is_measured_in_no_time():
    mask = np.zeros((512, 512), np.uint8)
    mask[::2, ::2] = 1
    assert describe_mask(mask)["parts"] == 256 * 256


def test_light_and_colour_of_an_image_are_counted():
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, :2] = (200, 100, 50)
    facts = describe_image(image)
    assert [facts[name] for name in ("red", "green", "blue", "saturation")] == [100, 50, 25, 75]
    luminance = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert facts["contrast"] == pytest.approx(luminance / 2)
    assert tuple(facts) == IMAGE_TRAITS


def test_a_flat_image_has_no_contrast_and_no_detail():
    facts = describe_image(np.full((30, 50, 3), 90, np.uint8))
    assert [facts[name] for name in IMAGE_TRAITS[3:]] == pytest.approx([0] * len(IMAGE_TRAITS[3:]), abs=1e-9)


def test_fine_patterns_have_more_detail_than_broad_ones():
    wave = [np.sin(np.arange(512) * 2 * np.pi / period) for period in (512, 128, 32)]
    images = [np.repeat((127 + 100 * one[None, :, None]).astype(np.uint8), 3, axis=2).repeat(300, 0) for one in wave]
    broad, middle, fine = (describe_image(image)["detail"] for image in images)
    assert broad < 0.15 < middle
    assert fine == pytest.approx(1, abs=0.1)
    assert middle < fine


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 2000)])
def test_images_of_any_shape_have_all_traits(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    assert np.isfinite(list(describe_image(image).values())).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_copy_at_half_size_has_nearly_the_same_traits(seed):
    image = cv2.GaussianBlur(image_of(seed), None, 1.5)  # noise of single pixels does not survive, and need not
    half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    there, back = describe_image(image), describe_image(half)
    for name in ("red", "green", "blue", "contrast", "saturation"):
        assert back[name] == pytest.approx(there[name], abs=1.5)
    assert back["detail"] == pytest.approx(there["detail"], abs=0.03)


def test_turned_and_mirrored_images_have_the_same_light():
    image = image_of(0)
    for other in turned(image):
        facts = describe_image(np.ascontiguousarray(other))
        for name in ("red", "green", "blue", "contrast", "saturation"):
            assert facts[name] == pytest.approx(describe_image(image)[name])
        assert facts["detail"] == pytest.approx(describe_image(image)["detail"], rel=0.02)


def test_gray_images_are_told_from_coloured_ones_in_spite_of_rounding():
    gray = image_of(0, gray=True)
    assert is_gray(gray)
    assert not is_gray(image_of(0))
    rounded = gray.copy()
    rounded[..., 0] = np.clip(gray[..., 1].astype(int) + 2, 0, 255)
    assert is_gray(rounded)
    rounded[..., 0] = np.clip(gray[..., 1].astype(int) + 3, 0, 255)
    assert not is_gray(rounded)


@pytest.mark.parametrize(("coloured", "gray"), [(0, True), (9, True), (10, False)])
def test_a_gray_image_may_have_one_coloured_pixel_in_a_thousand(coloured, gray):
    image = np.full((100, 100, 3), 80, np.uint8)
    image[0, :coloured, 2] = 200
    assert is_gray(image) is gray


@pytest.mark.parametrize("channel", range(3))
def test_one_channel_that_differs_is_enough_for_colour(channel):
    image = np.full((4, 4, 3), 80, np.uint8)
    image[..., channel] = 90
    assert not is_gray(image)
    assert describe_image(image)["saturation"] == 10


def test_foreground_and_background_have_their_own_colours():
    image = np.array([[[10, 20, 30], [50, 60, 70]], [[90, 100, 110], [130, 140, 150]]], np.uint8)
    colours = describe_colours(image, np.array([[1, 0], [0, 1]], np.uint8))
    assert [colours[f"foreground_{name}"] for name in ("red", "green", "blue")] == [70, 80, 90]
    assert [colours[f"background_{name}"] for name in ("red", "green", "blue")] == [70, 80, 90]
    colours = describe_colours(image, np.array([[1, 1], [0, 0]], np.uint8))
    assert [colours[f"foreground_{name}"] for name in ("red", "green", "blue")] == [30, 40, 50]
    assert [colours[f"background_{name}"] for name in ("red", "green", "blue")] == [110, 120, 130]


def test_where_there_is_no_foreground_it_has_no_colour():
    empty = describe_colours(np.full((3, 3, 3), 5, np.uint8), np.zeros((3, 3), np.uint8))
    assert np.isnan(empty["foreground_blue"])
    assert empty["background_blue"] == 5


def test_grain_is_the_scatter_of_steps_from_pixel_to_pixel():
    columns = np.tile(np.array([0, 200], np.uint8), 128)  # every step is 200 up or down, the contrast 100
    image = np.repeat(np.tile(columns, (256, 1))[..., None], 3, axis=2)
    assert describe_image(image)["grain"] == pytest.approx(2, abs=0.01)
