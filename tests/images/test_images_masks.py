import cv2
import numpy as np
import pytest
from image_files import LOSSY, noise, u8, u16
from PIL import Image

from seglib.images.masks import is_photograph, read_mask, resize_mask

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow's reaches the user


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".jp2", ".pgm"])
def test_masks_are_read_from_the_formats_of_older_sets(save, suffix):
    mask = (noise((20, 30)) > 127).astype(np.uint8)
    for top in (1, 255):
        path = save("a" + suffix, top * mask, **LOSSY.get(suffix, {}))
        np.testing.assert_array_equal(read_mask(path), mask)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 255, 0], [0, 1, 0]),
        ([0, 1, 0], [0, 1, 0]),  # a 0/1 mask would vanish under > 127
        ([0, 100, 0], [0, 1, 0]),
        ([0, 1, 2], [0, 1, 1]),  # labels
        ([0, 3, 127], [0, 1, 1]),  # 127 is no upper half
        ([0, 127, 128, 255], [0, 0, 1, 1]),  # anti-aliased
        ([0, 1, 128], [0, 0, 1]),
        ([1, 128, 255], [0, 1, 1]),
        ([1, 255, 255], [0, 1, 1]),  # two values, but none is 0
        ([0, 0, 0], [0, 0, 0]),
        ([255, 255, 255], [1, 1, 1]),
        ([1, 1, 1], [1, 1, 1]),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_gray_masks_follow_the_rules(save, name, values, expected):
    assert read_mask(save(name, u8([values]))).tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 65535, 0], [0, 1, 0]),
        ([0, 1, 0], [0, 1, 0]),
        ([0, 255, 0], [0, 1, 0]),
        ([0, 32767, 32768, 65535], [0, 0, 1, 1]),
        ([0, 1, 200], [0, 1, 1]),  # labels: 200 is no upper half of 16 bits
        ([0, 5, 32767], [0, 1, 1]),
        ([0, 5, 32768], [0, 0, 1]),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_masks_follow_the_rules(save_cv2, name, values, expected):
    assert read_mask(save_cv2(name, u16([values]))).tolist() == [expected]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 0], [0, 1, 0]),
        ([0, 0.3, 0], [0, 1, 0]),  # two values: rule 5 comes before rule 6
        ([0, 0.5, 0.51, 1], [0, 0, 1, 1]),
        ([0, 0.1, 0.2], [0, 0, 0]),
        ([0, 0.1, 0.51, 1.0000002], [0, 0, 1, 1]),  # smoothed, and rounded on the way
        ([0, 0.1, 0.51, 1.01], [0, 1, 1, 1]),
        ([0, 127, 128, 255], [0, 0, 1, 1]),
        ([0, 1, 2], [0, 1, 1]),
    ],
)
def test_float_masks_follow_the_rules(save_tiff, values, expected):
    assert read_mask(save_tiff("a.tif", np.array([values], np.float32))).tolist() == [expected]


def test_noise_round_zero_in_a_jpeg_mask_is_no_foreground(save):
    black = np.zeros((16, 32), np.uint8)
    black[::2, ::3] = 6
    assert 0 < np.asarray(Image.open(save("a.jpg", black, quality=95))).max() < 20
    assert read_mask(save("a.jpg", black, quality=95)).sum() == 0
    disc = cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), 20, 255, -1)
    assert np.mean(read_mask(save("b.jpg", disc, quality=75)) == (disc > 0)) > 0.99


def test_a_jpeg_mask_is_known_by_its_content_and_not_its_suffix(save):
    black = np.zeros((16, 32), np.uint8)
    black[::2, ::3] = 6
    path = save("a.jpg", black, quality=95)
    assert read_mask(path.rename(path.with_suffix(".png"))).sum() == 0


def discs(values, radius=12, side=128):
    plane = np.zeros((side, side), np.uint8)
    rng = np.random.default_rng(0)
    for value in values:
        cv2.circle(plane, tuple(rng.integers(radius, side - radius, 2).tolist()), radius, int(value), -1)
    return plane


