"""A data folder -> the table of what is wrong with it: file, problem, fact and cure, the worst first."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from seglib.checks.cases import Cases, describe_cases, label_others
from seglib.checks.duplicates import find_pairs, iterate_pairs
from seglib.checks.facts import (
    drop_working,
    find_sample_cases,
    find_scale,
    inspect_images,
    inspect_samples,
    refuse_uniform,
)
from seglib.checks.fields import find_field_of_view
from seglib.checks.labels import judge_labels
from seglib.checks.oddities import find_exchanged, find_inverted, find_odd_images
from seglib.data.folds import GROUPS_NAME, find_groups, read_folds, read_groups
from seglib.data.leftovers import find_unused
from seglib.data.samples import find_test_images, is_called_alike, pair_samples, read_left_out
from seglib.errors import InputError, Problem
from seglib.images.mask_files import first_file, split_files
from seglib.images.reading import read_mask
from seglib.submission.files import check_template, find_template

SEVERITIES = ("error", "warning", "note")  # stops a run; look at it; how the set is


class Kind(NamedTuple):
    """How bad a kind of problem is, and whether leaving the file out mends it."""

    severity: str
    left_out: bool


KINDS = {
    "empty file": Kind("error", True),
    "unreadable": Kind("error", True),
    "unread format": Kind("error", True),
    "no mask": Kind("error", True),
    "no image": Kind("error", True),
    "two masks": Kind("error", True),
    "same name": Kind("error", True),
    "odd name": Kind("error", False),
    "size mismatch": Kind("error", True),
    "no pairs": Kind("error", False),
    "field of view": Kind("error", False),
    "groups": Kind("error", False),
    "leak across folds": Kind("error", False),
    "in train and test": Kind("warning", True),
    "exact duplicate": Kind("warning", True),
    "inverted mask": Kind("warning", True),
    "full mask": Kind("warning", True),
    "empty mask": Kind("warning", False),
    "inverted masks": Kind("warning", False),
    "odd image": Kind("warning", True),
    "near-duplicate": Kind("warning", False),
    "label read as background": Kind("warning", False),
    "read unlike the others": Kind("warning", False),
    "several classes": Kind("warning", False),
    "more than two values": Kind("warning", False),
    "touches the border": Kind("warning", False),
    "possible cases": Kind("warning", False),
    "template": Kind("warning", False),
    "not used": Kind("warning", False),
    "cases": Kind("note", False),
    "other names": Kind("note", False),
    "several files": Kind("note", False),
}  # in the order of the table
COLUMNS = ["file", "problem", "severity", "fact", "cure"]
USUAL = ("empty mask", "more than two values", "touches the border")  # notes, where more than USUAL_SHARE have it
USUAL_SHARE = 0.1
FULL = 0.99  # share of the image from which on a mask counts as full


class Findings(NamedTuple):
    """What one look at a data folder gives."""

    problems: pd.DataFrame  # of `make_table`
    samples: pd.DataFrame  # of `facts.measure_samples`, of those samples that can be used
    test: (
        pd.DataFrame
    )  # of `facts.measure_test_images`, of those images that can be read; with ``case`` where it is told


def inspect_data(data_dir: Path, *, folds: Path | None = None) -> Findings:
    """Look at every file of a data folder once.

    Files that its ``leave_out.csv`` lists are passed over.

    Args:
        data_dir: folder that holds ``Train/Image`` and ``Train/Mask``, and perhaps ``Test/Image``.
        folds: ``folds.csv`` of a run; near-duplicates across its folds are then looked for too.

    Raises:
        InputError: if the folder cannot be looked at: no such folders, no images, or masks that are all empty.
    """
    samples, unpaired = pair_samples(data_dir)
    images, misnamed = find_test_images(data_dir)
    if samples.empty and not unpaired:
        raise InputError(f"{data_dir} holds no training images; add some, or name another folder")
    scale = find_scale(samples)
    train, test = inspect_samples(samples, scale=scale), inspect_images(images, scale=scale)
    refuse_uniform(train)
    cases, unused = find_sample_cases(train), find_unused(data_dir, read_left_out(data_dir))
    found = [*unpaired, *misnamed, *judge_samples(train, test), *_judge_groups(data_dir, samples, train, cases)]
    found += [
        *_tell_names(samples),
        *_tell_several(samples),
        *find_field_of_view(train, unused),
        *_tell_unused(unused),
        *_judge_template(data_dir, images),
    ]
    if folds is not None:
        found += find_leaks(train, read_folds(folds, samples))
    usable, asked = drop_working(train, cases), drop_working(test)
    if cases is not None and len(asked):
        asked["case"] = label_others(
            cases, asked["sample_id"], test["thumbnail"][test["image_trouble"].isna()].tolist()
        )
    usable, asked = (_name_groups(table, data_dir) for table in (usable, asked))
    return Findings(make_table(found, data_dir, images=len(samples)), usable, asked)


def refuse_errors(problems: pd.DataFrame, data_dir: Path) -> None:
    """Stop at what no run can start with.

    Args:
        problems: of `make_table`.
        data_dir: the folder it was made of.

    Raises:
        InputError: if there is an error; the sentence says the first one and counts the others.
    """
    errors = problems[problems["severity"] == "error"]
    if len(errors):
        first = errors.iloc[0]
        more = f" ({len(errors) - 1} more files have a problem)" if len(errors) > 1 else ""
        raise InputError(f"{data_dir / first['file']} {first['fact']}; {first['cure']}{more}")


def judge_samples(train: pd.DataFrame, test: pd.DataFrame) -> list[Problem]:
    """All that the facts of training and test images give away.

    Args:
        train: table of `facts.inspect_samples`.
        test: table of `facts.inspect_images`.
    """
    found = [*_troubles(train["image_trouble"]), *_troubles(train["mask_trouble"]), *_troubles(test["image_trouble"])]
    found += _judge_masks(train)
    both = pd.concat([train.assign(is_test=False), test.assign(is_test=True)], ignore_index=True)
    readable = both[both["image_trouble"].isna()].reset_index(drop=True)
    if readable.empty:
        return found
    copies = _find_duplicates(readable)
    told = {copy.file for copy in copies}  # a rescaled copy has another size than the rest for that very reason
    return [*found, *copies, *(odd for odd in find_odd_images(readable) if odd.file not in told)]


def make_table(found: Iterable[Problem], data_dir: Path, *, images: int) -> pd.DataFrame:
    """Problems as a table, the worst first.

    What more than a tenth of the images have, such as lesions that leave the picture, is how the set is: a note.

    Args:
        found: the problems.
        data_dir: what ``file`` is relative to.
        images: how many training images there are.

    Returns:
        One row for each problem: ``file`` (relative to ``data_dir``), ``problem`` (a key of `KINDS`), ``severity`` (of
        `SEVERITIES`), ``fact`` and ``cure``.
    """
    found = list(found)
    counts = pd.Series([one.problem for one in found], dtype=str).value_counts()
    usual = {name for name in USUAL if counts.get(name, 0) > USUAL_SHARE * images}
    rows = [
        {
            "file": _relative(one.file, data_dir),
            "problem": one.problem,
            "severity": "note" if one.problem in usual else KINDS[one.problem].severity,
            "fact": one.fact,
            "cure": one.cure,
        }
        for one in found
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    order = {kind: number for number, kind in enumerate(KINDS)}
    rank = [table["severity"].map(SEVERITIES.index), table["problem"].map(order), table["file"]]
    return table.iloc[np.lexsort([key.to_numpy() for key in rank[::-1]])].reset_index(drop=True)


def list_left_out(table: pd.DataFrame, data_dir: Path) -> pd.DataFrame:
    """Which files to leave out, so that a run can start and nothing is learnt twice: ``leave_out.csv``.

    An image goes with all files of its mask. Test images stay: a submission needs them all. A note is no reason, nor is
    what only asks for a look (a mask at the border, say).

    Args:
        table: of `make_table`.
        data_dir: the folder it was made of.

    Returns:
        ``file`` (relative to ``data_dir``) and ``problem``, a row for each file.
    """
    samples, _ = pair_samples(data_dir)
    together: dict[str, list[str]] = {}
    for image, mask in zip(samples["image_path"], samples["mask_path"], strict=True):
        files = [_relative(path, data_dir) for path in (image, *split_files(mask))]
        together |= dict.fromkeys(files, files)
    needed = {_relative(path, data_dir) for path in find_test_images(data_dir)[0]["image_path"]}
    reasons: dict[str, str] = {}
    for row in table[table["severity"] != "note"].itertuples():
        if KINDS[row.problem].left_out and row.file not in needed:
            for file in together.get(row.file, [row.file]):
                reasons.setdefault(file, row.problem)
    return pd.DataFrame(sorted(reasons.items()), columns=["file", "problem"], dtype=str)


def describe_problems(table: pd.DataFrame, *, shown: int = 5) -> str:
    """The table in words for a terminal: for each problem its count, the cure, and the first few files.

    Args:
        table: of `make_table`.
        shown: how many files of each problem are named.
    """
    if table.empty:
        return "no problems found"
    lines = []
    for (severity, problem), rows in table.groupby(["severity", "problem"], sort=False):
        lines.append(f"{severity}: {problem} ({len(rows)})")
        lines += [f"  {row.file} {row.fact}; {row.cure}" for row in rows.head(shown).itertuples()]
        lines += [f"  and {len(rows) - shown} more (--json lists all)"] if len(rows) > shown else []
    counts = [
        f"{count} {name}{'s' if count > 1 else ''}" for name in SEVERITIES if (count := sum(table.severity == name))
    ]
    return "\n".join([*lines, ", ".join(counts)])


def _relative(path: str | Path, data_dir: Path) -> str:
    return Path(os.path.relpath(path, data_dir)).as_posix()


def _troubles(column: Iterable[Problem | None]) -> list[Problem]:
    return [trouble for trouble in column if isinstance(trouble, Problem)]


def _judge_groups(data_dir: Path, samples: pd.DataFrame, train: pd.DataFrame, cases: Cases | None) -> list[Problem]:
    try:
        path = find_groups(data_dir)
        if path is None:
            return _tell_cases(cases, Path(os.path.commonpath(list(train["image_path"])))) if cases else []
        read_groups(path, samples)
    except InputError as error:
        return [Problem.of_error(data_dir / "groups.csv", "groups", error)]
    return []


def _name_groups(samples: pd.DataFrame, data_dir: Path) -> pd.DataFrame:
    """``case`` as `GROUPS_NAME` says it, where there is one that can be read."""
    try:
        path = find_groups(data_dir)
        return samples if path is None else samples.assign(case=read_groups(path, samples))
    except InputError:
        return samples


def _tell_names(samples: pd.DataFrame) -> list[Problem]:
    pairs = list(zip(map(Path, samples["image_path"]), samples["mask_path"], strict=True))
    for image, mask in ((image, first_file(mask)) for image, mask in pairs if len(split_files(mask)) == 1):
        if not is_called_alike(image.stem, mask.stem) and mask.parent.name != image.stem:
            fact = f"names masks otherwise than their images: {mask.name} is taken for that of {image.name}, and so on"
            return [Problem(mask.parent, "other names", fact, "nothing, unless they do not belong together")]
    return []


def _tell_unused(unused: Iterable[Path]) -> list[Problem]:
    fact = "holds images that are not used"
    cure = "move them into Train (read at any depth) to train on them, or call the folder of masks Mask; else nothing"
    return [Problem(folder, "not used", fact, cure) for folder in unused]


def _judge_template(data_dir: Path, test: pd.DataFrame) -> list[Problem]:
    """That no submission can be written as the competition asks for it; only the last notebook needs one."""
    images = set(test["sample_id"])
    path = find_template(data_dir, images)
    if path is None or test.empty:
        return []
    try:
        check_template(path, images)
    except InputError as error:
        return [Problem.of_error(path, "template", error)]
    return []


def _tell_several(samples: pd.DataFrame) -> list[Problem]:
    """That masks of several files are taken for one."""
    several = [files for files in map(split_files, samples["mask_path"]) if len(files) > 1]
    if not several:
        return []
    first, second, *more = map(Path, several[0])
    fact = f"is one mask together with {second.name}{' and so on' if more else ''}"
    fact += f", as are the files of {len(several) - 1} other images" if several[1:] else ""
    return [
        Problem(first, "several files", fact, "nothing, unless they are readings of the same: keep one of each then")
    ]


def _tell_cases(cases: Cases, folder: Path) -> list[Problem]:
    if cases.sure:
        cure = f"nothing: each stays in one fold, unless {GROUPS_NAME} beside Train says what belongs together"
        return [Problem(folder, "cases", describe_cases(cases), cure)]
    cure = f"if these are patients or films, say so in {GROUPS_NAME} beside Train, or scores flatter"
    return [Problem(folder, "possible cases", describe_cases(cases), cure)]


def _judge_masks(train: pd.DataFrame) -> list[Problem]:
    whole = train[train["mask_trouble"].isna()].reset_index(drop=True)
    if whole.empty:
        return []
    inverted = find_inverted(whole)
    found = [*find_exchanged(whole), *judge_labels(whole)]
    for row, upside_down in zip(whole.itertuples(), inverted, strict=True):
        path, share = first_file(row.mask_path), f"covers {100 * row.mask_share:.4g} % of the image"
        if row.mask_share == 0:
            found.append(Problem(path, "empty mask", "has no foreground", "keep it if there is nothing to find"))
        elif row.mask_share >= FULL:
            found.append(Problem(path, "full mask", share, "draw the border, or leave the sample out"))
        elif upside_down:
            fact = f"{share} and lies where the other masks do not"
            found.append(Problem(path, "inverted mask", fact, "exchange foreground and background"))
        elif row.border_sides:
            fact = f"touches {row.border_sides:.0f} of the 4 sides of its image"
            cure = "nothing, if the object leaves the picture; else draw the border anew"
            found.append(Problem(path, "touches the border", fact, cure))
        if row.levels > 2:
            fact = f"holds {row.levels:.0f} values, {100 * row.between:.2g} % of the pixels between the extremes"
            read = f"what is above {row.background_top:g} was read as foreground, {share.removeprefix('covers ')}"
            cure = f"{read}; save it as 0 and 255 in a PNG"
            found.append(Problem(path, "more than two values", fact, cure))
    return found


def _find_duplicates(images: pd.DataFrame) -> list[Problem]:
    """A row for every training image that shows what another one shows: a test image, or one that comes before it."""
    best = pd.DataFrame()
    for pairs in iterate_pairs(images["thumbnail"].tolist()):
        best = _best_pairs(pd.concat([best, _tell_pairs(pairs, images)], ignore_index=True))
    return [_describe_pair(images.loc[pair.told], images.loc[pair.other], pair) for pair in best.itertuples()]


def _tell_pairs(pairs: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Pairs with ``told``, the one that can be left out, and ``other``; not those of test images only."""
    digest, is_test = images["digest"].to_numpy(), images["is_test"].to_numpy()
    first, second = (pairs[name].to_numpy() for name in ("first", "second"))
    test = is_test[second]
    pairs = pairs.assign(
        told=np.where(test, first, second),
        other=np.where(test, second, first),
        exact=digest[first] == digest[second],
        test=test,
    )
    return pairs[~is_test[first]]  # nothing is learnt from test images


