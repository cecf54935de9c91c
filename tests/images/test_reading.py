import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile, ImageOps

from seglib.data.synthetic import draw_phantom
from seglib.errors import InputError
from seglib.images import reading
from seglib.images.masks import read_mask, resize_mask
from seglib.images.reading import SPARE, SUFFIXES, Scale, image_size, read_image, read_resized, resize_image
from seglib.images.scales import measure_values, probe_images

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow's reaches the user

TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}


@pytest.fixture
def save(tmp_path):
    """Save rows of values as an image of a Pillow mode; give the path."""

    def save_(name, rows, mode=None, **options):
        pixels = np.asarray(rows)
        image = Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()) if mode else Image.fromarray(pixels)
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return save_


@pytest.fixture
def save_cv2(tmp_path):
    """Save an array, colours in RGB order, with OpenCV; give the path."""

    def save_(name, pixels):
        pixels = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
        assert cv2.imwrite(str(tmp_path / name), pixels)
        return tmp_path / name

    return save_


@pytest.fixture
def save_tiff(tmp_path):
    """Write a TIFF byte by byte, so that any layout can be had; give the path."""

    def save_(name, pixels, *, order="<", tags=(), big=False):
        samples = pixels.shape[2] if pixels.ndim == 3 else 1
        data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        word, start = ("Q", 16) if big else ("L", 8)
        entries = {256: pixels.shape[1], 257: pixels.shape[0], 258: 8 * pixels.itemsize, 259: 1}
        entries |= {262: 2 if samples > 2 else 1, 273: start, 277: samples, 278: pixels.shape[0], 279: len(data)}
        entries |= {339: {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]} | dict(tags)
        head = struct.pack(order + "2sH", b"II" if order == "<" else b"MM", 43 if big else 42)
        head += struct.pack(order + ("HHQ" if big else "L"), *((8, 0) if big else ()), start + len(data))
        table = struct.pack(order + ("Q" if big else "H"), len(entries))
        for tag, value in sorted(entries.items()):
            kind = 4 if tag in (273, 279) else 3
            table += struct.pack(order + "HH" + word, tag, kind, 1)
            table += struct.pack(order + {3: "H", 4: "L"}[kind], value).ljust(struct.calcsize("<" + word), b"\0")
        (tmp_path / name).write_bytes(head + data + table + b"\0" * 8)
        return tmp_path / name

    return save_


def chunk(name, body):
    return struct.pack(">L", len(body)) + name + body + struct.pack(">L", zlib.crc32(name + body))


def exif_block(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    return exif


def noise(shape, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def u8(rows):
    return np.array(rows, np.uint8)


def u16(rows):
    return np.array(rows, np.uint16)


DICOM = {".dcm", ".dicom"}  # tests/images/test_dicom.py


def test_these_formats_are_read():
    plain = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".jp2", ".j2k"}
    assert set(SUFFIXES) == plain | {".pbm", ".pgm", ".ppm", ".pnm"} | DICOM


# --- read_image: formats and modes -----------------------------------------------------------------------------------


LOSSY = {".jpg": {"quality": 95}, ".jpeg": {"quality": 95}, ".webp": {"lossless": True}}  # how they are saved


@pytest.mark.parametrize("suffix", sorted(set(SUFFIXES) - DICOM - {".jpg", ".jpeg", ".pbm", ".pgm"}))
def test_colour_survives_every_lossless_format_in_either_case_of_its_suffix(save, suffix):
    pixels = u8([[[255, 0, 1], [2, 200, 3], [4, 5, 250]], [[6, 7, 8], [9, 10, 11], [12, 13, 14]]])
    for name in ("a" + suffix, "B" + suffix.upper()):
        path = save(name, pixels, **LOSSY.get(suffix, {}))
        np.testing.assert_array_equal(read_image(path, channels=3), pixels)
        assert image_size(path) == (2, 3)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".jp2", ".j2k", ".pgm", ".pnm"])
