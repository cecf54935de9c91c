"""A data folder -> all that is wrong with it, and its samples that can be used, from one look at every file."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from seglib.checks.cases import label_others
from seglib.checks.facts import (
    drop_working,
    find_sample_cases,
    find_scale,
    inspect_images,
    inspect_samples,
    refuse_uniform,
)
from seglib.checks.fields import find_field_of_view
from seglib.checks.grouping import judge_groups
from seglib.checks.labels import judge_labels
from seglib.checks.listing import make_table
from seglib.checks.oddities import find_exchanged, find_inverted, find_odd_images
from seglib.checks.pages import judge_pages
from seglib.checks.twins import find_leaks, find_twins
from seglib.checks.units import judge_units
from seglib.data.folds import read_folds
from seglib.data.groups import GROUPS_NAME, find_groups, join_groups, read_groups
from seglib.data.samples import pair_samples, read_left_out, tell_extras
from seglib.data.unseen import find_test_images
from seglib.errors import InputError, Problem
from seglib.images.mask_files import first_file, split_files
from seglib.images.suffixes import split_suffix
from seglib.submission.files import check_template, find_template
from seglib.trees.leftovers import find_unused
from seglib.trees.pairs import is_called_alike
from seglib.trees.parts import find_test_masks, find_train

FULL = 0.99  # share of the image from which on a mask counts as full


class Findings(NamedTuple):
    """What one look at a data folder gives."""

    problems: pd.DataFrame  # of `listing.make_table`
    samples: pd.DataFrame  # of `facts.measure_samples`, of those samples that can be used
    test: pd.DataFrame  # of `facts.measure_test_images`, of those that can be read; with ``case`` where it is told


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
    found = [*unpaired, *misnamed, *judge_samples(train, test), *judge_groups(data_dir, samples, train, test, cases)]
    found += [
        *_tell_names(samples),
        *_tell_several(samples),
        *judge_pages(samples, images),
        *judge_units(images, scale),
        *find_field_of_view(train, unused),
        *_tell_unused(unused, data_dir),
        *tell_extras(data_dir),
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
    found += _judge_division(usable, data_dir)
    return Findings(make_table(found, data_dir, images=len(samples)), usable, asked)


def refuse_errors(problems: pd.DataFrame, data_dir: Path) -> None:
    """Stop at what no run can start with.

    Args:
        problems: of `listing.make_table`.
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
    copies = find_twins(readable)
    told = {copy.file for copy in copies}  # a rescaled copy has another size than the rest for that very reason
    return [*found, *copies, *(odd for odd in find_odd_images(readable) if odd.file not in told)]


def _troubles(column: Iterable[Problem | None]) -> list[Problem]:
    return [trouble for trouble in column if isinstance(trouble, Problem)]


def _name_groups(samples: pd.DataFrame, data_dir: Path) -> pd.DataFrame:
    """``case`` as `GROUPS_NAME` says it, where there is one that can be read."""
    try:
        path = find_groups(data_dir)
        return samples if path is None else samples.assign(case=read_groups(path, samples))
    except InputError:
        return samples


def _judge_division(usable: pd.DataFrame, data_dir: Path) -> list[Problem]:
    """That nothing can be held out, as all images that can be used are one, or of one group."""
    try:
        if usable.empty or len(set(join_groups(usable, data_dir))) > 1:
            return []
    except InputError:  # said of the file already
        return []
    fact, cure = "holds 1 image", "add some: at least one trains and one validates"
    if len(usable) > 1:
        fact = f"holds {len(usable)} images of one group, which is never divided between training and validation"
        cure = f"add images of another patient or lesion, or correct {GROUPS_NAME}"
    return [Problem(find_train(data_dir), "one group", fact, cure)]


def _tell_names(samples: pd.DataFrame) -> list[Problem]:
    pairs = list(zip(map(Path, samples["image_path"]), samples["mask_path"], strict=True))
    for image, mask in ((image, first_file(mask)) for image, mask in pairs if len(split_files(mask)) == 1):
        stem, drawn = (split_suffix(path.name)[0] for path in (image, mask))
        if not is_called_alike(stem, drawn) and mask.parent.name != stem:
            fact = f"names masks otherwise than their images: {mask.name} is taken for that of {image.name}, and so on"
            return [Problem(mask.parent, "other names", fact, "nothing, unless they do not belong together")]
    return []


def _tell_unused(unused: Iterable[Path], data_dir: Path) -> list[Problem]:
    fact = "holds images that are not used"
    cure = "move them into Train (read at any depth) to train on them, or call the folder of masks Mask; else nothing"
    told = "nothing; seglib score --truth scores a submission by them"  # masks of test images train nobody
    scoring = find_test_masks(data_dir)
    return [Problem(folder, "not used", fact, told if folder in scoring else cure) for folder in unused]


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
