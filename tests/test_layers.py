import ast
from pathlib import Path

import pytest

import seglib

PACKAGE = Path(seglib.__file__).parent
PATHS = sorted(PACKAGE.rglob("*.py"))
ALLOWED = {
    "__init__": set(),
    "__main__": {"cli"},
    "errors": set(),
    "figures": {"writing"},
    "presets": set(),
    "coercion": {"errors"},
    "config": {"coercion", "errors", "presets"},
    "images": {"errors"},
    "arguments": {"config"},
    "machine": {"config", "errors"},
    "writing": {"errors"},
    "paths": {"errors", "machine", "writing"},
    "trees": {"errors", "images", "paths"},
    "data": {"config", "errors", "images", "machine", "paths", "trees", "writing"},
    "models": {"config", "errors", "machine", "paths"},
    "batches": {"config", "data", "errors", "images", "machine", "writing"},
    "scores": {"data", "errors", "images", "machine"},
    "training": {"batches", "config", "data", "errors", "machine", "models", "paths", "scores", "writing"},
    "submission": {"data", "errors", "images", "machine", "paths", "scores", "trees", "writing"},
    "checks": {"data", "errors", "images", "machine", "paths", "submission", "trees"},
    "prediction": {
        "checks",
        "config",
        "data",
        "errors",
        "images",
        "machine",
        "models",
        "paths",
        "scores",
        "submission",
        "writing",
    },
    "runs": {"config", "errors", "machine", "paths", "prediction", "scores", "writing"},
    "grid": {"config", "data", "errors", "images", "paths", "runs", "writing"},
    "kaggle": {"config", "errors", "machine", "paths", "runs", "writing"},
    "downloads": {"errors", "images", "kaggle"},
    "commands": {
        "checks",
        "config",
        "data",
        "downloads",
        "errors",
        "grid",
        "images",
        "kaggle",
        "machine",
        "models",
        "paths",
        "prediction",
        "runs",
        "scores",
        "submission",
        "trees",
        "training",
    },
    "cli": {"arguments", "commands", "errors"},
    "leash": {"cli"},
}
ONLY_IN = {
    "albumentations": "batches.augmentation",
    "dask": "grid.cluster",
    "distributed": "grid.cluster",
    "matplotlib": "figures",
    "kaggle": "kaggle.client",
    "monai": "prediction.probabilities",
    "papermill": "runs.notebooks",
    "pytorch_lightning": "training",
    "segmentation_models_pytorch": "models.networks",
}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def room_of(name):
    return name.split(".")[0]  # a package is one room of the drawing


def arrows_of(path):
    """The modules of seglib that one imports, by their names; of a package, the module in it that was meant."""
    names = {name_of(other) for other in PATHS}
    for name in imports_of(path):
        parts = name.removeprefix("seglib.").split(".") if name.startswith("seglib.") else []
        meant = [".".join(parts[:depth]) for depth in (2, 1) if ".".join(parts[:depth]) in names]
        yield from meant[:1]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_arrow_of_the_drawing_goes_down(path):
    room = room_of(name_of(path))
    rooms = {name.split(".")[1] for name in imports_of(path) if name.startswith("seglib.")} - {room}
    assert rooms <= ALLOWED[room]


@pytest.mark.parametrize(("library", "home"), ONLY_IN.items())
def test_a_library_lives_in_one_place(library, home):
    users = {name_of(path) for path in PATHS if any(n.split(".")[0] == library for n in imports_of(path))}
    assert users
    assert [name for name in users if not f"{name}.".startswith(f"{home}.")] == []


def find_floors(below):
    """The floors of a drawing, name -> what stands below it, from the ground up."""
    floors, waiting = [], dict(below)
    while waiting:
        floors.append({name for name, lower in waiting.items() if not lower & set(waiting)})
        assert floors[-1], f"a cycle among {sorted(waiting)}"
        waiting = {name: lower for name, lower in waiting.items() if name not in floors[-1]}
    return floors


def test_the_rooms_have_no_cycle():
    find_floors(dict(ALLOWED))


def test_the_modules_have_no_cycle():
    find_floors({name_of(path): set(arrows_of(path)) for path in PATHS})


def test_a_package_is_a_sentence():
    for path in PACKAGE.glob("*/__init__.py"):
        assert ast.get_docstring(ast.parse(path.read_text()))