@pytest.mark.parametrize(
    "values", [(85, 170, 255), (128, 255), (127, 255), range(1, 201, 10), range(40, 256, 20), (60, 200, 200, 200)]
)
def test_areas_of_several_grays_are_labels(save, values):
    plane = discs(values)
    assert (read_mask(save("a.png", plane)) == (plane > 0)).all()
    assert (read_mask(save("b.tif", plane.astype(np.uint16) * 257)) == (plane > 0)).all()


@pytest.mark.parametrize("blur", [0.5, 1, 3, 10, 20])
def test_blurred_masks_are_cut_at_the_middle(save, blur):
    plane = cv2.GaussianBlur(discs([255] * 6, radius=40, side=400), (0, 0), blur)
    assert (read_mask(save("a.png", plane)) == (plane > 127)).all()


def test_smoothed_masks_that_were_enlarged_or_saved_as_jpeg_are_cut_at_the_middle(save):
    small = cv2.resize(discs([255] * 6, radius=40, side=400), (100, 100), interpolation=cv2.INTER_AREA)
    for times in (2, 4, 8):
        plane = np.kron(small, np.ones((times, times), np.uint8))
        assert (read_mask(save("a.png", plane)) == (plane > 127)).all()
    for quality in (30, 60, 95):
        jpeg = cv2.imencode(".jpg", discs([255] * 6, radius=40, side=400), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        plane = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE)
        assert (read_mask(save("a.png", plane)) == (plane > 127)).all()


def test_smoothed_vessels_are_cut_at_the_middle(save):
    plane = np.zeros((200, 200), np.uint8)
    for k in range(0, 200, 9):
        cv2.line(plane, (k, 0), (199 - k // 2, 199), 255, 1, cv2.LINE_AA)
    assert (read_mask(save("a.png", plane)) == (plane > 127)).all()


def test_small_areas_of_several_grays_are_labels(save):
    plane = discs(range(1, 241, 12), radius=5)
    assert (read_mask(save("a.png", plane)) == (plane > 0)).all()


def test_a_mask_as_soft_as_can_be_is_cut_at_the_middle(save):
    soft = cv2.GaussianBlur(discs([255] * 3, radius=90, side=400), (0, 0), 40)
    plane = cv2.resize(soft, (1600, 1600))
    assert (read_mask(save("a.png", plane)) == (plane > 127)).all()


def test_the_edges_of_thin_bars_are_no_labels(save):
    plane = np.zeros((60, 60), np.uint8)
    for top in range(2, 58, 6):
        plane[top : top + 3] = [[128], [255], [128]]
    for name, bars in (("a.png", plane), ("b.png", plane.T.copy())):
        assert (read_mask(save(name, bars)) == (bars > 127)).all()


def test_what_jpeg_leaves_near_black_and_white_is_no_label(save):
    for value, near in ((0, 9), (255, 246)):
        plane = discs([255] * 4, radius=20)
        plane[(plane == value) & (np.arange(128) % 60 < 45)] = near
        plane[0, 0] = 9
        assert (read_mask(save("a.png", plane)) == (plane > 127)).all()


def test_a_few_dots_of_gray_are_no_labels(save):
    plane = discs([255] * 4, radius=20)
    plane[60:66, 60:66] = 100
    assert (read_mask(save("a.png", plane)) == (plane > 127)).all()


@pytest.mark.parametrize("colour", [(128, 0, 0), (0, 128, 0), (0, 0, 128), (1, 0, 0)])
def test_a_dark_colour_on_black_is_foreground_in_a_palette_and_in_rgb(tmp_path, save, colour):
    # The luminance of (128, 0, 0) is 38: luminance > 127 would lose it.
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 0]))
    image.putpalette([0, 0, 0, *colour])
    image.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").tolist() == [[0, 1, 0]]
    assert read_mask(save("b.png", u8([[(0, 0, 0), colour, (0, 0, 0)]]))).tolist() == [[0, 1, 0]]


