"""How long the cells of a notebook take that only import."""

import ast
import importlib
import json
import time
from importlib.util import find_spec
from pathlib import Path

from contenders.job import Job

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def seglib_modules(job: Job) -> dict:
    """Every module of seglib that the five notebooks import."""
    return _time(list_modules())


def torch_alone(job: Job) -> dict:
    """What all of them need in any case."""
    return _time(["torch"])


def list_modules() -> list[str]:
    """The modules of seglib that notebooks import, in their order."""
    found = {}
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                lines = [line for line in "".join(cell["source"]).splitlines() if not line.startswith("%")]
                found |= dict.fromkeys(_imports("\n".join(lines)))
    return list(found)


def _imports(source: str) -> list[str]:
    """What is imported from seglib: modules, and those of a package where it is the package that is named."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "seglib":
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            names += [name for name in inside if find_spec(node.module).submodule_search_locations and find_spec(name)]
            names += [node.module]
    return names


def _time(names: list[str]) -> dict:
    began = time.perf_counter()
    for name in names:
        importlib.import_module(name)
    return {"seconds": [time.perf_counter() - began], "images": [0]}
