"""One image and its mask -> what they look like, in numbers: shape, place, light and colour."""

import cv2
import numpy as np

COLOURS = ("red", "green", "blue")
IMAGE_TRAITS = (*COLOURS, "contrast", "saturation", "detail", "grain")  # what `describe_image` gives
GRAY_LEVELS = 2  # R, G and B of a gray picture lie this near each other; JPEG does not keep them equal


def describe_image(image: np.ndarray) -> dict[str, float]:
    """Light and colour of a whole image, the same at every size of file.

    Args:
        image: uint8 (H, W, 3), RGB.

    Returns:
        ``red``, ``green``, ``blue`` (mean levels, 0 to 255), ``contrast`` (standard deviation of the gray levels, 0 to
        127.5), ``saturation`` (mean of the largest minus the smallest of R, G and B, 0 to 255), ``detail`` (standard
        deviation of the gray levels within an eighth of the longer side, over ``contrast``; 0 smooth to 1 fine) and
        ``grain`` (that of the step from one pixel to the next where the longer side has 256, over ``contrast``; up to
        2; about 1.4 for noise).

    Example:
        >>> describe_image(np.full((8, 8, 3), (200, 100, 50), np.uint8))["saturation"]
        150.0
    """
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = 256 / max(gray.shape)  # so that detail is that of the picture, not of its number of pixels
    shape = (max(1, round(gray.shape[1] * side)), max(1, round(gray.shape[0] * side)))
    small = cv2.resize(gray, shape, interpolation=cv2.INTER_AREA).astype(np.float32)
    blurred = cv2.blur(small, (32, 32), borderType=cv2.BORDER_REFLECT_101)
    spread = float(cv2.meanStdDev(gray)[1][0, 0])
    return {
        **dict(zip(COLOURS, cv2.mean(image), strict=False)),
        "contrast": spread,
        "saturation": cv2.mean(_colour_range(image))[0],
        "detail": float((small - blurred).std()) / spread if spread > 0.5 else 0.0,
        "grain": float(np.diff(small, axis=1).std()) / spread if spread > 0.5 and small.shape[1] > 1 else 0.0,
    }


def is_gray(image: np.ndarray) -> bool:
    """Whether R, G and B, uint8 (H, W, 3), are the same at nearly every pixel (99.9 %), but for rounding.

    Example:
        >>> is_gray(np.full((4, 4, 3), 9, np.uint8)), is_gray(np.full((4, 4, 3), (9, 9, 99), np.uint8))
        (True, False)
    """
    return bool((_colour_range(image) > GRAY_LEVELS).mean() < 1e-3)


def _colour_range(image: np.ndarray) -> np.ndarray:
    """The largest minus the smallest of R, G and B at each pixel; ten times as fast as NumPy along the last axis."""
    red, green, blue = cv2.split(image)
    return cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))


def describe_mask(mask: np.ndarray) -> dict[str, float]:
    """Size, shape and place of the foreground.

    Args:
        mask: uint8 (H, W) in {0, 1}.

    Returns:
        ``mask_share`` (of the image, 0 to 1), ``parts`` (connected ones, over edges and corners), ``compactness`` of
        the largest part (``4 pi area / perimeter^2``, holes filled: 1 for a disc, pi / 4 for a square, less the more
        ragged; right within 0.04 from 40 pixels across on, too high for squares of fewer; not a number where there is
        no foreground), ``border_share`` (of the pixels along the image's border, those that are foreground, 0 to 1)
        and ``border_sides`` (how many of the four sides the foreground touches).

    Source:
        Compactness: Cox 1927, A method of assigning numerical and percentage values to the degree of roundness of sand
        grains, J. Paleontology 1, 179-183.

    Example:
        >>> facts = describe_mask(np.pad(np.ones((6, 6), np.uint8), 3))
        >>> facts["mask_share"], facts["parts"], facts["border_sides"]
        (0.25, 1, 0)
    """
    sides = (mask[0], mask[-1], mask[:, 0], mask[:, -1])
    outlines = _outlines(mask)
    areas = np.array([_area(outline) for outline in outlines])
    largest = [outlines[number] for number in np.flatnonzero(areas == areas.max(initial=0))]
    return {
        "mask_share": float(mask.mean()),
        "parts": len(outlines),
        "compactness": max(map(_compactness, largest), default=float("nan")),  # of equals the same one, however turned
        "border_share": float(np.concatenate(sides).mean()),
        "border_sides": sum(bool(side.any()) for side in sides),
    }


def _outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Of each part the centres of its border's pixels in their order, (N, 2); also of a part in another's hole."""
    found, links = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return [outline[:, 0] for outline, link in zip(found, links[0], strict=True) if link[3] < 0] if found else []


def _area(outline: np.ndarray) -> float:
    """Pixels within an outline and on it, counted by Pick's theorem; half a pixel too many for a lone one."""
    return cv2.contourArea(outline) + len(outline) / 2 + 1


def _compactness(outline: np.ndarray) -> float:
    """At most 1, as no shape has more; estimates of small discs scatter about it."""
    # The three polygons through every third pixel, as one through all follows the stairs of slanted edges: discs of any
    # size come out at 0.90. Longer chords cut corners.
    length = np.linalg.norm(np.roll(outline, -3, axis=0) - outline, axis=1).sum() / 3
    perimeter = length + np.pi  # half a pixel further out, where the pixels end
    return float(min(1.0, 4 * np.pi * _area(outline) / perimeter**2))


def describe_colours(image: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    """Mean levels of foreground and background, 0 to 255; not a number where there is none.

    Args:
        image: uint8 (H, W, 3), RGB.
        mask: uint8 (H, W) in {0, 1}.

    Returns:
        ``foreground_red`` and so on, ``background_red`` and so on.

    Example:
        >>> colours = describe_colours(np.full((2, 2, 3), 7, np.uint8), np.ones((2, 2), np.uint8))
        >>> colours["foreground_red"], colours["background_red"]
        (7.0, nan)
    """
    found = {}
    for name, part in (("foreground", mask), ("background", 1 - mask)):
        means = cv2.mean(image, mask=part)[:3] if part.any() else (float("nan"),) * 3
        found |= {f"{name}_{colour}": mean for colour, mean in zip(COLOURS, means, strict=True)}
    return found
