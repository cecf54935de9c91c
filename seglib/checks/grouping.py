"""Images -> what is said of those that belong together, by ``groups.csv`` or as found, and of Test if it has some."""

import os
from pathlib import Path

import pandas as pd

from seglib.checks.cases import Cases, describe_cases
from seglib.checks.facts import find_known_cases
from seglib.checks.known import describe_known
from seglib.data.groups import GROUPS_NAME, find_groups, find_shared
from seglib.errors import InputError, Problem

BOTH = "cases in train and test"
SPLIT = "put all images of a {0} on one side, or do not take the score on Test for one of new {0}s"


def judge_groups(
    data_dir: Path, samples: pd.DataFrame, train: pd.DataFrame, test: pd.DataFrame, cases: Cases | None
) -> list[Problem]:
    """What is wrong with ``groups.csv``; without one, the cases that were found; and which of either Test shows, too.

    Args:
        data_dir: the data folder.
        samples: table of `samples.pair_samples`.
        train: table of `facts.inspect_samples`.
        test: table of `facts.inspect_images`.
        cases: of ``train``; None where none were found.
    """
    path = None
    try:
        path = find_groups(data_dir)
        if path is None:
            return [*_tell_cases(cases, _find_folder(train)), *_tell_known(train, test, cases)] if cases else []
        return _tell_shared(path, samples, test)
    except InputError as error:
        return [Problem.of_error(path or data_dir, "groups", error)]


def _tell_cases(cases: Cases, folder: Path) -> list[Problem]:
    if cases.sure:
        cure = f"nothing: each stays in one fold, unless {GROUPS_NAME} beside Train says what belongs together"
        return [Problem(folder, "cases", describe_cases(cases), cure)]
    cure = f"if these are patients or films, say so in {GROUPS_NAME} beside Train, or scores flatter"
    return [Problem(folder, "possible cases", describe_cases(cases), cure)]


def _tell_known(train: pd.DataFrame, test: pd.DataFrame, cases: Cases) -> list[Problem]:
    """That Test shows cases of Train: a note, as a given split cannot be changed, and names are no proof."""
    known = find_known_cases(train, test, cases)
    if known is None:
        return []
    one = "patient" if known.kind == "names" else "film"
    fact = describe_known(known, int(test["image_trouble"].isna().sum()))
    return [Problem(_find_folder(test), BOTH, fact, SPLIT.format(one))]


def _tell_shared(path: Path, samples: pd.DataFrame, test: pd.DataFrame) -> list[Problem]:
    """That `GROUPS_NAME` has images of one group in Train and Test."""
    shared = find_shared(path, samples, test)
    if not shared:
        return []
    name, sample = shared[0]
    told = f"{path.name} has {len(shared)} of {len(test)} images in one, such as {name} with {sample}"
    return [Problem(_find_folder(test), BOTH, f"shows groups of Train: {told}", SPLIT.format("group"))]


def _find_folder(images: pd.DataFrame) -> Path:
    """The folder that holds them all."""
    return Path(os.path.commonpath([os.path.dirname(path) for path in images["image_path"]]))
