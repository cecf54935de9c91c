from functools import partial

import numpy as np
import pytest
from image_files import exif_block, noise, u8, u16
from PIL import Image

from seglib.data.synthetic import draw_phantom
from seglib.errors import InputError
from seglib.images import reading
from seglib.images.masks import read_mask, resize_mask
from seglib.images.reading import SPARE, Scale, image_size, read_image, read_resized, resize_image
from seglib.images.scales import probe_images
from seglib.images.suffixes import SUFFIXES

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow's reaches the user


def test_these_formats_are_read():
    plain = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".jp2", ".j2k"}
    assert set(SUFFIXES) == plain | {".pbm", ".pgm", ".ppm", ".pnm", ".dcm", ".dicom", ".npy", ".nii", ".nii.gz"}


def test_the_twelve_bits_of_a_pgm_reach_from_black_to_white(tmp_path):
    header = b"P5 3 1 4095\n"
    (tmp_path / "a.pgm").write_bytes(header + np.array([0, 2048, 4095], ">u2").tobytes())
    assert probe_images([tmp_path / "a.pgm"]) == (1, Scale(0, 65535))
    assert read_image(tmp_path / "a.pgm", channels=1, scale=Scale(0, 65535))[..., 0].tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_gray_is_repeated_to_three_channels(save, suffix):
    pixels = read_image(save(f"a.{suffix}", u8([[0, 7, 255]])), channels=3)
    assert pixels.tolist() == [[[0, 0, 0], [7, 7, 7], [255, 255, 255]]]


def test_colour_becomes_luminance_for_one_channel(save):
    # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; the mean would be 116.7, the BGR mistake 96.5
    assert read_image(save("a.png", u8([[[200, 100, 50]]])), channels=1).tolist() == [[[124]]]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_gray_is_scaled_by_white_and_clipped(save_cv2, name):
    path = save_cv2(name, u16([[0, 257, 2048, 4095, 65535]]))
    assert read_image(path, channels=1, scale=Scale(0, 4095))[0, :, 0].tolist() == [0, 16, 128, 255, 255]
    assert read_image(path, channels=1, scale=Scale(0, 65535))[0, :, 0].tolist() == [0, 1, 8, 16, 255]


def test_8_bit_images_are_not_scaled_whatever_white_is(save):
    assert read_image(save("a.png", u8([[100, 255]])), channels=1, scale=Scale(0, 4095)).tolist() == [[[100], [255]]]


def test_an_image_is_not_scaled_by_its_own_maximum(save_cv2):
    assert read_image(save_cv2("a.png", u16([[0, 100]])), channels=1, scale=Scale(0, 65535)).max() == 0


def test_float_colour_is_read(save_tiff):
    path = save_tiff("a.tif", np.array([[[0, 0.2, 1.0]]], np.float32))
    assert read_image(path, channels=3, scale=Scale(0, 1.0)).tolist() == [[[0, 51, 255]]]


def test_what_is_no_number_is_black(save_tiff):
    path = save_tiff("a.tif", np.array([[np.nan, np.inf, -np.inf, 1]], np.float32))
    assert read_image(path, channels=1, scale=Scale(0, 1.0))[0, :, 0].tolist() == [0, 0, 0, 255]


@pytest.mark.parametrize(("channels", "white"), [(2, 255), (4, 255), (3, 0), (3, -1), (3, float("nan"))])
def test_channels_and_white_out_of_range_are_refused(save, channels, white):
    with pytest.raises(ValueError, match="channels must be 1 or 3 and white above black"):
        read_image(save("a.png", u8([[1]])), channels=channels, scale=Scale(0, white))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (4, 6, 4)])
def test_arrays_are_writable_contiguous_uint8(save, shape, orientation):
    path = save("a.png", noise(shape), exif=exif_block(orientation))
    for pixels in (read_image(path, channels=1), read_image(path, channels=3), read_mask(path)):
        assert pixels.dtype == np.uint8
        assert pixels.flags.writeable
        assert pixels.flags.c_contiguous


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
def test_the_size_needs_the_header_only(save, name):
    path = save(name, noise((40, 60, 3)))
    path.write_bytes(path.read_bytes()[:-1000])
    assert image_size(path) == (40, 60)
    with pytest.raises(InputError):
        read_image(path, channels=3)


def test_a_deep_file_without_a_white_is_refused_and_an_8_bit_one_needs_none(save, save_cv2):
    deep, plain = save_cv2("a.png", u16([[0, 300]])), save("b.png", u8([[7, 255]]))
    for read in (partial(read_image, channels=1), partial(read_resized, size=2, channels=1)):
        with pytest.raises(ValueError, match="deeper than 8 bits"):
            read(deep)
        assert read(plain).max() == 255


def test_shrinking_takes_the_mean_of_the_area():
    pixels = u8([[0, 100, 8, 8], [100, 200, 8, 8]])[..., None]
    assert resize_image(pixels, (1, 2)).tolist() == [[[100], [8]]]


def test_growing_is_linear():
    # Centres of the new pixels lie at -0.25, 0.25, 0.75 and 1.25 of the old ones.
    assert resize_image(u8([[[0], [100]]]), (1, 4)).ravel().tolist() == [0, 25, 75, 100]


