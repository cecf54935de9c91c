"""An image and its reference -> what may make it hard to segment, in numbers."""

import cv2
import numpy as np

from seglib.images.traits import describe_mask

SIDE = 512  # pixels: the longer side of the picture that is measured, so that a line is as thin at every size of file
RING = 25  # of those pixels: how far round the reference its surroundings reach
LINE_WIDTH, LINE_LENGTH = 13, 40  # of those pixels: what is thinner than the one and longer than the other is a line
LINE_DEPTH = 20  # gray levels, of 255, that a line is darker than what is beside it
BLACK = 40  # mean gray level of a corner below which it is dark


def measure_difficulty(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """What may make an image hard, in numbers that are the same at every size of file.

    The image is resized to ``SIDE`` pixels along its longer side first. Dark lines are found by the morphological
    black-hat, the closing minus the image: what is narrower than ``LINE_WIDTH`` pixels and more than ``LINE_DEPTH``
    levels darker than both sides of it; parts of it shorter than ``LINE_LENGTH`` are texture and left out, and so is
    all within the reference, whose own texture is no artefact.

    Args:
        image: uint8 (H, W, 3), RGB; gray has three equal channels.
        mask: reference, uint8 (H, W) in {0, 1}.

    Returns:
        ``border_sides`` (how many of the four sides the reference touches), ``contrast`` (root mean square over R, G
        and B of the difference between the mean levels of the reference and of the ring round it, 0 to 255; not a
        number where the reference is empty or fills the image), ``dark_lines`` (share of the image) and
        ``dark_corners`` (how many of the four, each a square of a twentieth of ``SIDE``).

    Raises:
        ValueError: if image and mask differ in size.

    Source:
        Lines: Lee et al. 1997, DullRazor, https://doi.org/10.1016/s0010-4825(97)00020-6.

    Example:
        >>> image, mask = np.full((64, 64, 3), 200, np.uint8), np.zeros((64, 64), np.uint8)
        >>> image[:32], mask[:32] = 150, 1
        >>> measure_difficulty(image, mask)
        {'border_sides': 3, 'contrast': 50.0, 'dark_lines': 0.0, 'dark_corners': 0}
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f"image {image.shape} and mask {mask.shape} differ")
    small, weight = _resize(image), _resize(mask.astype(np.float32))  # no reference is too small for a weight
    gray = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    return {
        "border_sides": describe_mask(mask)["border_sides"],
        "contrast": _measure_contrast(small, weight),
        "dark_lines": float((_find_lines(gray) & (weight == 0)).mean()),
        "dark_corners": _count_dark_corners(gray),
    }


def _resize(pixels: np.ndarray) -> np.ndarray:
    scale = SIDE / max(pixels.shape[:2])
    shape = [max(1, round(side * scale)) for side in pixels.shape[1::-1]]
    return cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)


def _measure_contrast(image: np.ndarray, weight: np.ndarray) -> float:
    inside = (weight > 0).astype(np.uint8)
    ring = (cv2.dilate(inside, _disc(2 * RING + 1)) > inside).astype(np.uint8)
    if not (inside.any() and ring.any()):
        return float("nan")
    foreground = (image * weight[..., None]).sum(axis=(0, 1), dtype=np.float64) / weight.sum(dtype=np.float64)
    background = np.array(cv2.mean(image, mask=ring)[:3])
    return float(np.sqrt(((foreground - background) ** 2).mean()))


def _find_lines(gray: np.ndarray) -> np.ndarray:
    """Bool (H, W): thin, dark and long."""
    dark = (cv2.morphologyEx(gray, cv2.MORPH_BLACKHAT, _disc(LINE_WIDTH)) > LINE_DEPTH).astype(np.uint8)
    _, labels, facts, _ = cv2.connectedComponentsWithStats(dark, connectivity=8)
    long = np.maximum(facts[:, cv2.CC_STAT_WIDTH], facts[:, cv2.CC_STAT_HEIGHT]) >= LINE_LENGTH
    long[0] = False  # what is no line
    return long[labels]


def _count_dark_corners(gray: np.ndarray) -> int:
    side = min(SIDE // 20, *gray.shape)
    corners = (gray[:side, :side], gray[:side, -side:], gray[-side:, :side], gray[-side:, -side:])
    return sum(bool(corner.mean() < BLACK) for corner in corners)


def _disc(width: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
