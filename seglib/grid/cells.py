"""A file of settings and axes -> the cells of a grid: a run for every combination, each with a folder of its own."""

import dataclasses
import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from seglib.config import Config, find_difference, make_config, near_miss
from seglib.data.fingerprints import fingerprint_data
from seglib.data.samples import list_samples
from seglib.data.unseen import list_test_images
from seglib.errors import InputError
from seglib.images.mask_files import list_files
from seglib.paths import take_folder
from seglib.runs.manifests import check_output, read_manifest
from seglib.runs.notebooks import choose_notebooks

KEYS = ("data", "out", "preset", "set", "grid", "only")
LONGEST_NAME = 80  # characters; longer ones end with a hash instead


@dataclass(frozen=True)
class Cell:
    """One run of a grid."""

    name: str  # its axes and their values, as a folder is called
    axes: Mapping[str, Any]  # what sets it apart from the others
    config: Config
    folder: Path


@dataclass(frozen=True)
class Grid:
    """What a file asks for."""

    data: str | None  # as ``--data`` of run
    out: Path
    preset: str
    only: str | None
    settings: tuple[str, ...]  # fields that the file names: all of ``set``, and the axes
    cells: tuple[Cell, ...]

    def settings_of(self, cell: Cell) -> dict[str, Any]:
        """The fields that the file names, as they are in a cell."""
        return {name: getattr(cell.config, name) for name in self.settings}


def read_grid(path: Path) -> Grid:
    """Read a file and check every combination that it asks for.

    Args:
        path: YAML with ``grid`` (a list of values for each axis), and as ``seglib run`` has them ``data``, ``out``,
            ``preset``, ``set`` and ``only``.

    Raises:
        InputError: if the file cannot be read, or something in it cannot be, with the near miss.
    """
    asked = _read_yaml(path)
    for key in asked:
        if key not in KEYS:
            raise InputError(f"{path} has a key {key!r} that means nothing; {near_miss(str(key), KEYS)}")
    fixed, axes = asked.get("set") or {}, asked.get("grid")
    _check_axes(path, fixed, axes)
    only = asked.get("only")
    choose_notebooks(None if only is None else str(only))
    out = take_folder(Path(str(asked.get("out") or f"outputs/{path.stem}")).absolute())
    preset = str(asked.get("preset") or "baseline")
    cells: dict[str, Cell] = {}
    for values in itertools.product(*axes.values()):
        cell = _make_cell(out, preset, fixed, dict(zip(axes, values, strict=True)))
        if twin := cells.get(cell.name.casefold()):
            raise InputError(f"{path} has two cells of one folder, {twin.name}; leave one of the values out")
        cells[cell.name.casefold()] = cell
    data, only = (None if value is None else str(value) for value in (asked.get("data"), only))
    return Grid(data, out, preset, only, (*fixed, *axes), tuple(cells.values()))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        asked = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read; name a YAML file with a grid in it") from None
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        raise InputError(f"{path} is not YAML{f' in line {place.line + 1}' if place else ''}; mend it") from None
    if not isinstance(asked, dict):
        raise InputError(f"{path} has no grid; write grid: and below it a list of values for each axis")
    return asked


def _check_axes(path: Path, fixed: Any, axes: Any) -> None:
    if not isinstance(axes, dict) or not axes:
        raise InputError(f"{path} has no grid; write grid: and below it a list of values for each axis")
    if not isinstance(fixed, dict):
        raise InputError(f"set in {path} is no list of names with values; write set: {{epochs: 3}}")
    fields = [field.name for field in dataclasses.fields(Config)]
    for name in (*fixed, *axes):
        if name not in fields:
            raise InputError(f"{path} has a setting {name!r} that there is not; {near_miss(str(name), fields)}")
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise InputError(
                f"{name} below grid in {path} is no list of values; write {name}: [A, B], or move it to set"
            )
        if name in fixed:
            raise InputError(f"{name} is both below set and below grid in {path}; keep one of them")
    _refuse_empty(path, {name: [value] for name, value in fixed.items()} | axes)


def _refuse_empty(path: Path, values: Mapping[str, list[Any]]) -> None:
    """Nothing would keep the preset's value, which is not the same as to set it: see ``config.make_config``."""
    plain = Config()
    for name, some in values.items():
        if None in some and getattr(plain, name) is not None:
            raise InputError(f"{name} in {path} has no value; write one, or leave {name} out to keep the preset's")


def _make_cell(out: Path, preset: str, fixed: Mapping[str, Any], axes: Mapping[str, Any]) -> Cell:
    config = make_config(preset, **fixed, **axes)
    known = {field.name: getattr(config, field.name) for field in dataclasses.fields(Config) if field.name in axes}
    name = name_cell(known)
    return Cell(name, known, config, out / name)


def name_cell(axes: Mapping[str, Any]) -> str:
    """How the folder of a cell is called: readable, and safe on every file system.

    Example:
        >>> name_cell({"loss": "0.5*bce + 0.5*lovasz", "learning_rate": 1e-3})
        'loss=0.5-bce+0.5-lovasz,learning_rate=0.001'
    """
    text = ",".join(f"{name}={value}" for name, value in axes.items())
    name = re.sub(r"[^A-Za-z0-9_.,=+-]+", "-", text.replace(" ", ""))
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def fit_to_data(grid: Grid, *, with_test: bool) -> Grid:
    """The grid with the notebooks named that its cells can run: without test images there is no submission."""
    if grid.only is not None or with_test:
        return grid
    return dataclasses.replace(grid, only=",".join(name[:2] for name in choose_notebooks(None, with_test=False)))


def check_cells(grid: Grid, data_dir: Path) -> None:
    """Refuse, before anything is run, what would stop a cell.

    Raises:
        InputError: if the data is not what a run needs, or the folder of a cell holds another run.
    """
    train = list_samples(data_dir)
    if "05_submission" in choose_notebooks(grid.only):
        list_test_images(data_dir)
    data_hash = fingerprint_data(list_files(train))
    for cell in grid.cells:
        check_output(cell.folder, preset=grid.preset, settings=grid.settings_of(cell), data_hash=data_hash)


def is_finished(grid: Grid, cell: Cell) -> bool:
    """Whether the folder of a cell holds all that the file asks for."""
    manifest = read_manifest(cell.folder)
    if manifest is None or not manifest.get("finished") or not (cell.folder / "report.html").exists():
        return False
    theirs = make_config(manifest["preset"], **manifest["settings"])
    return set(choose_notebooks(grid.only)) <= set(manifest["seconds"]) and not find_difference(cell.config, theirs)


def describe_plan(grid: Grid) -> str:
    """The cells, one a line, with what is to be done about each."""
    rows = [f"  {'finished' if is_finished(grid, cell) else 'to run':9} {cell.name}" for cell in grid.cells]
    return "\n".join([f"{grid.out}: {len(rows)} cells of the preset {grid.preset}", *rows])