def test_a_palette_counts_by_its_colours_and_not_its_numbers(tmp_path):
    image = Image.frombytes("P", (3, 1), bytes([0, 1, 0]))
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").tolist() == [[1, 0, 1]]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_one_bit_masks_are_read(tmp_path, name):
    Image.frombytes("1", (3, 1), bytes([0b01000000])).save(tmp_path / name)
    assert read_mask(tmp_path / name).tolist() == [[0, 1, 0]]


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        ([(0, 0, 0, 255), (255, 0, 0, 255)], [0, 1]),  # alpha says nothing
        ([(0, 0, 0, 255), (255, 0, 0, 0)], [0, 1]),  # alpha says the opposite: it is ignored
        ([(0, 0, 0, 0), (0, 0, 0, 255)], [0, 1]),  # only alpha says something
        ([(9, 200, 3, 0), (9, 200, 3, 255)], [0, 1]),  # the colours are constant, each of them
        ([(0, 0, 0, 255), (0, 0, 0, 255)], [0, 0]),  # nothing says anything: black stays empty
        ([(255, 255, 255, 255), (255, 255, 255, 255)], [1, 1]),
    ],
)
def test_alpha_is_the_mask_only_if_the_colours_say_nothing(save, pixels, expected):
    assert read_mask(save("a.png", u8([pixels]))).tolist() == [expected]


def test_alpha_is_the_mask_of_gray_and_of_palette_images_too(tmp_path, save):
    assert read_mask(save("a.png", u8([[[255, 0], [255, 255]]]), "LA")).tolist() == [[0, 1]]
    image = Image.frombytes("P", (2, 1), bytes([1, 0]))
    image.putpalette([9, 9, 9, 9, 9, 9])
    image.save(tmp_path / "b.png", transparency=bytes([0, 255]))
    assert read_mask(tmp_path / "b.png").tolist() == [[1, 0]]


@pytest.mark.parametrize("size", [1, 5, 33, (3, 90), (90, 3)])
def test_a_resized_mask_stays_zero_and_one(size):
    mask = (noise((20, 31), seed=1) > 127).astype(np.uint8)
    resized = resize_mask(mask, size)
    assert resized.shape == (size if isinstance(size, tuple) else (size, size))
    assert set(np.unique(resized)) <= {0, 1}


def test_the_nearest_pixel_is_the_one_in_the_middle():
    assert resize_mask(u8([[0, 1, 0], [0, 0, 0], [0, 0, 0]]), (3, 1)).tolist() == [[1], [0], [0]]


def test_a_mask_grown_by_a_whole_factor_shrinks_back_to_itself():
    mask = (noise((20, 31), seed=2) > 127).astype(np.uint8)
    grown = resize_mask(mask, (60, 93))
    np.testing.assert_array_equal(grown, np.kron(mask, np.ones((3, 3), np.uint8)))
    np.testing.assert_array_equal(resize_mask(grown, (20, 31)), mask)


def test_a_photograph_is_told_from_labels_edges_and_jpeg(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.kron(np.arange(64, dtype=np.uint8).reshape(8, 8), np.ones((16, 16), np.uint8))
    disc = cv2.circle(np.zeros((128, 128), np.uint8), (64, 64), 40, 255, -1)
    shades = cv2.GaussianBlur(rng.integers(0, 256, (128, 128), dtype=np.uint8), (0, 0), 2)
    pictures = {"labels.png": labels, "edges.png": cv2.GaussianBlur(disc, (0, 0), 1), "disc.jpg": disc}
    pictures |= {"tiny.png": shades[:4, :4], "shades.png": shades}
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / name), picture)
    assert [name for name in pictures if is_photograph(tmp_path / name)] == ["shades.png"]
