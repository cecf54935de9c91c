"""A folder to write to -> whether it lies where a data set is read, which would take what is written for data."""

from collections.abc import Iterator
from pathlib import Path

from seglib.errors import InputError
from seglib.paths import find_folder
from seglib.trees.files import find_kind
from seglib.trees.parts import TEST, TRAIN, find_test, find_train_folder, find_train_masks
from seglib.trees.sorting import list_part


def refuse_among_data(out: Path, data_dir: Path) -> None:
    """Stop before a run writes its figures where its own images are looked for.

    Args:
        out: the folder of the run.
        data_dir: the data folder. Beside ``Train`` and ``Test`` in it there is room for runs.

    Raises:
        InputError: if ``out`` is a folder that images or masks are read from, or lies below one.
    """
    for place in _list_read(data_dir):
        if out.resolve().is_relative_to(place.resolve()):
            raise InputError(
                f"{out} lies in {place}, where data is read, and figures there would be taken for images; choose "
                "another output folder"
            )


def _list_read(data_dir: Path) -> Iterator[Path]:
    """The folders below which nothing but data may lie."""
    yield from filter(None, (find_folder(data_dir, *TEST), find_test(data_dir)))
    if train := find_train_folder(data_dir):
        yield from (train, *find_train_masks(data_dir))
        return
    images, masks = list_part(data_dir, data_dir=data_dir)
    for files in filter(None, (images, masks)):
        if files.folder != data_dir:
            yield files.folder
        elif all(map(find_kind, files.names.values())):  # case/images and case/masks; other folders are passed over
            yield from {data_dir / Path(name).parts[0] for name in files.names.values()}
        else:
            yield data_dir


def refuse_among_images(out: Path) -> None:
    """Stop before masks are written among the images of a data set, where later runs would take them for such.

    Among its masks they may be meant to lie, and so they may in a folder of images that are of no data set.

    Args:
        out: the folder of the masks.

    Raises:
        InputError: if ``out`` is a folder ``Image`` in ``Train`` or ``Test`` or beside a folder ``Mask``, or lies in
            one.
    """
    for place in (out, *out.parents):
        if find_kind(f"{place.name}/") == "image" and _is_part(place.parent):
            raise InputError(
                f"{out} lies in {place}, where masks would be taken for images of that data set; choose another folder "
                "for the masks"
            )


def _is_part(folder: Path) -> bool:
    """Whether a folder is that of training or test images, or holds masks."""
    if folder.name.lower().rstrip("s") in {*TRAIN, *TEST}:
        return True
    return folder.is_dir() and any(find_kind(f"{entry.name}/") == "mask" for entry in folder.iterdir())
