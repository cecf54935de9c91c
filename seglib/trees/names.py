"""Names of files -> which of them belong together: a mask to its image."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import takewhile

from seglib.images.suffixes import split_suffix

MASK_ENDING = re.compile(r"_(mask|segmentation)$", re.IGNORECASE)  # what a mask's stem may add to its image's
MASK_NUMBER = re.compile(r"(_mask|_segmentation)_\d+$", re.IGNORECASE)  # of a further file of the same mask
MASK_BESIDE = re.compile(r"_(mask|segmentation)(_\d+)?$", re.IGNORECASE)  # of a mask among the images
# of what may lie beside an image that is only predicted: there it need not be read as a mask to be none
DRAWN_BESIDE = re.compile(
    r"_(mask|segmentation|gt|ground_?truth|anno|annotation|label|manual|predict|prediction)s?(_?\d+)?$", re.IGNORECASE
)
_SIDE = re.compile(r"[ _.-]*(?<![a-zA-Z])((?i:left|right))(?![a-z])")  # as in a_left, leftMask and Mask/right
_ENDING = re.compile(r"[ _-](?=[^\W_]*[^\W\d_])[^\W_]+$")  # a word with letters, and perhaps numbers
_LAST_WORD = re.compile(r"[ _.-]?[^ _.-]*$")
_RUNS = re.compile(r"\d+|[A-Z]?[a-z]+|[A-Z]+|.", re.DOTALL)  # neither a number nor a word is ever divided


def match_names(images: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """Tell which image each mask belongs to by what is left of their names without what all of them share.

    Of the images' names the longest beginning and the longest ending that all have are cut off, and of the masks' names
    theirs. What is left must tell the names of each list apart, and every name of the shorter list must have its
    partner in the other one, at least two; numbers are compared by their value.

    Args:
        images: stems of the images.
        masks: stems of the masks.

    Returns:
        The image's stem by the mask's; nothing if the names do not tell.

    Example:
        >>> match_names(["21_training", "22_training"], ["21_manual1", "22_manual1"])
        {'21_manual1': '21_training', '22_manual1': '22_training'}
        >>> match_names(["cat", "dog"], ["a", "b"])
        {}
    """
    by_image, by_mask = _keys(images), _keys(masks)
    shared = by_image.keys() & by_mask.keys()
    if len(shared) < 2 or len(shared) < min(len(by_image), len(by_mask)):
        return {}
    return {mask: by_image[key] for key, mask in by_mask.items() if key in shared}


def strip_ending(stem: str) -> str:
    """A mask's stem without its `MASK_ENDING`.

    Example:
        >>> strip_ending("a_mask"), strip_ending("a_Segmentation"), strip_ending("mask_a")
        ('a', 'a', 'mask_a')
    """
    return MASK_ENDING.sub("", stem)


def drop_sides(name: str) -> str:
    """A name without the words left and right.

    Example:
        >>> drop_sides("ManualMask/leftMask/a"), drop_sides("a_Right"), drop_sides("bright")
        ('ManualMask/Mask/a', 'a', 'bright')
    """
    return _SIDE.sub("", name)


def match_sides(images: Iterable[str], masks: Iterable[str]) -> dict[str, str]:
    """Tell which image each mask belongs to where each image has one of its left and one of its right side.

    Args:
        images: stems of the images.
        masks: stems of the masks, each with one of the two words more than the names of the other side.

    Returns:
        As `match_names`, of two masks for each image that has any.

    Example:
        >>> sorted(match_sides(["1", "2"], ["1_left", "1_right", "2_left", "2_right"]).items())
        [('1_left', '1'), ('1_right', '1'), ('2_left', '2'), ('2_right', '2')]
        >>> match_sides(["1", "2"], ["1_left", "1_right", "2_left"])
        {}
    """
    images, pairs = set(images), defaultdict(list)
    for mask in masks:
        pairs[drop_sides(mask)].append(mask)
    if len(pairs) < 2 or any(sorted(map(_find_side, pair)) != [["left"], ["right"]] for pair in pairs.values()):
        return {}
    owners = {plain: plain for plain in pairs} if pairs.keys() <= images else match_names(images, pairs)
    return {mask: image for plain, image in owners.items() for mask in pairs[plain]}


def _find_side(name: str) -> list[str]:
    return [side.lower() for side in _SIDE.findall(name)]


def find_beside(stems: Collection[str], ending: re.Pattern[str] = MASK_BESIDE) -> dict[str, str]:
    """Of stems of one folder those of masks, each with that of the image that lies beside it.

    Args:
        stems: of images and masks.
        ending: what a mask's stem adds to that of its image.

    Example:
        >>> find_beside(["a", "a_mask", "b_mask"])
        {'a_mask': 'a'}
    """
    owners = {stem: ending.sub("", stem) for stem in stems}
    return {stem: image for stem, image in owners.items() if image != stem and image in stems}


def find_endings(stems: Collection[str]) -> dict[str, str]:
    """What the names of further files beside each image have besides that of the image, such as `_1stHO`.

    Args:
        stems: of images and of these files.

    Returns:
        The first such file by its ending; nothing unless each image has one of every ending and no other stem is there.

    Example:
        >>> find_endings(["a", "a_1st", "a_2nd", "b", "b_1st", "b_2nd"])
        {'_1st': 'a_1st', '_2nd': 'a_2nd'}
        >>> find_endings(["a", "a_1st", "b"])
        {}
    """
    found: dict[str, dict[str, str]] = {}
    for stem in sorted(stems):
        image, ending = split_ending(stem)
        if ending and image in stems:
            found.setdefault(ending, {})[image] = stem
    files = {stem for owners in found.values() for stem in owners.values()}
    images = set(stems) - files
    whole = all(owners.keys() == images for owners in found.values())
    return {ending: min(owners.values()) for ending, owners in found.items()} if whole else {}


def find_extras(images: Collection[str], paired: Collection[str]) -> dict[str, str]:
    """Images without a mask that lie beside all those with one, such as superpixels: no images, but drawn of them.

    Args:
        images: stems.
        paired: those of them that have a mask.

    Returns:
        What each has in its name besides that of its image, by its stem; none unless there are two images or more.

    Example:
        >>> find_extras(["a", "a_pixels", "b", "b_pixels", "b_2nd"], ["a", "b"])
        {'a_pixels': '_pixels', 'b_pixels': '_pixels'}
    """
    found: dict[str, dict[str, str]] = {}
    for stem in sorted(set(images) - set(paired)):
        image, ending = split_ending(stem)
        if ending and image in paired:
            found.setdefault(ending, {})[image] = stem
    whole = {ending: stems for ending, stems in found.items() if len(stems) == len(set(paired)) > 1}
    return {stem: ending for ending, stems in whole.items() for stem in stems.values()}


def find_several(images: Iterable[str], masks: Iterable[str]) -> tuple[str, list[str]] | None:
    """An image with its masks, where all that have any have several, told by words more in their names or by folders.

    Args:
        images: paths of the images.
        masks: paths of the masks.

    Returns:
        The name of the image, and the paths of its masks; None if fewer than two images have several, or one has one.

    Example:
        >>> masks = ["a_hair.png", "a_mole.png", "b_hair.png", "b_mole.png"]
        >>> find_several(["a.png", "b.png"], masks)
        ('a', ['a_hair.png', 'a_mole.png'])
    """
    called = {split_suffix(os.path.basename(name))[0] for name in images}
    found: dict[str, list[str]] = defaultdict(list)
    for name in masks:
        stem = split_suffix(os.path.basename(name))[0]
        while stem and stem not in called:
            stem = _LAST_WORD.sub("", stem)
        found[stem].append(name)
    found.pop("", None)
    return min(found.items()) if len(found) > 1 and min(map(len, found.values())) > 1 else None


def split_ending(stem: str) -> tuple[str, str]:
    """A stem without its last word, and that word with what is before it; "" if it is no word of letters.

    Example:
        >>> split_ending("Image_01L_1stHO"), split_ending("a_superpixels"), split_ending("a_12")
        (('Image_01L', '_1stHO'), ('a', '_superpixels'), ('a_12', ''))
    """
    found = _ENDING.search(stem)
    return (stem[: found.start()], found[0]) if found else (stem, "")


def _keys(names: Iterable[str]) -> dict[tuple[str, ...], str]:
    """What tells each name from the others -> the name; nothing if two are alike."""
    names = list(names)
    runs = [_RUNS.findall(name) for name in names]
    for _ in range(2):  # the beginning, then the ending
        shared = len([*takewhile(lambda same: len(set(same)) == 1, zip(*runs, strict=False))])
        runs = [name[shared:][::-1] for name in runs]
    keys = {tuple(run.lstrip("0") for run in parts): name for parts, name in zip(runs, names, strict=True)}
    return keys if len(keys) == len(names) else {}