def test_gray_survives_the_formats_of_older_sets(save, suffix):
    pixels = noise((20, 30))
    path = save("a" + suffix, pixels, **LOSSY.get(suffix, {}))
    np.testing.assert_array_equal(read_image(path, channels=1)[..., 0], pixels)
    assert probe_images([path]) == (1, Scale(0, 255))
    assert image_size(path) == (20, 30)


def test_a_bitmap_is_black_and_white(tmp_path):
    (tmp_path / "a.pbm").write_text("P1\n# by hand\n3 2\n1 0 1\n0 1 0\n")  # 1 is black
    assert read_image(tmp_path / "a.pbm", channels=1)[..., 0].tolist() == [[0, 255, 0], [255, 0, 255]]
    assert read_mask(tmp_path / "a.pbm").tolist() == [[0, 1, 0], [1, 0, 1]]


def test_the_twelve_bits_of_a_pgm_reach_from_black_to_white(tmp_path):
    header = b"P5 3 1 4095\n"
    (tmp_path / "a.pgm").write_bytes(header + np.array([0, 2048, 4095], ">u2").tobytes())
    assert probe_images([tmp_path / "a.pgm"]) == (1, Scale(0, 65535))
    assert read_image(tmp_path / "a.pgm", channels=1, scale=Scale(0, 65535))[..., 0].tolist() == [[0, 128, 255]]


def test_sixteen_bits_survive_jpeg_2000(save):
    pixels = noise((20, 30), np.uint16)
    pixels[0, 0] = 65535
    path = save("a.jp2", pixels)
    assert measure_values(path).high > 65000
    np.testing.assert_array_equal(read_image(path, channels=1, scale=Scale(0, 65535))[..., 0], np.rint(pixels / 257))


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".jp2", ".pgm"])
def test_masks_are_read_from_the_formats_of_older_sets(save, suffix):
    mask = (noise((20, 30)) > 127).astype(np.uint8)
    for top in (1, 255):
        path = save("a" + suffix, top * mask, **LOSSY.get(suffix, {}))
        np.testing.assert_array_equal(read_mask(path), mask)


def test_the_first_frame_of_a_gif_is_read_and_its_transparent_pixels_keep_their_colour(save):
    frames = [Image.fromarray(noise((8, 9), seed=seed)) for seed in (0, 1)]
    path = save("a.gif", np.asarray(frames[0]), save_all=True, append_images=frames[1:], transparency=3)
    np.testing.assert_array_equal(read_image(path, channels=1)[..., 0], np.asarray(frames[0]))


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".JPG"])
def test_flat_colour_survives_jpeg(save, suffix):
    path = save("a" + suffix, np.full((8, 16, 3), (200, 100, 50), np.uint8), quality=95)
    assert np.abs(read_image(path, channels=3).astype(int) - (200, 100, 50)).max() <= 2


def test_the_content_counts_and_not_the_suffix(save):
    path = save("a.png", u8([[7, 8]]))
    np.testing.assert_array_equal(read_image(path.rename(path.with_suffix(".jpg")), channels=1)[..., 0], [[7, 8]])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_gray_is_repeated_to_three_channels(save, suffix):
    pixels = read_image(save(f"a.{suffix}", u8([[0, 7, 255]])), channels=3)
    assert pixels.tolist() == [[[0, 0, 0], [7, 7, 7], [255, 255, 255]]]


def test_colour_becomes_luminance_for_one_channel(save):
    # 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; the mean would be 116.7, the BGR mistake 96.5
    assert read_image(save("a.png", u8([[[200, 100, 50]]])), channels=1).tolist() == [[[124]]]


