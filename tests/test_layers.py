import ast
from pathlib import Path

import pytest

import seglib

PACKAGE = Path(seglib.__file__).parent
PATHS = sorted(PACKAGE.rglob("*.py"))
LEAF = {"errors"}
ALLOWED = {
    "__init__": set(),
    "errors": set(),
    "progress": set(),
    "config": LEAF,
    "arguments": {"config"},
    "mounts": set(),
    "paths": LEAF | {"mounts"},
    "attached": LEAF | {"config", "mounts"},
    "dicom": set(),
    "headers": {"dicom"},
    "mask_files": set(),
    "images": LEAF | {"dicom", "headers", "mask_files"},
    "scales": LEAF | {"images"},
    "synthetic": LEAF,
    "downloads": LEAF | {"images", "kaggle"},
    "losses": set(),
    "metrics": set(),
    "intervals": set(),
    "summaries": {"intervals", "metrics"},
    "history": LEAF,
    "figures": set(),
    "names": set(),
    "words": set(),
    "trees": LEAF | {"dicom", "images", "names", "paths", "words"},
    "leftovers": LEAF | {"images", "names", "paths", "trees"},
    "samples": LEAF | {"leftovers", "mask_files", "images", "names", "paths", "trees"},
    "folds": LEAF | {"paths"},
    "duplicates": {"scratch"},
    "cases": {"scratch"},
    "scratch": LEAF,
    "traits": set(),
    "drift": {"traits"},
    "checks": LEAF
    | {"mask_files", "cases", "duplicates", "images", "labels", "progress", "scales", "scratch", "ahead", "traits"},
    "resolution": {"mask_files", "ahead", "config", "fingerprints", "images", "progress", "samples"},
    "orientation": {"mask_files", "ahead", "config", "fingerprints", "images", "progress", "samples"},
    "labels": LEAF | {"images", "mask_files"},
    "oddities": LEAF | {"mask_files", "traits"},
    "fields": LEAF | {"leftovers", "mask_files"},
    "problems": LEAF
    | {"mask_files", "cases", "checks", "duplicates", "fields", "folds", "images", "labels", "leftovers", "oddities"}
    | {"samples", "submission"},
    "fingerprints": {"ahead", "paths", "progress"},
    "cache": LEAF | {"mask_files", "fingerprints", "images", "progress", "scratch", "ahead"},
    "ahead": set(),
    "clock": set(),
    "allocator": set(),
    "ranks": LEAF | {"config"},
    "orders": LEAF | {"clock", "config", "paths", "progress", "ranks"},
    "augmentation": {"config", "warps"},
    "warps": set(),
    "batches": LEAF | {"augmentation", "cache", "config", "images", "ranks", "warps"},
    "weights": LEAF | {"mounts"},
    "models": LEAF | {"config", "weights"},
    "memory": LEAF | {"config", "ranks"},
    "durations": {"allocator", "config", "losses", "memory", "models", "ranks"},
    "checkpoints": LEAF | {"config", "models", "paths"},
    "training": LEAF
    | {"allocator", "batches", "checkpoints", "clock", "config", "durations", "folds", "losses", "memory", "metrics"}
    | {"models", "mounts", "orders", "paths", "progress", "ranks", "warps"},
    "rank": LEAF | {"orders", "paths", "training"},
    "probabilities": LEAF | {"ahead", "allocator", "config", "images", "memory", "models", "progress", "ranks"},
    "held_out": LEAF | {"checkpoints", "folds", "paths", "probabilities", "progress", "scratch"},
    "masks": LEAF | {"ahead", "folds", "intervals", "metrics"},
    "tables": LEAF | {"images"},
    "submission": LEAF | {"mounts", "paths", "tables"},
    "scoring": LEAF | {"masks", "paths", "samples", "submission", "tables", "trees"},
    "decoding": LEAF | {"ahead", "images", "progress", "samples", "submission", "tables", "trees"},
    "reruns": LEAF | {"checks", "images", "mounts", "probabilities", "samples", "submission", "tables"},
    "runs": LEAF | {"config", "paths"},
    "ensembles": LEAF | {"config", "held_out", "paths", "runs"},
    "grid": LEAF | {"mask_files", "fingerprints", "config", "paths", "runs", "samples"},
    "leash": {"cli"},
    "kaggle": LEAF | {"config", "paths", "progress", "runs"},
    "calibration": {"metrics"},
    "rules": LEAF | {"ahead", "intervals", "paths"},
    "uncertainty": {"probabilities", "rules"},
    "predictions": LEAF | {"ahead", "probabilities", "ranks", "rules", "uncertainty"},
    "failures": {"images", "intervals", "progress", "ahead", "summaries", "traits"},
    "report": {"calibration", "paths", "rules", "summaries", "uncertainty"},
    "__main__": {"cli"},
}
ONLY_IN = {
    "albumentations": "augmentation",
    "dask": "grid",
    "distributed": "grid",
    "matplotlib": "figures",
    "kaggle": "kaggle",
    "monai": "probabilities",
    "papermill": "runs",
    "pytorch_lightning": "training",
    "segmentation_models_pytorch": "models",
}


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")  # a package is one part of the drawing


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_arrow_of_the_drawing_goes_down(path):
    ours = {name.split(".")[1] for name in imports_of(path) if name.startswith("seglib.")} - {module_of(path)}
    assert module_of(path) == "cli" or ours <= ALLOWED[module_of(path)]


@pytest.mark.parametrize(("library", "home"), ONLY_IN.items())
def test_a_library_lives_in_one_module(library, home):
    users = {module_of(path) for path in PATHS if any(n.split(".")[0] == library for n in imports_of(path))}
    assert users == {home}


def test_the_arrows_have_no_cycle():
    seen = set()
    waiting = dict(ALLOWED)
    while waiting:
        free = {name for name, below in waiting.items() if below - {"cli"} <= seen}
        assert free, f"a cycle among {sorted(waiting)}"
        seen |= free
        waiting = {name: below for name, below in waiting.items() if name not in free}