def test_where_one_side_shrinks_and_the_other_grows_each_goes_its_own_way():
    pixels = np.repeat(u8([[0, 100]])[..., None], 4, axis=0)
    assert resize_image(pixels, (1, 4)).ravel().tolist() == [0, 25, 75, 100]
    assert resize_image(pixels, (3, 4))[0].ravel().tolist() == [0, 25, 75, 100]
    assert resize_image(pixels.swapaxes(0, 1), (4, 3))[:, 0].ravel().tolist() == [0, 25, 75, 100]


@pytest.mark.parametrize("turned", [False, True])
def test_no_pixel_of_a_long_strip_is_left_out(turned):
    strip = np.zeros((15, 1200, 1), np.uint8)
    strip[:, ::8] = 200  # four or five of the 37.5 columns that make a new one
    resized = resize_image(strip.swapaxes(0, 1) if turned else strip, 32)
    assert resized.shape == (32, 32, 1)
    assert np.unique(np.round(resized, -1)).tolist() == [20, 30]  # 21 and 27


@pytest.mark.parametrize("size", [1, 7, 64, (3, 50), (50, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_constant_image_stays_constant_and_keeps_its_channel_axis(size, channels):
    height, width = size if isinstance(size, tuple) else (size, size)
    resized = resize_image(np.full((20, 31, channels), 77, np.uint8), size)
    assert resized.shape == (height, width, channels)
    assert resized.flags.writeable
    assert np.unique(resized).tolist() == [77]


def test_resizing_to_the_same_size_changes_nothing():
    pixels = noise((9, 9, 3))
    np.testing.assert_array_equal(resize_image(pixels, 9), pixels)
    np.testing.assert_array_equal(resize_mask(pixels[..., 0] % 2, 9), pixels[..., 0] % 2)


def photograph(height, width, *, gray=False):
    return draw_phantom(np.random.default_rng(3), height, width, gray=gray)[0]


def root_mean_square(one, other):
    return np.sqrt(((one.astype(float) - other) ** 2).mean())


@pytest.fixture
def decoded_sizes(monkeypatch):
    """(height, width) of what was decoded, in the order of the calls."""
    sizes, decode = [], reading.decode_image

    def watch(path, **options):
        pixels, kind = decode(path, **options)
        sizes.append(pixels.shape[:2])
        return pixels, kind

    monkeypatch.setattr(reading, "decode_image", watch)
    return sizes


@pytest.mark.parametrize(("side", "divided_by"), [(33, 8), (34, 4), (67, 4), (68, 2), (134, 2), (135, 1)])
def test_a_large_jpeg_is_decoded_smaller_but_spare_times_the_wanted_side(tmp_path, decoded_sizes, side, divided_by):
    Image.fromarray(photograph(805, 1200)).save(tmp_path / "a.jpg")
    read_resized(tmp_path / "a.jpg", side, channels=3)
    assert decoded_sizes == [(-(-805 // divided_by), 1200 // divided_by)]
    assert min(decoded_sizes[0]) >= SPARE * side


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("side", [32, 64, 100])
def test_a_reduced_decoding_differs_by_less_than_one_gray_level(tmp_path, orientation, channels, gray, side):
    turn = {"exif": exif_block(orientation)}
    Image.fromarray(photograph(800, 1200, gray=gray)).save(tmp_path / "a.jpg", quality=90, **turn)
    full = resize_image(read_image(tmp_path / "a.jpg", channels=channels), side)
    reduced = read_resized(tmp_path / "a.jpg", side, channels=channels)
    assert reduced.shape == (side, side, channels)
    assert 0 < root_mean_square(full, reduced) < 1
    assert abs(full.astype(float) - reduced).mean(axis=(0, 1)).max() < 1  # of each colour


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.bmp"])
def test_without_a_reduction_the_pixels_are_the_very_same(tmp_path, name):
    shape = (511, 700) if name == "a.jpg" else (1600, 1700)
    Image.fromarray(photograph(*shape)).save(tmp_path / name)
    side = 86 if name == "a.jpg" else 64
    full = resize_image(read_image(tmp_path / name, channels=3), side)
    assert np.array_equal(read_resized(tmp_path / name, side, channels=3), full)


def test_a_jpeg_of_512_pixels_is_decoded_in_full_for_128(tmp_path):
    Image.fromarray(photograph(512, 512)).save(tmp_path / "a.jpg")
    full = resize_image(read_image(tmp_path / "a.jpg", channels=3), 128)
    assert np.array_equal(read_resized(tmp_path / "a.jpg", 128, channels=3), full)


@pytest.mark.parametrize("options", [{"progressive": True}, {"subsampling": 0}, {"quality": 40}])
def test_a_reduced_decoding_of_any_kind_of_jpeg_is_as_near(tmp_path, options):
    Image.fromarray(photograph(800, 1200)).save(tmp_path / "a.jpg", **options)
    full = resize_image(read_image(tmp_path / "a.jpg", channels=3), 60)
    assert 0 < root_mean_square(full, read_resized(tmp_path / "a.jpg", 60, channels=3)) < 1


def test_a_large_jpeg_cut_short_is_refused_at_reduced_size_too(tmp_path):
    Image.fromarray(photograph(800, 1200)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="a.jpg"):
        read_resized(tmp_path / "a.jpg", 32, channels=3)


def test_a_deep_image_is_resized_as_it_is_read(save_cv2):
    path = save_cv2("a.png", np.full((90, 90), 2048, np.uint16))
    assert (read_resized(path, 8, channels=1, scale=Scale(0, 4095)) == 128).all()
    with pytest.raises(ValueError, match="white"):
        read_resized(path, 8, channels=1, scale=Scale(0, 0))