def test_alpha_is_dropped_and_not_blended(save):
    rgba = save("a.png", u8([[[200, 100, 50, 0], [1, 2, 3, 128]]]))
    assert read_image(rgba, channels=3).tolist() == [[[200, 100, 50], [1, 2, 3]]]
    for name in ("la.png", "la.tif"):
        gray = save(name, u8([[[90, 0], [80, 255]]]), "LA")
        assert read_image(gray, channels=1).tolist() == [[[90], [80]]]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_a_palette_gives_its_colours(tmp_path, name):
    image = Image.frombytes("P", (2, 1), bytes([1, 0]))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / name)
    assert read_image(tmp_path / name, channels=3).tolist() == [[[200, 100, 50], [10, 20, 30]]]


def test_a_palette_with_transparency_gives_its_colours_silently(tmp_path):
    image = Image.frombytes("P", (2, 1), bytes([1, 0]))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(tmp_path / "a.png", transparency=bytes([0, 128]))
    assert read_image(tmp_path / "a.png", channels=3).tolist() == [[[200, 100, 50], [10, 20, 30]]]


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif"])
def test_one_bit_images_are_black_and_white(tmp_path, name):
    Image.frombytes("1", (3, 1), bytes([0b01000000])).save(tmp_path / name)
    assert read_image(tmp_path / name, channels=1).tolist() == [[[0], [255], [0]]]


@pytest.mark.parametrize("name", ["a.tif", "a.jpg"])
def test_cmyk_becomes_rgb(save, name):
    path = save(name, np.full((8, 8, 4), (0, 255, 255, 0), np.uint8), "CMYK")  # magenta and yellow make red
    assert np.abs(read_image(path, channels=3)[0, 0].astype(int) - (255, 0, 0)).max() <= 2


def test_16_bit_cmyk_becomes_rgb_and_counts_as_8_bit(save_tiff):
    path = save_tiff("a.tif", u16([[(0, 65535, 65535, 0), (0, 0, 0, 0)]]), tags={262: 5})
    assert read_image(path, channels=3, scale=Scale(0, 65535)).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert probe_images([path]) == (3, Scale(0, 255.0))


def test_of_a_multi_page_tiff_the_first_page_is_read(tmp_path):
    pages = [Image.new("L", (3, 2), value) for value in (5, 6, 7)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert read_image(tmp_path / "a.tif", channels=1)[..., 0].tolist() == [[5] * 3] * 2


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_compressed_tiff_is_read(save, compression):
    pixels = noise((5, 7, 3))
    path = save("a.tif", pixels, compression=compression)
    np.testing.assert_array_equal(read_image(path, channels=3), pixels)


# --- read_image: depth -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_gray_is_scaled_by_white_and_clipped(save_cv2, name):
    path = save_cv2(name, u16([[0, 257, 2048, 4095, 65535]]))
    assert read_image(path, channels=1, scale=Scale(0, 4095))[0, :, 0].tolist() == [0, 16, 128, 255, 255]
    assert read_image(path, channels=1, scale=Scale(0, 65535))[0, :, 0].tolist() == [0, 1, 8, 16, 255]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_keeps_its_order_and_all_its_bits(save_cv2, name, channels):
    # With white = 1023 the low byte decides: a reader that first cuts to 8 bits gives 0 or 255 only.
    pixels = u16([[[1023, 512, 100, 9], [0, 4, 1000, 65535]]])[..., :channels]
    path = save_cv2(name, pixels)
    assert read_image(path, channels=3, scale=Scale(0, 1023)).tolist() == [[[255, 128, 25], [0, 1, 249]]]


def test_16_bit_gray_with_alpha_is_read_from_png(tmp_path):
    rows = b"\0" + struct.pack(">4H", 512, 65535, 1023, 0)
    body = chunk(b"IHDR", struct.pack(">LLBBBBB", 2, 1, 16, 4, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(rows))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))
    assert read_image(tmp_path / "a.png", channels=1, scale=Scale(0, 1023)).tolist() == [[[128], [255]]]


def test_8_bit_images_are_not_scaled_whatever_white_is(save):
    assert read_image(save("a.png", u8([[100, 255]])), channels=1, scale=Scale(0, 4095)).tolist() == [[[100], [255]]]


