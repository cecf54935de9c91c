"""The head of an image file, of any format -> size, turn and number format, before anything is decoded."""

import io
import mmap
import struct
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from seglib.images.arrays import GZIP, read_nifti_header, read_numpy_header
from seglib.images.dicom import count_frames, read_dicom_header

MAX_MEGAPIXELS = 400

# where a signature stands -> the kind; DICOM first, as its 128 free bytes may look like a TIFF
_SIGNATURES = {(128, b"DICM"): "DICOM", (0, b"\xff\xd8\xff"): "JPEG", (0, b"\x89PNG\r\n\x1a\n"): "PNG"}
_SIGNATURES |= {(0, order): "TIFF" for order in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")}  # + is BigTIFF
_SIGNATURES |= {(0, b"BM"): "BMP", (0, b"GIF8"): "GIF", (8, b"WEBP"): "WebP"}
_SIGNATURES |= {(0, b"P%d" % number): "PNM" for number in range(1, 7)}  # bitmaps, gray and colour, as text or not
_SIGNATURES |= {(4, b"jP  \r\n\x87\n"): "JPEG 2000", (0, b"\xff\x4f\xff\x51"): "JPEG 2000"}  # in its box, or bare
_SIGNATURES |= {(0, b"\x93NUMPY"): "NumPy", (344, b"n+1\0"): "NIfTI", (4, b"n+2\0\r\n\x1a\n"): "NIfTI"}
_SIGNATURES |= {(0, GZIP): "NIfTI"}
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NO_PAGE = 1 | 4  # bits of a TIFF's type of directory: a smaller version, a mask of transparency
_WHOLE_NUMBERS = {3: "H", 4: "L", 16: "Q"}  # the types of TIFF entries that matter here, in the letters of struct


class Header(NamedTuple):
    """What has to be known to decode a file."""

    kind: str  # a value of _SIGNATURES
    image: ImageFile.ImageFile | None  # None: one of `_OTHERS`, or a TIFF for which Pillow has no mode
    size: tuple[int, int]  # (height, width) as stored, before the turn
    orientation: int  # EXIF: 5 to 8 swap height and width
    sample: str  # numpy type of one stored value
    by_cv2: bool  # Pillow would cut the values down to 8 bits
    turn_at: int = 0  # where in a TIFF the orientation stands


class _NoExif:
    """Keeps Pillow from reading EXIF, which warns on damage; `_tags` reads the one entry that is needed."""

    def getexif(self) -> Image.Exif:
        return Image.Exif()


class _Jpeg(_NoExif, JpegImagePlugin.JpegImageFile): ...


class _Tiff(_NoExif, TiffImagePlugin.TiffImageFile): ...


# The plugins themselves, as Image.open has a global bomb limit that is too low for scanned slides.
_PLUGINS = {"JPEG": _Jpeg, "PNG": PngImagePlugin.PngImageFile, "BMP": BmpImagePlugin.BmpImageFile}
_PLUGINS |= {"GIF": GifImagePlugin.GifImageFile, "PNM": PpmImagePlugin.PpmImageFile}
_PLUGINS |= {"JPEG 2000": Jpeg2KImagePlugin.Jpeg2KImageFile, "WebP": WebPImagePlugin.WebPImageFile}
_OTHERS = {"DICOM": read_dicom_header, "NumPy": read_numpy_header, "NIfTI": read_nifti_header}  # not for Pillow


def read_header(file: BinaryIO) -> Header:
    """What an open file says of itself, at its start; nothing is decoded.

    Raises:
        ValueError: if it is no image, has no pixels, has more than ``MAX_MEGAPIXELS`` or is of a layout that nobody
            here reads. Pillow and ``struct`` may raise nearly anything else on a damaged file.
    """
    start = file.read(348)
    kind = next((kind for (at, signature), kind in _SIGNATURES.items() if start.startswith(signature, at)), None)
    if kind is None:
        raise ValueError("it is no image" if start else "it is empty")
    file.seek(0)
    if kind == "TIFF":
        header = _tiff_header(file)
    elif kind in _OTHERS:
        size, sample = _OTHERS[kind](file)
        header = Header(kind, None, size, 1, sample, by_cv2=False)
    else:
        header = _plain_header(file, kind, start)
    if min(header.size) < 1:
        raise ValueError("it has no pixels")
    if header.size[0] * header.size[1] > MAX_MEGAPIXELS * 1e6:
        raise ValueError(f"it has {header.size[0] * header.size[1] / 1e6:.0f} megapixels")
    return header


def count_pages(file: BinaryIO, header: Header) -> int:
    """How many pages of the first one's size an open file has, and at least that one; nothing is decoded.

    Smaller versions of a page, and what a TIFF file calls such a version or a mask of transparency, do not count.

    Args:
        file: open, of whatever format.
        header: what `read_header` says of it.
    """
    if header.kind == "DICOM":
        return count_frames(file)
    if header.kind != "TIFF":
        return getattr(header.image, "n_frames", 1)
    pages, seen = 0, set()
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, suppress(struct.error):
        at = _first_directory(data)
        while at and at not in seen:  # a chain that leads back has no end
            seen.add(at)
            tags = _tags(data, at)
            size = tuple((tags.get(tag) or (0, 0))[1] for tag in (257, 256))
            pages += size == header.size and not (tags.get(254) or (0, 0))[1] & _NO_PAGE
            at = _next_directory(data, at)
    return max(1, pages)


def _plain_header(file: BinaryIO, kind: str, start: bytes) -> Header:
    image = _PLUGINS[kind](file)
    exif = _png_exif(file) if kind == "PNG" else image.info.get("exif", b"").removeprefix(b"Exif\0\0")
    tags = {}
    with suppress(struct.error):  # no EXIF or a damaged one: the pixels are good all the same
        tags = _tags(exif)
    deep = kind == "PNG" and start[24] == 16
    sample = "u2" if deep or image.mode.startswith("I") else "u1"
    by_cv2 = deep and start[25] != 0  # colour
    return Header(kind, image, image.size[::-1], (tags.get(274) or (0, 1))[1], sample, by_cv2)


def _png_exif(file: BinaryIO) -> bytes:
    """Find the EXIF chunk, which may stand before or behind the pixels."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, name = struct.unpack(">L4s", head)
        if name == b"eXIf":
            return file.read(length)
        file.seek(length + 4, io.SEEK_CUR)
    return b""


def _tiff_header(file: BinaryIO) -> Header:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        tags = _tags(data)
    if () in tags.values():  # refused here, as Pillow warns about it, even if it matters little
        raise ValueError("it is cut short")
    photometric, samples, planar, form = (tags.get(tag, (0, 1))[1] for tag in (262, 277, 284, 339))
    depth = 8 if photometric == 5 else max(tags.get(258, (0, 1))[1:])  # Pillow cuts CMYK down to 8 bits
    sample = {2: "i", 3: "f"}.get(form, "u") + next(size for size in "1248" if depth <= 8 * int(size))
    file.seek(0)
    image = None
    with suppress(SyntaxError):
        image = _Tiff(file)
    by_cv2 = image is None or (depth > 8 and samples > 1)
    if by_cv2 and (samples not in (1, 3, 4) or (samples > 1 and planar == 2) or sample == "f2"):
        raise ValueError(f"a TIFF of an unknown layout: {samples} x {sample}, planar {planar}")
    turn_at, orientation = tags.get(274, (0, 1))[:2]
    return Header("TIFF", image, (tags[257][1], tags[256][1]), orientation, sample, by_cv2, turn_at)


def _tags(data: bytes | mmap.mmap, first: int | None = None) -> dict[int, tuple[int, ...]]:
    """Read a directory of a TIFF file or an EXIF block: tag -> (place, value, ...), whole numbers only.

    An entry that points beyond the end of the data, whatever it holds, gives the empty tuple.

    Args:
        data: the file or block.
        first: where the directory stands; None: that of the first one.
    """
    order, word, width, counter = _layout(data)

    def take(form: str, at: int) -> tuple[int, ...]:
        return struct.unpack_from(order + form, data, at)

    first = _first_directory(data) if first is None else first
    (count,) = take(counter, first)
    tags = {}
    for i in range(count):
        at = first + struct.calcsize("<" + counter) + i * (4 + 2 * width)
        tag, kind, number = take("HH" + word, at)
        size = number * _TYPE_SIZES.get(kind, 0)
        place = at + 4 + width if size <= width else take(word, at + 4 + width)[0]
        if place + size > len(data):
            tags.setdefault(tag, ())
        elif number and kind in _WHOLE_NUMBERS:  # of two entries with one tag the first counts, as in Pillow and cv2
            tags.setdefault(tag, (place, *take(f"{number}{_WHOLE_NUMBERS[kind]}", place)))
    return tags


def _layout(data: bytes | mmap.mmap) -> tuple[str, str, int, str]:
    """Order of bytes, letter and size of an offset and letter of a count of entries, in the letters of struct."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2) == (43,)  # BigTIFF
    return (order, "Q", 8, "Q") if big else (order, "L", 4, "H")


def _first_directory(data: bytes | mmap.mmap) -> int:
    order, word, width, _ = _layout(data)
    return struct.unpack_from(order + word, data, width)[0]


def _next_directory(data: bytes | mmap.mmap, at: int) -> int:
    """Where the directory behind the one at a place stands; 0: there is none."""
    order, word, width, counter = _layout(data)
    (count,) = struct.unpack_from(order + counter, data, at)
    end = at + struct.calcsize("<" + counter) + count * (4 + 2 * width)
    return struct.unpack_from(order + word, data, end)[0]
