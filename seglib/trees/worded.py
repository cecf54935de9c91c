"""Names of image files -> images and masks, as words in the names of their folders tell."""

import os
from collections.abc import Iterable, Sequence

from seglib.images.suffixes import split_suffix
from seglib.trees.names import drop_sides, match_names, match_sides, strip_ending
from seglib.trees.words import find_word, is_for_test, is_for_training, name_kind


def tell_pair(names: Sequence[str]) -> tuple[list[str], list[str]] | None:
    """The images and masks among files, where words in the names of their folders tell one of each.

    Masks lie in folders with a word of masks, all called alike but for numbers, sides and the folder around; images in
    those with a word of images or, where none has, in all others. The innermost folder with a word counts.

    Args:
        names: of image files, relative to the folder that is looked into.

    Returns:
        The names of images and of masks; None if folders of one of the two are called by different words, if those of
        masks lie deeper than those of images, as one kind of several may, or if images are there in two formats.

    Example:
        >>> tell_pair(["Slide_01/01_1.png", "GT_01/01_1.png"])
        (['Slide_01/01_1.png'], ['GT_01/01_1.png'])
        >>> tell_pair(["images/a.png", "labels-ah/a.png", "labels-vk/a.png"]) is None
        True
    """
    kinds = sort_names(names)
    masks = kinds["mask"]
    images = kinds["image"] or kinds[""]
    around = {folder for name in images for folder in name.split(os.sep)[:-1]}
    below = {drop_sides(folder) for name in masks for folder in _split_at_word(name)[2]}
    if len(list_kinds(masks)) != 1 or len(list_kinds(kinds["image"])) > 1:
        return None
    if not below <= {*around, ""} or _have_two_formats(images):
        return None
    return images, masks


def sort_names(names: Iterable[str]) -> dict[str, list[str]]:
    """Files by what their folders say that they hold: image, mask or nothing.

    Example:
        >>> sort_names(["My images/1_image/1.png", "My images/1_lesion/1.png", "My images/1_roi/1.png"])
        {'image': ['My images/1_image/1.png'], 'mask': ['My images/1_lesion/1.png'], '': ['My images/1_roi/1.png']}
    """
    names = list(names)
    places = {name: _split_at_word(name) for name in names}
    drawn = [name for name in names if find_word(places[name][1]) == "mask"]
    around = {folder for name in drawn for folder in _list_parents(places[name][0])}  # hold both: tell nothing
    found: dict[str, list[str]] = {"image": [], "mask": drawn, "": []}
    for name in names:
        above, folder, _ = places[name]
        if find_word(folder) != "mask":
            found["image" if folder and os.path.join(*above, folder) not in around else ""].append(name)
    return found


def list_kinds(names: Iterable[str]) -> dict[tuple[str, ...], str]:
    """What the folders of masks, or of images, are called, with the first folder of each.

    Example:
        >>> list_kinds(["P1/lung masks/a.png", "P2/lung masks/a.png", "P1/heart masks/a.png"])
        {('lung', 'masks'): 'P1/lung masks', ('heart', 'masks'): 'P1/heart masks'}
    """
    found: dict[tuple[str, ...], str] = {}
    for name in names:
        above, folder, _ = _split_at_word(name)
        kind = name_kind(folder.removeprefix(above[-1]) if above else folder)
        found.setdefault(kind, os.path.join(*above, folder))
    return found


def drop_tests(names: Sequence[str]) -> list[str]:
    """Files without those of a test or validation, where they lie beside others of a training.

    Example:
        >>> drop_tests(["train_masks/a.png", "test_masks/b.png"]), drop_tests(["test_masks/b.png"])
        (['train_masks/a.png'], ['test_masks/b.png'])
    """
    folders = {name: name.split(os.sep)[0] for name in names}
    trains = any(map(is_for_training, folders.values()))
    return [name for name in names if not (trains and is_for_test(folders[name]))]


def call_files(names: Iterable[str], *, alone: bool) -> dict[str, str]:
    """What files are called: by their paths without the folder that tells their kind, or else by their paths.

    Args:
        names: of the files.
        alone: call them by their names alone, where no two have the same.

    Example:
        >>> call_files(["P1/lung masks/1.png", "P2/lung masks/1.png"], alone=True)
        {'P1/lung masks/1.png': 'P1/1.png', 'P2/lung masks/1.png': 'P2/1.png'}
    """
    names = list(names)
    shorter = {name: _drop_word(name) for name in names}
    shortest = {name: os.path.basename(name) for name in names}
    for called in [shortest, shorter] if alone else [shorter]:
        if len({split_suffix(call)[0] for call in called.values()}) == len(names):
            return called
    return {name: name for name in names}


def do_pair(images: Iterable[str], masks: Iterable[str]) -> bool:
    """Whether the stems of masks tell which images they belong to, of some at least."""
    images, plain = list(images), list(map(strip_ending, masks))
    return not set(plain).isdisjoint(images) or bool(match_names(images, plain) or match_sides(images, plain))


def _split_at_word(name: str) -> tuple[list[str], str, list[str]]:
    """The folders of a file: those above the innermost one with a word of images or masks, that one, those below."""
    folders = name.split(os.sep)[:-1]
    at = next((at for at in range(len(folders) - 1, -1, -1) if find_word(folders[at])), None)
    return (folders, "", []) if at is None else (folders[:at], folders[at], folders[at + 1 :])


def _drop_word(name: str) -> str:
    above, _, below = _split_at_word(name)
    return os.path.join(*above, *below, os.path.basename(name))


def _list_parents(folders: Sequence[str]) -> list[str]:
    return [os.path.join(*folders[:depth]) for depth in range(1, len(folders) + 1)]


def _have_two_formats(names: Sequence[str]) -> bool:
    """Whether files of one name have different endings."""
    plain = {os.path.basename(name) for name in names}
    return len({split_suffix(name)[0] for name in plain}) < len(plain)