def test_an_image_is_not_scaled_by_its_own_maximum(save_cv2):
    assert read_image(save_cv2("a.png", u16([[0, 100]])), channels=1, scale=Scale(0, 65535)).max() == 0


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("dtype", "values", "white", "expected"),
    [
        (np.uint16, [0, 1000, 65535], 2000, [0, 128, 255]),  # 127.5 is rounded to even
        (np.int16, [-5, 1000, 32767], 32767, [0, 8, 255]),
        (np.int32, [-7, 70000, 2**31 - 1], 140000, [0, 128, 255]),
        (np.float32, [-1, 0.5, 2.0], 1.0, [0, 128, 255]),
        (np.float64, [-1, 0.25, 2.0], 1.0, [0, 64, 255]),
        (np.int8, [-5, 3, 127], 255, [0, 3, 127]),
    ],
)
def test_negative_values_are_black_and_both_byte_orders_are_read(save_tiff, order, dtype, values, white, expected):
    path = save_tiff("a.tif", np.array([values], dtype), order=order)
    assert read_image(path, channels=1, scale=Scale(0, white))[0, :, 0].tolist() == expected


def test_signed_bytes_are_no_deep_file(save_tiff):
    path = save_tiff("a.tif", np.array([[-5, 3, 127]], np.int8))
    assert read_image(path, channels=1)[0, :, 0].tolist() == [0, 3, 127]


def test_unsigned_32_bit_values_above_the_signed_range_are_not_negative(save_tiff):
    path = save_tiff("a.tif", np.array([[0, 2**31, 2**32 - 1]], np.uint32))
    assert read_image(path, channels=1, scale=Scale(0, 2**32 - 1))[0, :, 0].tolist() == [0, 128, 255]


def test_float_colour_is_read(save_tiff):
    path = save_tiff("a.tif", np.array([[[0, 0.2, 1.0]]], np.float32))
    assert read_image(path, channels=3, scale=Scale(0, 1.0)).tolist() == [[[0, 51, 255]]]


def test_what_is_no_number_is_black(save_tiff):
    path = save_tiff("a.tif", np.array([[np.nan, np.inf, -np.inf, 1]], np.float32))
    assert read_image(path, channels=1, scale=Scale(0, 1.0))[0, :, 0].tolist() == [0, 0, 0, 255]


def test_big_tiff_is_read(save_tiff):
    path = save_tiff("a.tif", u8([[1, 2, 3], [4, 5, 6]]), big=True, tags={274: 6})
    assert read_image(path, channels=1)[..., 0].tolist() == [[4, 1], [5, 2], [6, 3]]


@pytest.mark.parametrize("pixels", [np.zeros((2, 3, 2), np.uint16), np.zeros((2, 3), np.float16)])
def test_a_tiff_of_an_unknown_layout_is_refused_and_not_misread(save_tiff, pixels):
    path = save_tiff("a.tif", pixels)
    with pytest.raises(InputError, match=r"a\.tif: .*unknown layout"):
        read_image(path, channels=1)


def test_a_deep_tiff_stored_plane_by_plane_is_refused_and_not_misread(save_tiff):
    path = save_tiff("a.tif", noise((4, 5, 3), np.uint16), tags={284: 2})
    with pytest.raises(InputError, match=r"a\.tif: .*planar 2"):
        read_image(path, channels=3)


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


