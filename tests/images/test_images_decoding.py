import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_files import LOSSY, chunk, exif_block, noise, u8, u16
from PIL import Image, ImageFile, ImageOps

from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.images.reading import Scale, image_size, read_image
from seglib.images.scales import measure_values, probe_images
from seglib.images.suffixes import PICTURES

pytestmark = pytest.mark.filterwarnings("error")  # no warning of Pillow's reaches the user
DICOM = {".dcm", ".dicom"}  # tests/images/test_dicom.py
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


@pytest.mark.parametrize("suffix", sorted(set(PICTURES) - DICOM - {".jpg", ".jpeg", ".pbm", ".pgm"}))
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


def test_sixteen_bits_survive_jpeg_2000(save):
    pixels = noise((20, 30), np.uint16)
    pixels[0, 0] = 65535
    path = save("a.jp2", pixels)
    assert measure_values(path).high > 65000
    np.testing.assert_array_equal(read_image(path, channels=1, scale=Scale(0, 65535))[..., 0], np.rint(pixels / 257))


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
