"""Masks that are all alike, as those of a field of view, beside a folder that nobody reads -> the problem."""

import os
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.errors import Problem
from seglib.images.mask_files import first_file
from seglib.trees.leftovers import count_images

ALIKE = (
    0.95  # mean IoU of pairs: fields of view have 1, twelve of 598 pairs of lungs at most 0.66, of skin lesions 0.57
)
LOOKED_AT = 12  # masks, evenly spread


def find_field_of_view(samples: pd.DataFrame, unused: Sequence[Path]) -> list[Problem]:
    """Whether the masks are likely not those that are meant, as another folder may hold these.

    That is where all look the same, and a folder beside theirs holds as many images as there are samples, at least.

    Args:
        samples: table of `facts.inspect_samples`.
        unused: folders of `leftovers.find_unused`.

    Returns:
        One problem, or none.
    """
    drawn = samples[samples["mask_share"] > 0] if "mask_share" in samples else samples[:0]
    if len(drawn) < 2:
        return []
    image, mask = drawn["image_path"].iloc[0], first_file(drawn["mask_path"].iloc[0])
    around = Path(os.path.commonpath([image, mask]))
    others = [folder.name for folder in unused if folder.parent == around and count_images(folder) >= len(samples)]
    if not others or _compare(drawn["small_mask"].tolist()) <= ALIKE:
        return []
    fact = "holds masks that are the same in all images, as those of a field of view"
    cure = (
        f"if {' or '.join(others)} holds the masks that are meant, call it Mask and this one otherwise; if not, move it"
    )
    place = around / Path(mask).relative_to(around).parts[0]
    return [Problem(place, "field of view", fact, f"{cure} out of {around}")]


def _compare(masks: Sequence[np.ndarray]) -> float:
    """The mean IoU of pairs of a few masks, each a square of shares of foreground."""
    chosen = np.unique(np.linspace(0, len(masks) - 1, min(LOOKED_AT, len(masks))).round().astype(int))
    few = [np.asarray(masks[number]) for number in chosen]
    return float(np.mean([np.minimum(a, b).sum() / np.maximum(a, b).sum() for a, b in combinations(few, 2)]))
