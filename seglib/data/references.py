"""A folder -> the reference masks in it, by the images they belong to."""

from collections import defaultdict
from pathlib import Path

from seglib.data.usual_grays import join_masks
from seglib.errors import InputError
from seglib.paths import find_part
from seglib.trees.files import KIND, Files, list_files
from seglib.trees.names import MASK_NUMBER, find_beside, strip_ending
from seglib.trees.pairs import are_one, pair_masks
from seglib.trees.parts import find_test, find_test_masks
from seglib.trees.sorting import list_part


def list_masks(folder: Path) -> dict[str, str]:
    """The masks of a folder, as ``mask_path`` of `samples.list_samples`, by the stem of the image they belong to.

    Args:
        folder: holds masks, or images with their masks beside them, or is a data set or its ``Test`` folder and holds a
            folder ``Mask``, or one such as ``labelsTs`` beside ``imagesTs``.

    Raises:
        InputError: if two masks have one name, or are of one image and not numbered.
    """
    test = find_test(folder)
    whole = test or folder
    if mask_dir := find_part(whole, "mask"):
        return _list_masks_alone(list_files(mask_dir))
    images, masks = list_part(whole)
    if test and masks is None and (beside := find_test_masks(folder)):
        if len(beside) > 1:
            names = f"{beside[0].name} and {beside[1].name}"
            raise InputError(f"{folder} holds {names}; name the one whose masks are meant")
        masks = list_files(beside[0])
    if masks is not None:
        return _list_masks_of(images, masks)
    called = KIND.fullmatch(folder.name)
    if images.folder != folder or (called and called[1].lower() == "image"):  # these are images
        beside = {stem: images.names[stem] for stem in find_beside(images.names)}
        if not beside:
            raise InputError(f"{folder} holds no masks, only images; name the folder that does")
        images = images._replace(names=beside)
    return _list_masks_alone(images)


def _list_masks_of(images: Files, masks: Files) -> dict[str, str]:
    """The masks that lie in folders called so, by the images in folders of theirs."""
    paired, problems = pair_masks(images, masks)
    for problem in (*images.problems, *masks.problems, *problems):
        raise InputError(problem.sentence)
    return join_masks(masks.folder, paired)


def _list_masks_alone(files: Files) -> dict[str, str]:
    """The masks of a folder that holds nothing else, or images beside them."""
    folder, masks = files.folder, files.names
    if files.problems:
        raise InputError(files.problems[0].sentence)
    beside = find_beside(masks)
    if set(masks) == beside.keys() | set(beside.values()):
        masks = {stem: masks[stem] for stem in beside}
    found: dict[str, list[str]] = defaultdict(list)
    for stem, name in masks.items():
        plain = MASK_NUMBER.sub(r"\1", stem)
        image = strip_ending(plain if plain in masks else stem)  # a number without the first may be of the name
        if not are_one([*found[image][:1], name], image):
            raise InputError(f"{folder / name} and {found[image][0]} both are masks of {image}; keep one of them")
        found[image].append(name)
    return join_masks(folder, found)