# --- orientation and size --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_exif_orientation_turns_images_and_masks_and_sizes(save, name, orientation):
    pixels = noise((5, 9, 3))
    path = save(name, pixels, exif=exif_block(orientation))
    stored = np.asarray(Image.open(save("plain.jpg", pixels))) if name == "a.jpg" else pixels
    expected = TURNS[orientation](stored)
    np.testing.assert_array_equal(read_image(path, channels=3), expected)
    np.testing.assert_array_equal(read_mask(path), expected.max(axis=2) > 127)
    assert image_size(path) == expected.shape[:2]
    with Image.open(path) as judge:
        np.testing.assert_array_equal(expected, np.asarray(ImageOps.exif_transpose(judge)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("shape", [(5, 9), (5, 9, 3)])
def test_exif_orientation_turns_16_bit_tiff(save_tiff, capfd, orientation, order, shape):
    pixels = noise(shape, np.uint16)
    path = save_tiff("a.tif", pixels, order=order, tags={274: orientation})
    expected = np.atleast_3d(TURNS[orientation](pixels))
    np.testing.assert_array_equal(
        read_image(path, channels=expected.shape[2], scale=Scale(0, 65535)), np.rint(expected / 257)
    )
    assert image_size(path) == expected.shape[:2]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_exif_behind_the_pixels_of_a_png_counts(save_cv2, depth):
    path = save_cv2("a.png", noise((5, 9, 3), depth))
    upright, data = read_image(path, channels=3, scale=Scale(0, 65535)), path.read_bytes()
    path.write_bytes(data[:-12] + chunk(b"eXIf", exif_block(6).tobytes().removeprefix(b"Exif\0\0")) + data[-12:])
    np.testing.assert_array_equal(read_image(path, channels=3, scale=Scale(0, 65535)), np.rot90(upright, -1))
    assert image_size(path) == (9, 5)


@pytest.mark.parametrize("orientation", [0, 9])
@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_an_orientation_that_does_not_exist_is_ignored(save, name, orientation):
    pixels = noise((5, 9))
    path = save(name, pixels, exif=exif_block(orientation))
    np.testing.assert_array_equal(read_image(path, channels=1)[..., 0], pixels)
    assert image_size(path) == (5, 9)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0nonsense", b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01\x03"])
def test_a_damaged_exif_block_does_no_harm_and_warns_nobody(save, exif):
    path = save("a.jpg", np.full((8, 16), 90, np.uint8), exif=exif)
    assert read_image(path, channels=1).shape == (8, 16, 1)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif"])
def test_the_size_needs_the_header_only(save, name):
    path = save(name, noise((40, 60, 3)))
    path.write_bytes(path.read_bytes()[:-1000])
    assert image_size(path) == (40, 60)
    with pytest.raises(InputError):
        read_image(path, channels=3)


# --- probe_images ----------------------------------------------------------------------------------------------------


def test_gray_8_bit_images_are_one_channel_with_white_255(save):
    paths = [save("a.png", u8([[1, 2]])), save("b.jpg", np.full((8, 8), 9, np.uint8)), save("c.bmp", u8([[3]]))]
    assert probe_images(paths) == (1, Scale(0, 255.0))


@pytest.mark.parametrize(("colour", "in_channels"), [((100, 102, 101), 1), ((100, 103, 101), 3), ((103, 101, 100), 3)])
def test_colours_within_two_levels_are_gray(save, colour, in_channels):
    gray = np.full((4, 4, 3), 50, np.uint8)
    almost = gray.copy()
    almost[3, 2] = colour
    assert probe_images([save("a.png", gray), save("b.png", almost)])[0] == in_channels


def test_alpha_does_not_make_an_image_coloured(save):
    assert probe_images([save("a.png", u8([[[9, 9, 9, 200]]])), save("b.png", u8([[[9, 200]]]), "LA")])[0] == 1


@pytest.mark.parametrize(
    ("peak", "white"),
    [(0, 255), (255, 255), (256, 1023), (1023, 1023), (1024, 4095), (4096, 16383), (16384, 65535), (65535, 65535)],
)
def test_white_is_the_smallest_step_that_holds_the_largest_value(save_cv2, peak, white):
    assert probe_images([save_cv2("a.png", u16([[0, peak]])), save_cv2("b.tif", u16([[0, 0]]))]) == (1, Scale(0, white))


