import cv2
import numpy as np
import pytest

from seglib.scores.difficulty import measure_difficulty


def make_image(*, level=180, spot=120, size=(256, 256)):
    """A square spot in the middle of an even image, and its mask."""
    image, mask = np.full((*size, 3), level, np.uint8), np.zeros(size, np.uint8)
    middle = (slice(size[0] * 3 // 8, size[0] * 5 // 8), slice(size[1] * 3 // 8, size[1] * 5 // 8))
    image[middle], mask[middle] = spot, 1
    return image, mask


def test_contrast_is_between_the_reference_and_the_ring_round_it_not_what_lies_far_away():
    image, mask = make_image(level=180, spot=120)
    image[:20] = 0
    assert measure_difficulty(image, mask)["contrast"] == pytest.approx(60)
    assert measure_difficulty(255 - image, mask)["contrast"] == pytest.approx(60)


def test_contrast_is_the_root_mean_square_over_the_colours():
    image, mask = make_image(level=100, spot=(100, 130, 60))
    assert measure_difficulty(image, mask)["contrast"] == pytest.approx(np.sqrt((30**2 + 40**2) / 3))


@pytest.mark.parametrize("full", [0, 1])
def test_an_empty_reference_and_a_full_one_have_no_contrast(full):
    image, mask = make_image()
    mask[:] = full
    facts = measure_difficulty(image, mask)
    assert np.isnan(facts["contrast"])
    assert facts["border_sides"] == 4 * full


def test_a_reference_of_one_pixel_in_a_large_image_has_a_contrast():
    image, mask = np.full((2000, 3000, 3), 100, np.uint8), np.zeros((2000, 3000), np.uint8)
    mask[1000, 1500] = 1
    assert measure_difficulty(image, mask)["contrast"] == pytest.approx(0, abs=0.01)


def test_every_number_is_that_of_the_picture_and_not_of_its_size():
    image, mask = make_image(size=(192, 256))
    cv2.line(image, (10, 20), (240, 30), (20, 20, 20), 3)
    image[:12, :14] = 0
    small = measure_difficulty(image, mask)
    large = measure_difficulty(*(np.repeat(np.repeat(pixels, 5, axis=0), 5, axis=1) for pixels in (image, mask)))
    assert large == pytest.approx(small, rel=0.03)
    assert small["dark_lines"] > 0.005
    assert small["dark_corners"] == 1


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({}, True),
        ({"color": (250, 250, 250)}, False),  # a bright line is no hair
        ({"color": (165, 165, 165)}, False),  # nor is one that is hardly darker
        ({"thickness": 30}, False),  # nor a bar
        ({"end": (30, 15)}, False),  # nor a dot
    ],
)
def test_a_line_is_thin_dark_and_long(line, found):
    image, mask = make_image(size=(512, 512))
    shape = {"end": (500, 15), "color": (40, 40, 40), "thickness": 4} | line
    cv2.line(image, (20, 15), shape["end"], shape["color"], shape["thickness"])
    share = measure_difficulty(image, mask)["dark_lines"]
    assert share == pytest.approx(480 * 5 / 512**2, rel=0.25) if found else share == 0


def test_lines_within_the_reference_are_its_own_texture():
    image, mask = make_image(size=(512, 512))
    cv2.line(image, (200, 256), (310, 256), (20, 20, 20), 4)
    assert measure_difficulty(image, mask)["dark_lines"] == 0
    assert measure_difficulty(image, np.zeros_like(mask))["dark_lines"] > 0


def test_each_dark_corner_is_counted():
    image, mask = make_image()
    for number, corner in enumerate(((0, 0), (0, -12), (-12, 0), (-12, -12)), start=1):
        rows, columns = (slice(at, at + 12 or None) for at in corner)
        image[rows, columns] = 5
        assert measure_difficulty(image, mask)["dark_corners"] == number
    assert measure_difficulty(np.full_like(image, 39), mask)["dark_corners"] == 4
    assert measure_difficulty(np.full_like(image, 40), mask)["dark_corners"] == 0


def test_thin_images_are_measured_too():
    image, mask = np.full((2, 900, 3), 100, np.uint8), np.zeros((2, 900), np.uint8)
    assert measure_difficulty(image, mask)["dark_corners"] == 0
    with pytest.raises(ValueError, match=r"\(2, 900, 3\) and mask \(3, 900\)"):
        measure_difficulty(image, np.zeros((3, 900), np.uint8))
