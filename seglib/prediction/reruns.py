"""Hidden reruns of code competitions: whatever the test images are, every image that is asked for gets a mask.

Anywhere else an image that cannot be read stops a run, so that it is mended; in a rerun nobody could mend it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seglib.checks.facts import drop_working, inspect_images, measure_test_images
from seglib.data.unseen import find_test_images, list_test_images
from seglib.errors import InputError
from seglib.images.reading import Scale
from seglib.machine.mounts import is_hidden_rerun
from seglib.prediction.probabilities import Member, predict_member_maps
from seglib.submission.files import find_template, read_template
from seglib.submission.tables import match_ids, shorten_id

Failures = dict[str, str]  # sample_id -> why it cannot be predicted
SAID_AT_MOST = 5  # failures named one by one


def list_requested(data_dir: Path, *, scale: Scale) -> tuple[pd.DataFrame, Failures]:
    """The test images a submission is made for.

    Args:
        data_dir: the data set.
        scale: that of the run.

    Returns:
        The table of ``facts.measure_test_images``; and, in a hidden rerun, what ``sample_submission.csv`` asks for
        but is not there or cannot be read, and why. In a rerun with that file, images it does not ask for are left out.

    Raises:
        InputError: outside a rerun, if there are no test images, or one cannot be read; in a rerun, if none is there of
            all that is asked for, as every mask would be empty.
    """
    if not is_hidden_rerun():
        return measure_test_images(list_test_images(data_dir), scale=scale), {}
    images, _ = find_test_images(data_dir)
    template = find_template(data_dir)
    wanted = _read_wanted(template, set(images["sample_id"])) if template else list(images["sample_id"])
    failures = dict.fromkeys(sorted(set(wanted) - set(images["sample_id"])), "is not among the test images")
    asked = images[images["sample_id"].isin(wanted)].reset_index(drop=True)
    table = inspect_images(asked, scale=scale)
    troubled = table[table["image_trouble"].notna()]
    failures |= {
        name: trouble.sentence for name, trouble in zip(troubled["sample_id"], troubled["image_trouble"], strict=True)
    }
    return drop_working(table), failures


def _read_wanted(template: Path, images: set[str]) -> list[str]:
    """What a template asks for, by the stems of the images."""
    wanted = match_ids(read_template(template)[1], images)
    if wanted and images.isdisjoint(wanted):
        there = f"the first of {len(images)} test images is {min(images)}" if images else "there are no test images"
        raise InputError(
            f"{template} asks for none of the test images but for {shorten_id(wanted[0])}, and {there}; name the "
            "folder that holds its images: data_dir = ..."
        )
    return wanted


def predict_requested(
    members: Sequence[Member], images: pd.DataFrame, failures: Failures
) -> Iterator[tuple[str, np.ndarray]]:
    """The maps of every network for every image, by the image's name; as ``probabilities.predict_member_maps``.

    Args:
        members: the networks.
        images: table with ``sample_id`` and ``image_path``.
        failures: in a hidden rerun, an image that cannot be predicted is added here with the reason, and passed over.

    Yields:
        ``sample_id`` and float32 (members, H, W) in [0, 1].

    Raises:
        InputError: outside a rerun, if a file cannot be read.
    """
    if not is_hidden_rerun():
        yield from zip(images["sample_id"], predict_member_maps(members, images["image_path"]), strict=True)
        return
    count = max(config.batch_size for _, config in members)
    for start in range(0, len(images), count):
        yield from _predict_batch(members, images[start : start + count], failures)


def _predict_batch(
    members: Sequence[Member], images: pd.DataFrame, failures: Failures
) -> Iterator[tuple[str, np.ndarray]]:
    """All at once; where that fails, one by one, to lose no more than the image it fails for."""
    names, paths = list(images["sample_id"]), list(images["image_path"])
    try:
        yield from zip(names, list(predict_member_maps(members, paths)), strict=True)
    except Exception as error:  # of whatever kind: a library's, a full memory
        if len(names) == 1:
            failures[names[0]] = f"{type(error).__name__}: {error}"
            return
        for row in range(len(images)):
            yield from _predict_batch(members, images[row : row + 1], failures)


def describe_failures(failures: Mapping[str, str], count: int) -> str:
    """How many of ``count`` rows have an empty mask for want of a prediction, and why.

    Example:
        >>> describe_failures({"a": "is not among the test images"}, 3)
        '1 of 3 images could not be predicted and got an empty mask: a (is not among the test images)'
    """
    if not failures:
        return f"all of {count} images were predicted"
    named = [f"{name} ({why})" for name, why in list(failures.items())[:SAID_AT_MOST]]
    more = f" and {len(failures) - SAID_AT_MOST} more" if len(failures) > SAID_AT_MOST else ""
    return f"{len(failures)} of {count} images could not be predicted and got an empty mask: {', '.join(named)}{more}"