@pytest.mark.parametrize(("hot", "white"), [(0, 4095), (2, 4095), (3, 65535), (9, 65535)])
def test_a_hot_pixel_does_not_darken_a_data_set_but_more_than_a_thousandth_count(save_cv2, hot, white):
    pixels = np.full((50, 50), 3000, np.uint16)
    pixels.flat[:hot] = 60000
    path = save_cv2("a.png", pixels)
    assert probe_images([path]) == (1, Scale(0, white))
    brightest = min(int(pixels.max()), white)
    assert read_image(path, channels=1, scale=Scale(0, white)).max() == round(brightest * 255 / white)


def test_white_of_32_bit_images_is_found(save_tiff):
    assert probe_images([save_tiff("a.tif", np.array([[0, 70000]], np.int32))]) == (1, Scale(0, 2**32 - 1))


@pytest.mark.parametrize(("peak", "white"), [(0.3, 1), (1.0, 1), (1.5, 255), (300, 1023), (1e12, 1e12)])
def test_white_of_floats_is_one_or_a_step(save_tiff, peak, white):
    path = save_tiff("a.tif", np.array([[0, peak]], np.float64))
    assert probe_images([path]) == (1, Scale(0, white))


def test_float_colours_are_told_from_gray(save_tiff):
    gray = save_tiff("a.tif", np.full((2, 2, 3), 0.5, np.float32))
    assert probe_images([gray]) == (1, Scale(0, 1.0))
    assert probe_images([gray, save_tiff("b.tif", np.array([[[0.5, 0.4, 0.5]]], np.float32))]) == (3, Scale(0, 1.0))


def test_the_maximum_is_taken_over_all_deep_images_even_after_a_colour_image(tmp_path, save, save_cv2):
    colour = save("a.png", u8([[[255, 0, 0]]]))
    assert probe_images([colour, save_cv2("b.png", u16([[700]]))]) == (3, Scale(0, 1023.0))
    assert probe_images([colour, tmp_path / "b.png", save_cv2("c.tif", u16([[[1, 2, 5000]]]))]) == (
        3,
        Scale(0, 16383.0),
    )


def test_a_data_set_that_mixes_8_and_16_bits_keeps_both_readable(save, save_cv2):
    paths = [save("a.png", u8([[0, 255]])), save_cv2("b.png", u16([[0, 4095]]))]
    in_channels, scale = probe_images(paths)
    assert (in_channels, scale) == (1, Scale(0, 4095))
    assert [read_image(path, channels=1, scale=scale).ravel().tolist() for path in paths] == [[0, 255]] * 2


def test_after_a_colour_image_8_bit_files_are_not_decoded(save):
    colour, broken = save("a.png", u8([[[255, 0, 0]]])), save("b.png", noise((40, 60, 3)))
    broken.write_bytes(broken.read_bytes()[:-2000])
    assert probe_images([colour, broken]) == (3, Scale(0, 255.0))
    with pytest.raises(InputError, match=r"b\.png"):
        probe_images([broken, colour])


def test_probing_nothing_is_refused():
    with pytest.raises(InputError, match="no image"):
        probe_images([])


def test_a_deep_file_without_a_white_is_refused_and_an_8_bit_one_needs_none(save, save_cv2):
    deep, plain = save_cv2("a.png", u16([[0, 300]])), save("b.png", u8([[7, 255]]))
    for read in (partial(read_image, channels=1), partial(read_resized, size=2, channels=1)):
        with pytest.raises(ValueError, match="deeper than 8 bits"):
            read(deep)
        assert read(plain).max() == 255


def test_the_values_of_a_deep_file_are_those_of_its_colours(save, save_cv2, save_tiff):
    assert measure_values(save("a.png", u8([[255]]))) is None
    assert measure_values(save_cv2("b.png", u16([[[1, 2, 5000, 60000]]]))) == (True, 1, 5000, None)
    assert measure_values(save_tiff("c.tif", np.array([[-3, 0.25]], np.float32))) == (False, -3, 0.25, None)


