"""How long the cells of a notebook take that only import."""

import ast
import importlib
import json
import time
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
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            names += [f"seglib.{alias.name}" for alias in node.names] if node.module == "seglib" else [node.module]
    return [name for name in names if name.split(".")[0] == "seglib"]


def _time(names: list[str]) -> dict:
    began = time.perf_counter()
    for name in names:
        importlib.import_module(name)
    return {"seconds": [time.perf_counter() - began], "images": [0]}