def _best_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    """Of each image that is told the pair to tell it by, the worst first."""
    order = {"test": False, "exact": False, "correlation": False, "first": True, "second": True}
    return pairs.sort_values(list(order), ascending=list(order.values())).drop_duplicates("told")


def _describe_pair(told: pd.Series, twin: pd.Series, pair: NamedTuple) -> Problem:
    own, other = Path(told["image_path"]), Path(twin["image_path"])
    same = "has the very pixels of" if pair.exact else f"shows what is in (correlation {pair.correlation:.2f})"
    fact = f"{same} {'/'.join(other.parts[-3:])}"
    if pair.test:
        return Problem(own, "in train and test", fact, "leave it out: a score on that test image would flatter")
    if pair.exact:
        return Problem(
            own, "exact duplicate", fact + _compare_masks(told["mask_path"], twin["mask_path"]), "leave it out"
        )
    return Problem(own, "near-duplicate", fact, "nothing: both stay in one fold; leave one out if they are one picture")


def _compare_masks(first: str, second: str) -> str:
    """Whether two images of the same pixels have the same mask; only one of two can be right."""
    try:
        one, two = read_mask(first), read_mask(second)
    except InputError:
        return ""
    if one.shape != two.shape or not (one.any() or two.any()):
        return ""
    dice = 2 * np.count_nonzero(one & two) / (np.count_nonzero(one) + np.count_nonzero(two))
    return "" if dice == 1 else f", but their masks differ (Dice {dice:.2f})"


def find_leaks(train: pd.DataFrame, folds: pd.DataFrame) -> list[Problem]:
    """Near-duplicates that lie in different folds: one is learnt from, the other scored.

    Args:
        train: table of `facts.inspect_samples`.
        folds: of `folds.read_folds`, rows as those of ``train``.
    """
    readable = np.flatnonzero(train["image_trouble"].isna())
    found = []
    pairs = find_pairs(train["thumbnail"].iloc[readable].tolist()) if len(readable) else pd.DataFrame()
    for pair in pairs.itertuples():
        first, second = readable[pair.first], readable[pair.second]
        here, there = folds["fold"].iloc[second], folds["fold"].iloc[first]
        if here != there:
            fact = f"is in fold {here}, {train['sample_id'][first]} in fold {there}, and they show the same thing"
            cure = "remove folds.csv to have it made anew"
            found.append(Problem(Path(train["image_path"][second]), "leak across folds", fact, cure))
    return found
