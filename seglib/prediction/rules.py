"""How a probability map becomes a mask: rules, kept as a file."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seglib.errors import InputError
from seglib.writing import write_text


@dataclass(frozen=True)
class MaskRules:
    """What is done to a probability map, in this order; the defaults are a plain threshold.

    Attributes:
        threshold: foreground is what is above it, in [0, 1].
        fill_holes: background that foreground encloses becomes foreground.
        smallest_area: parts smaller than this share of the image are removed, in [0, 1].
        largest_only: of several parts only the largest is kept.
        smallest_core: where a smaller share of the image than this is above ``CORE``, nothing is foreground, in [0, 1].
    """

    threshold: float = 0.5
    fill_holes: bool = False
    smallest_area: float = 0.0
    largest_only: bool = False
    smallest_core: float = 0.0


CORE = 0.8  # probability above which a pixel is surely foreground


def make_mask(probability: np.ndarray, rules: MaskRules) -> np.ndarray:
    """The mask of a probability map.

    Args:
        probability: float (H, W) in [0, 1], already at the size the mask is wanted in.
        rules: what to do with it. Pixels of a part touch at an edge or a corner; a hole is background from which no
            path over edges leads to the border of the image.

    Returns:
        uint8 (H, W) in {0, 1}.

    Example:
        >>> make_mask(np.array([[0.2, 0.5, 0.8]]), MaskRules()).tolist()
        [[0, 0, 1]]
    """
    if rules.smallest_core and measure_core(probability) < rules.smallest_core:
        return np.zeros(probability.shape, np.uint8)
    mask = (probability > rules.threshold).astype(np.uint8)
    if rules.fill_holes:
        mask = _fill_holes(mask)
    if rules.smallest_area or rules.largest_only:
        labels, areas = find_parts(mask)
        mask = keep_parts(areas, mask.size, rules)[labels].astype(np.uint8)
    return mask


def measure_core(probability: np.ndarray) -> float:
    """Share of the pixels of a map that are surely foreground, above ``CORE``."""
    return np.count_nonzero(probability > CORE) / probability.size


def _fill_holes(mask: np.ndarray) -> np.ndarray:
    """What the outer contours enclose; drawing them is ten times as fast as growing the background from the border."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(mask), contours, -1, 1, thickness=cv2.FILLED)


def find_parts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of the part at every pixel, 0 for background, and the pixels of each part, 0 for that of background."""
    _, labels, facts, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    areas = facts[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = 0
    return labels, areas


def keep_parts(areas: np.ndarray, pixels: int, rules: MaskRules) -> np.ndarray:
    """Which parts stay, bool; background never."""
    kept = (areas > 0) & (areas >= rules.smallest_area * pixels)
    if rules.largest_only:
        kept &= np.arange(len(areas)) == areas.argmax()
    return kept


def describe_steps(rules: MaskRules) -> str:
    """What rules do to a map, in words.

    Example:
        >>> describe_steps(MaskRules(0.45, fill_holes=True, smallest_area=0.005))
        'a threshold of 0.45, holes filled, parts below 0.5 % of the image removed'
    """
    steps = [f"a threshold of {rules.threshold:g}"]
    steps += ["holes filled"] if rules.fill_holes else []
    steps += [f"parts below {100 * rules.smallest_area:g} % of the image removed"] if rules.smallest_area else []
    steps += ["the largest part kept"] if rules.largest_only else []
    if rules.smallest_core:
        steps += [f"nothing where less than {100 * rules.smallest_core:g} % of the image is surely foreground"]
    return ", ".join(steps)


def write_rules(path: Path, facts: dict[str, Any]) -> None:
    """Keep the facts of ``choice.describe_rules`` as ``masks.json``."""
    write_text(path, json.dumps(facts, indent=2) + "\n")


def read_rules(path: Path) -> MaskRules:
    """The rules for new images that ``masks.json`` holds; the plain threshold where there is no such file.

    Raises:
        InputError: if the file holds no rules.
    """
    if not path.exists():
        return MaskRules()
    try:
        return _checked(json.loads(path.read_text(encoding="utf-8"))["rules"])
    except (KeyError, TypeError, ValueError):
        raise InputError(f"{path} holds no rules for masks; run 04_evaluation again") from None


def _checked(found: dict[str, Any]) -> MaskRules:
    """The rules of a file; all must be there: a default in place of one that is lost would go unnoticed."""
    rules = MaskRules(**found)
    numbers = (rules.threshold, rules.smallest_area, rules.smallest_core)
    switches = (rules.fill_holes, rules.largest_only)
    whole = found.keys() == dataclasses.asdict(rules).keys()
    in_range = all(not isinstance(number, bool) and 0 <= number <= 1 for number in numbers)
    if not whole or not in_range or not all(isinstance(switch, bool) for switch in switches):
        raise ValueError(found)
    return rules