def test_floats_up_to_one_among_whole_numbers_are_refused_as_no_white_fits_both(save_tiff):
    for peak in (0.5, 1):
        paths = [save_tiff("a.tif", np.array([[peak]], np.float32)), save_tiff("b.tif", u16([[9]]))]
        with pytest.raises(InputError, match="floats up to 1 are mixed with whole numbers"):
            probe_images(paths)
    paths = [save_tiff("a.tif", np.array([[1.5]], np.float32)), save_tiff("b.tif", u16([[300]]))]
    assert probe_images(paths)[1] == Scale(0, 1023)


# --- read_mask -------------------------------------------------------------------------------------------------------


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


# --- resizing --------------------------------------------------------------------------------------------------------


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


def test_resizing_to_the_same_size_changes_nothing():
    pixels = noise((9, 9, 3))
    np.testing.assert_array_equal(resize_image(pixels, 9), pixels)
    np.testing.assert_array_equal(resize_mask(pixels[..., 0] % 2, 9), pixels[..., 0] % 2)


# --- errors and threads ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "read", [lambda path: read_image(path, channels=3), read_mask, image_size, lambda path: probe_images([path])]
)
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, ": No such file or directory; check the path"),
        (b"", "it is empty"),
        (b"hello, this is a text file with the wrong name", "it is no image"),
        (b"GIF89a" + bytes(40), "cannot be read"),
        (b"P5 no gray map", "cannot be read"),
        (b"RIFF\0\0\0\0WEBPVP8 " + bytes(40), "cannot be read"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "cannot be read"),
        (b"\xff\x4f\xff\x51" + bytes(40), "cannot be read"),
        (bytes(128) + b"DICM", "it holds no picture"),
        (bytes(127) + b"DICM", "it is no image"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read"),
        (b"\xff\xd8\xff\xe0 no jpeg", "cannot be read"),
        (b"BM", "cannot be read"),
        (b"II*\0", "cut short"),
        (b"II*\0\x08\0\0\0\0\0\0\0\0\0", "cut short"),
        (b"MM\0*\xff\xff\xff\xff" + bytes(40), "cut short"),
    ],
)
def test_what_is_no_image_is_refused_by_name_with_a_cure(tmp_path, read, content, reason):
    path = tmp_path / "odd name.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert reason in str(error.value)
    assert "; check" in str(error.value) or "; replace" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="Is a directory"):
        read_image(tmp_path, channels=3)


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize(
    ("name", "shape", "depth"),
    [
        ("a.jpg", (60, 90, 3), np.uint8),
        ("a.png", (60, 90, 3), np.uint8),
        ("a.bmp", (60, 90, 3), np.uint8),
        ("a.tif", (60, 90, 3), np.uint8),
        ("a.png", (60, 90), np.uint16),
        ("a.tif", (60, 90), np.uint16),
        ("a.png", (60, 90, 3), np.uint16),  # cv2 alone would give half an image
        ("a.png", (60, 90, 4), np.uint16),
        ("a.tif", (60, 90, 3), np.uint16),
    ],
)
def test_a_file_cut_short_is_refused_by_name_and_without_noise(save_cv2, capfd, name, shape, depth, kept):
    path = save_cv2(name, noise(shape, depth))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    for read in (lambda: read_image(path, channels=3, scale=Scale(0, 65535)), lambda: read_mask(path)):
        with pytest.raises(InputError, match=r"a\.\w+: the image cannot be read") as error:
            read()
        assert not isinstance(error.value.__cause__, Warning)
        assert capfd.readouterr().err == ""  # cv2 logs there


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".jp2", ".j2k", ".pgm", ".ppm"])
def test_older_formats_cut_short_are_refused_by_name_and_without_noise(save, capfd, suffix, kept):
    path = save("a" + suffix, noise((60, 90) if suffix != ".ppm" else (60, 90, 3)))
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    for read in (lambda: read_image(path, channels=3, scale=Scale(0, 65535)), lambda: read_mask(path)):
        with pytest.raises(InputError, match=r"a\.\w+: the image cannot be read"):
            read()
        assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kept", [9, 30, 100, 150, 250, 290, 320, 1000])
