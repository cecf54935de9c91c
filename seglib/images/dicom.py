"""A DICOM file -> the gray levels or colours that a viewer shows of its first frame."""

import warnings
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

import numpy as np

RESCALING = ("RescaleSlope", "RescaleIntercept")
AIR = -1024  # Hounsfield units: nothing is darker in a scan whose values may be negative


def is_unnamed_dicom(path: str | Path) -> bool:
    """Whether a file is DICOM though its name has no ending, or one of digits: so archives of hospitals name them.

    The table of contents that lies beside them, ``DICOMDIR``, is none of them.
    """
    name = Path(path).name
    if Path(name).suffix.strip(".0123456789") or name.upper() == "DICOMDIR":
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:  # a folder, or a file that nobody may read
        return False


def read_dicom_header(file: BinaryIO) -> tuple[tuple[int, int], str]:
    """What a DICOM file says of its picture; nothing is decoded.

    Args:
        file: open at its start.

    Returns:
        ((height, width), numpy type of what `decode_dicom` gives).

    Raises:
        ValueError: the file holds no picture, or one of floats.
    """
    dataset = _pydicom().dcmread(file, stop_before_pixels=True)
    if "Rows" not in dataset:
        raise ValueError("it holds no picture")
    if dataset.BitsAllocated > 16:
        raise ValueError(f"its values have {dataset.BitsAllocated} bits")
    shallow = dataset.BitsAllocated <= 8 or dataset.PhotometricInterpretation == "PALETTE COLOR"
    return (dataset.Rows, dataset.Columns), "u1" if shallow or _is_windowed(dataset) else "u2"


def count_frames(file: BinaryIO) -> int:
    """How many frames the picture of an open DICOM file has; nothing is decoded."""
    file.seek(0)
    dataset = _pydicom().dcmread(file, stop_before_pixels=True, specific_tags=["NumberOfFrames"])
    return int(dataset.get("NumberOfFrames") or 1)


def decode_dicom(file: BinaryIO) -> np.ndarray:
    """Decode the first frame as it is meant to be seen.

    Gray values go through the rescaling of the file, then through its window (the first of several) or look-up table,
    whose ends become 0 and 255. Without those, values of at most 8 bits stay as they are stored, and deeper ones are
    rescaled; where they may be negative, as Hounsfield units are, `AIR` becomes 0. MONOCHROME1, where low values are
    bright, is inverted. Palettes and YBR become RGB.

    Args:
        file: a DICOM file.

    Returns:
        uint8 or uint16, (H, W) or (H, W, 3).

    Raises:
        ValueError: the pixels are damaged, or nothing that is installed decodes them.

    Source: DICOM PS3.3, C.7.6.3 (pixels), C.11.1 and C.11.2 (rescaling and windows); computed by pydicom.
    """
    file.seek(0)
    pydicom = _pydicom()
    dataset = pydicom.dcmread(file)
    if None in (dataset.get(name, 0) for name in RESCALING):  # there, but blanked: pydicom would compute with it
        for name in RESCALING:
            dataset.pop(name, None)
    stored = _stored(dataset)
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = pydicom.pixels.apply_color_lut(stored, dataset)
        return colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8)
    return _windowed(stored, dataset) if _is_windowed(dataset) else _rescaled(stored, dataset)


@cache
def _pydicom() -> ModuleType:
    """Import pydicom, when the first DICOM file is met; about files that stretch the rules it is then silent."""
    import pydicom
    import pydicom.pixels

    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom


def _is_windowed(dataset) -> bool:
    if not dataset.PhotometricInterpretation.startswith("MONOCHROME"):
        return False
    centre, width = (np.atleast_1d(dataset.get(name, None))[0] for name in ("WindowCenter", "WindowWidth"))
    window = centre is not None and width is not None and width >= 1  # 0 is what some devices write for none
    return window or bool(dataset.get("VOILUTSequence"))


def _stored(dataset) -> np.ndarray:
    try:
        return _pydicom().pixels.pixel_array(dataset, index=0)
    except Exception as error:  # decoders raise nearly anything
        syntax, reason = dataset.file_meta.TransferSyntaxUID, "it is damaged or cut short"
        if syntax.is_compressed:
            reason = f'it is damaged, or its {syntax.name} needs the decoders of `pip install -e ".[dicom]"`'
        raise ValueError(reason) from error


def _windowed(stored: np.ndarray, dataset) -> np.ndarray:
    pixels = _pydicom().pixels
    values = pixels.apply_modality_lut(stored, dataset)
    every = pixels.apply_voi_lut(_inputs(dataset), dataset).astype(float)
    low, high = every.min(), every.max()
    share = (pixels.apply_voi_lut(values, dataset) - low) / max(high - low, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        share = 1 - share
    return np.rint(255 * share.clip(0, 1)).astype(np.uint8)


def _inputs(dataset) -> np.ndarray:
    """Values that make a window, or a table of grays, give all that it can: black and white among them."""
    table = dataset.get("VOILUTSequence")
    if not table:
        return np.array([[np.iinfo(np.int32).min, np.iinfo(np.int32).max]], np.int32)
    count, first, _ = table[0].LUTDescriptor
    return first + np.arange(count or 2**16, dtype=np.int32)[None]


def _rescaled(stored: np.ndarray, dataset) -> np.ndarray:
    signed = dataset.PixelRepresentation == 1
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        stored = (-1 if signed else 2**dataset.BitsStored - 1) - stored
    if dataset.BitsAllocated <= 8:
        return stored.clip(0, 255).astype(np.uint8)
    values = _pydicom().pixels.apply_modality_lut(stored, dataset)
    dark = AIR if signed or dataset.get("RescaleIntercept", 0) < 0 else 0
    return np.rint(values - dark).clip(0, 65535).astype(np.uint16)
