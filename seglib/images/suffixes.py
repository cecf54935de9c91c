"""The name of a file -> whether it may be an image, and its stem."""

import os

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".jp2", ".j2k")  # in lower case
PICTURES += (".pbm", ".pgm", ".ppm", ".pnm", ".dcm", ".dicom")
ARRAYS = (".npy", ".nii", ".nii.gz")  # files that often hold something else: features, or the image beside once more
SUFFIXES = PICTURES + ARRAYS


def split_suffix(name: str) -> tuple[str, str]:
    """As ``os.path.splitext``, but ``.nii.gz`` is one ending.

    Example:
        >>> split_suffix("P01/scan.png"), split_suffix("scan.NII.gz"), split_suffix("scan.png.gz")
        (('P01/scan', '.png'), ('scan', '.NII.gz'), ('scan.png', '.gz'))
    """
    stem, suffix = os.path.splitext(name)
    inner, ending = os.path.splitext(stem)
    return (inner, ending + suffix) if (ending + suffix).lower() == ".nii.gz" else (stem, suffix)


def is_image_name(name: str) -> bool:
    """Whether a file is called as images are.

    Example:
        >>> is_image_name("scan.PNG"), is_image_name("notes.txt")
        (True, False)
    """
    return split_suffix(name)[1].lower() in SUFFIXES