def test_a_tiff_cut_within_its_header_is_refused_without_a_warning_of_pillows(save, kept):
    path = save("a.tif", noise((60, 90)), description="d" * 50, software="s" * 50)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"a\.tif: ") as error:
        read_image(path, channels=3)
    assert not isinstance(error.value.__cause__, Warning)


def test_the_first_of_two_entries_with_one_tag_counts(save_tiff):
    path = save_tiff("a.tif", noise((5, 9)))
    data = path.read_bytes()
    entry = struct.pack("<HHL", 258, 3, 1)
    assert data.count(entry) == 1
    path.write_bytes(data.replace(entry, struct.pack("<HHL", 257, 3, 1)))  # says height 5, then height 8
    assert image_size(path) == (5, 9)


@pytest.mark.parametrize("pixels", [noise((20, 30, 3), np.uint16), np.ones((20, 30, 3), np.float32), noise((20, 30))])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_that_promises_more_than_it_holds_is_refused_by_name(save_tiff, pixels, order):
    # The directory lies behind the pixels: take pixels out and mend its place, so that it alone is whole.
    path = save_tiff("a.tif", pixels, order=order)
    data = bytearray(path.read_bytes())
    (at,) = struct.unpack_from(order + "L", data, 4)
    data[4:8] = struct.pack(order + "L", at - 400)
    path.write_bytes(data[:100] + data[500:])
    with pytest.raises(InputError, match=r"a\.tif: the image cannot be read"):
        read_image(path, channels=3)


@pytest.fixture
def bomb(tmp_path):
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0))
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")))
    return tmp_path / "bomb.png"


def test_a_decompression_bomb_is_refused_by_name_before_it_goes_off(bomb):
    for read in (lambda: read_image(bomb, channels=1), lambda: read_mask(bomb), lambda: image_size(bomb)):
        with pytest.raises(InputError, match=r"bomb\.png: .*it has 900 megapixels.*at most 400 megapixels"):
            read()


@pytest.mark.parametrize(
    ("name", "mode"),
    [("a.jpg", "L"), ("a.png", "RGB"), ("a.bmp", "P"), ("a.tif", "L"), ("a.tif", "RGB"), ("a.tif", "P")],
)
def test_the_limit_of_pillow_is_neither_asked_nor_changed(tmp_path, monkeypatch, name, mode):
    Image.fromarray(noise((40, 50, 3))).convert(mode).save(tmp_path / name)
    expected = read_image(tmp_path / name, channels=3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # as if the image had 360 million pixels
    np.testing.assert_array_equal(read_image(tmp_path / name, channels=3), expected)
    assert Image.MAX_IMAGE_PIXELS == 10
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_eight_threads_read_what_one_reads(save, save_cv2, save_tiff):
    paths = [save(f"a{i}.{s}", noise((30, 40, 3), seed=i)) for i in range(3) for s in ("png", "jpg", "bmp", "tif")]
    paths += [save_cv2("b.png", noise((30, 40, 3), np.uint16)), save_cv2("b.tif", noise((30, 40, 3), np.uint16))]
    paths += [save_tiff("c.tif", noise((30, 40), np.uint16), tags={274: 6})]
    paths += [save("d.jpg", noise((9, 5)), exif=exif_block(8))]
    paths *= 10

    def read(path):
        return read_image(path, channels=3, scale=Scale(0, 65535)), read_mask(path), image_size(path)

    with ThreadPoolExecutor(8) as pool:
        for alone, together in zip(map(read, paths), pool.map(read, paths), strict=True):
            np.testing.assert_array_equal(together[0], alone[0])
            np.testing.assert_array_equal(together[1], alone[1])
            assert together[2] == alone[2]


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
