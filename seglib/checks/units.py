"""Images deeper than 8 bits -> whether their values lie in another unit than those that a network learned from."""

from pathlib import Path

import pandas as pd

from seglib.checks.facts import find_values
from seglib.data.samples import spread_samples
from seglib.errors import Problem
from seglib.images.reading import Scale
from seglib.images.scales import Values

LOOKED_AT = 20
BEYOND = 4  # times the range from black to white, that values reach in no image like those of the training


def judge_units(images: pd.DataFrame, scale: Scale) -> list[Problem]:
    """Whether most of some images would be all black, or white for the most part: floats up to 1 where 255 was white.

    Files of at most 8 bits are never scaled, and those of one value say nothing.

    Args:
        images: table with ``image_path``, of which `LOOKED_AT` are looked at.
        scale: that of the training images.

    Returns:
        A problem of the first of them; none if there are fewer of them than others.
    """
    paths = spread_samples(images, LOOKED_AT)["image_path"].tolist()
    found = dict(zip(paths, find_values(paths), strict=True))
    strange = [path for path, values in found.items() if values is not None and _is_strange(values, scale)]
    if 2 * len(strange) <= len(paths):
        return []
    values = found[strange[0]]
    fact = (
        f"holds values from {values.low:.4g} to {values.high:.4g}, where the training images have {scale.black:.4g} "
        f"for black and {scale.white:.4g} for white, and most others do so too"
    )
    return [Problem(Path(strange[0]), "other unit", fact, "save them in the unit of the training images")]


def _is_strange(values: Values, scale: Scale) -> bool:
    low, high = ((value - scale.black) / (scale.white - scale.black) for value in (values.low, values.high))
    return low < high and (high <= 1 / 255 or high > BEYOND)
