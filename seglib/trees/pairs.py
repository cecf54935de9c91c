"""Names of image files and of mask files -> which masks belong to which image."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence

from seglib.errors import Problem
from seglib.images.suffixes import split_suffix
from seglib.trees.files import Files, drop_kinds
from seglib.trees.names import MASK_BESIDE, MASK_NUMBER, drop_sides, match_names, match_sides, strip_ending


def is_called_alike(image: str, mask: str) -> bool:
    """Whether a mask's stem is its image's, or that with a `MASK_ENDING`."""
    mask = unicodedata.normalize("NFC", mask)
    return image in (mask, strip_ending(mask))


def pair_masks(images: Files, files: Files) -> tuple[dict[str, list[str]], list[Problem]]:
    """The files of each image's mask, and what is wrong with the others."""
    problems: list[Problem] = []
    owners = {stem: _find_owner(stem, name, images.names) for stem, name in files.names.items()}
    if not images.names.keys() & owners.values():
        owners |= match_names(images.names, files.names) or match_sides(images.names, files.names)
    masks: dict[str, list[str]] = defaultdict(list)
    for stem, name in files.names.items():
        image = owners[stem]
        if image not in images.names:
            cure = f"add {image}.jpg there or remove the mask"
            fact = f"has no image beside it in {os.path.join(*images.folder.parts[-2:])}"
            problems.append(Problem(files.folder / name, "no image", fact, cure))
        elif not are_one([*masks[image][:1], name], image):
            fact = f"and {masks[image][0]} both are masks of {image}"
            problems.append(Problem(files.folder / name, "two masks", fact, "keep one, or draw all in one file"))
        else:
            masks[image].append(name)
    return masks, problems


def part_masks(files: Files) -> tuple[Files, Files]:
    """The images of a folder, and the masks that lie beside them."""
    masks = {stem: name for stem, name in files.names.items() if MASK_BESIDE.search(stem)}
    images = {stem: name for stem, name in files.names.items() if stem not in masks}
    return files._replace(names=images), Files(files.folder, masks, [])


def are_one(names: Sequence[str], image: str) -> bool:
    """Whether files are of one mask: numbered, of its two sides, or in a folder of their image."""
    folders = {_name_folder(name) for name in names}
    stems = {drop_sides(MASK_NUMBER.sub(r"\1", split_suffix(name)[0])).lower() for name in names}
    return folders == {image} or len(stems) == 1


def _find_owner(stem: str, name: str, images: Collection[str]) -> str:
    """The image that a mask is called after, or would be; its own name comes before that of its folder."""
    numbered = strip_ending(MASK_NUMBER.sub(r"\1", stem))
    candidates = (stem, strip_ending(stem), numbered, _name_folder(name))
    return next((image for image in candidates if image in images), strip_ending(stem))


def _name_folder(name: str) -> str:
    """What the stems of the files in a file's folder begin with, and the image that has its masks there."""
    return os.path.dirname(drop_kinds(name)).replace(os.sep, "_")
