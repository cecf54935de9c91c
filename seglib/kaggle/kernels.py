"""Notebooks -> the kernels of a bundle: what each is called, and which it goes on from."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from seglib.errors import InputError
from seglib.runs.notebooks import NOTEBOOKS

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
OWNER = re.compile(r"[A-Za-z0-9_-]{3,}")
DATASET, KERNELS, ORDER = "dataset", "kernels", "kernels.txt"  # in a bundle; the last says which kernel comes first
OUTPUTS = "outputs"  # in a bundle: what came back
LONGEST = 50  # characters of a title or slug; Kaggle's limit
EXPLORATION, TRAINING, _, EVALUATION, SUBMISSION = NOTEBOOKS
READ_DATA = {EXPLORATION, TRAINING, EVALUATION, SUBMISSION}  # notebooks that have a parameter data_dir


@dataclass(frozen=True)
class Kernel:
    """A notebook on its way to Kaggle.

    Attributes:
        notebook: its name.
        folder: where it lies in a bundle.
        title: as Kaggle shows it; its slug is this with hyphens.
        owner: whose it is.
        follows: the kernel whose output it reads; None: it reads data sets only.
    """

    notebook: str
    folder: str
    title: str
    owner: str
    follows: "Kernel | None" = None

    @property
    def id(self) -> str:
        """Owner and slug."""
        return f"{self.owner}/{self.title.replace(' ', '-')}"


def plan_kernels(notebooks: Sequence[str], *, owner: str, name: str, trained: bool, parts: int) -> list[Kernel]:
    """The kernels for some notebooks, in the order they have to run in.

    Args:
        notebooks: their names, in their own order.
        owner: whose they will be.
        name: of the bundle.
        trained: the data set holds trained networks, which all kernels read; otherwise 02 trains them, and 03 to 05
            read the output of the kernels before them.
        parts: kernels in a row that train, each going on where the one before had to stop.

    Raises:
        InputError: if a title is too long for Kaggle.
    """
    kernels: dict[str, Kernel] = {}  # the last one of each notebook
    planned = []
    for notebook in notebooks:
        for part in range(1, (parts if notebook == TRAINING else 1) + 1):
            suffix = f" {part}" if part > 1 else ""
            title = f"seglib {name} {notebook.replace('_', ' ')}{suffix}"
            if len(title) > LONGEST:
                raise InputError(f"{title!r} has more than {LONGEST} characters, Kaggle's limit; give a shorter --name")
            follows = _predecessor(notebook, kernels, trained)
            kernels[notebook] = Kernel(notebook, f"{notebook}{suffix.replace(' ', '-')}", title, owner, follows)
            planned.append(kernels[notebook])
    return planned


def _predecessor(notebook: str, kernels: Mapping[str, Kernel], trained: bool) -> Kernel | None:
    if notebook == TRAINING:
        return kernels.get(TRAINING)
    if trained:
        return None
    # the output of 04 has the networks, too, and the rules for masks
    return (kernels.get(EVALUATION) if notebook == SUBMISSION else None) or kernels.get(TRAINING)


def describe_kernel(kernel: Kernel, *, datasets: Sequence[str], competition: str | None) -> dict[str, Any]:
    """What ``kernel-metadata.json`` holds: every key, as the client's defaults are not those that its pages name."""
    return {
        "id": kernel.id,
        "title": kernel.title,
        "code_file": f"{kernel.notebook}.ipynb",
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": True,
        "enable_tpu": False,
        "enable_internet": False,
        "machine_shape": "NvidiaTeslaT4",
        "docker_image_pinning_type": "original",  # the image this version was made on, also when it is run again
        "docker_image": None,
        "keywords": [],
        "dataset_sources": list(datasets),
        "competition_sources": [competition] if competition else [],
        "kernel_sources": [kernel.follows.id] if kernel.follows else [],
        "model_sources": [],
    }


def check_place(data_dir: str) -> None:
    """Refuse a folder of data that no kernel can have.

    Args:
        data_dir: relative to Kaggle's inputs, or absolute as it is mounted there.

    Raises:
        InputError: if it is a folder of this machine.
    """
    place = PurePosixPath(data_dir)
    if not data_dir or ".." in place.parts or (place.is_absolute() and not place.is_relative_to("/kaggle/input")):
        raise InputError(
            f"{data_dir!r} is no folder of Kaggle's inputs; write --data-dir as it is mounted there, such as SLUG/data"
        )


def check_names(owner: str, name: str, competition: str | None, datasets: Sequence[str]) -> None:
    """Refuse what the client or Kaggle would refuse, before anything is sent.

    Raises:
        InputError: naming the word and what is allowed.
    """
    if not OWNER.fullmatch(owner):
        raise InputError(f"{owner!r} is no name of an owner on Kaggle; give the last part of your page's address")
    if not SLUG.fullmatch(name):
        raise InputError(f"{name!r} cannot stand in an address; give --name of lower-case letters, digits and hyphens")
    if competition is None and not datasets:
        raise InputError("no images are attached; name them with --competition SLUG or --dataset OWNER/SLUG")
    if competition is not None and not SLUG.fullmatch(competition):
        raise InputError(f"{competition!r} is no competition's slug; give the last part of its address")
    for dataset in datasets:
        if not re.fullmatch(rf"{OWNER.pattern}/[a-z0-9-]{{3,{LONGEST}}}", dataset):
            raise InputError(f"{dataset!r} is no data set of Kaggle; write OWNER/SLUG")
