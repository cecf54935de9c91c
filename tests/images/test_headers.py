"""How many pages a file has."""

import struct

import pytest
from PIL import Image, TiffImagePlugin

from seglib.errors import InputError
from seglib.images.reading import count_file_pages


def save_pages(path, *sizes, **how):
    first, *others = [Image.effect_noise(size, 50) for size in sizes]
    first.save(path, save_all=True, append_images=others, **how)
    return path


@pytest.mark.parametrize("name", ["a.tif", "a.gif", "a.webp"])
def test_pages_of_one_size_are_counted(tmp_path, name):
    assert count_file_pages(save_pages(tmp_path / name, (9, 6))) == 1
    assert count_file_pages(save_pages(tmp_path / name, *[(9, 6)] * 3)) == 3


def test_smaller_versions_are_no_pages(tmp_path):
    assert count_file_pages(save_pages(tmp_path / "pyramid.tif", (9, 6), (4, 3), (2, 1))) == 1
    assert count_file_pages(save_pages(tmp_path / "mixed.tif", (9, 6), (4, 3), (9, 6))) == 2
    assert count_file_pages(save_pages(tmp_path / "turned.tif", (9, 6), (6, 9))) == 1


@pytest.mark.parametrize(("what", "pages"), [(0, 2), (1, 1), (2, 2), (4, 1)])
def test_what_a_tiff_calls_a_smaller_version_or_a_transparency_is_no_page(tmp_path, what, pages):
    path = tmp_path / "a.tif"
    with TiffImagePlugin.AppendingTiffWriter(path, True) as file:
        for number in (0, what):
            Image.new("L", (9, 6), number).save(file, "TIFF", tiffinfo={254: number})
            file.newFrame()
    assert count_file_pages(path) == pages


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # of Pillow, where the chain ends outside of the file
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", "<>")
def test_pages_are_counted_in_every_kind_of_tiff_and_a_chain_that_leads_back_ends(tmp_path, order, big):
    word, counter, kind = ("Q", "Q", 16) if big else ("L", "H", 4)
    head = struct.pack(order + "2sH", b"II" if order == "<" else b"MM", 43 if big else 42)
    head += struct.pack(order + "HHQ", 8, 0, 16) if big else struct.pack(order + "L", 8)
    entries = {256: 2, 257: 1, 258: 8, 259: 1, 262: 1, 273: 4, 277: 1, 278: 1, 279: 2}
    size = struct.calcsize("<" + counter) + len(entries) * (20 if big else 12) + struct.calcsize("<" + word)

    def directory(following):
        body = b"".join(struct.pack(order + "HH" + 2 * word, tag, kind, 1, entries[tag]) for tag in entries)
        return struct.pack(order + counter, len(entries)) + body + struct.pack(order + word, following)

    start = len(head)
    for following, pages in ((0, 3), (start, 3), (10**6, 3)):
        body = directory(start + size) + directory(start + 2 * size) + directory(following)
        (tmp_path / "a.tif").write_bytes(head + body)
        assert count_file_pages(tmp_path / "a.tif") == pages


def test_other_files_have_one_page(tmp_path):
    for name in ("a.png", "a.jpg", "a.bmp", "a.pgm"):
        Image.new("L", (9, 6)).save(tmp_path / name)
        assert count_file_pages(tmp_path / name) == 1
    (tmp_path / "b.tif").write_bytes(b"II*")
    with pytest.raises(InputError, match=r"b\.tif: the image cannot be read"):
        count_file_pages(tmp_path / "b.tif")
