"""Notebooks -> executed notebooks, with the manifest of their run. papermill lives here only."""

import contextlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
import papermill
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook
from traitlets.config import Config as KernelSettings

import seglib
from seglib.config import make_config
from seglib.errors import InputError, KilledError, MemoryShortageError
from seglib.paths import is_unfinished, shorten
from seglib.runs.manifests import describe_config, describe_machine, read_manifest, write_manifest
from seglib.writing import write_text, write_whole

NOTEBOOKS = ("01_eda", "02_training", "03_loss_curves", "04_evaluation", "05_submission")


def choose_notebooks(only: str | None, *, with_test: bool = True) -> list[str]:
    """The notebooks named by their numbers, in their own order.

    Args:
        only: such as "02,03"; None means all.
        with_test: whether there are test images; without them all means those that need none.

    Raises:
        InputError: if there is no such notebook.

    Example:
        >>> choose_notebooks("03,2")
        ['02_training', '03_loss_curves']
    """
    if only is None:
        return list(NOTEBOOKS) if with_test else list(NOTEBOOKS[:-1])
    numbers = {name[:2]: name for name in NOTEBOOKS}
    wanted = [word.strip().split("_")[0].zfill(2) for word in only.split(",")]
    for word in wanted:
        if word not in numbers:
            raise InputError(f"there is no notebook {word!r}; choose from {', '.join(numbers)}")
    return [name for number, name in numbers.items() if number in wanted]


def find_notebook(name: str) -> Path:
    """The file of a notebook, beside the package it belongs to.

    Raises:
        InputError: if it is not there.
    """
    path = Path(seglib.__file__).parents[1] / "notebooks" / f"{name}.ipynb"
    if not path.is_file():
        raise InputError(f"{path} is missing; run from a clone of the project, installed by pip install -e .")
    return path


def parse_settings(preset: str, words: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` words as settings of the right type, checked together with their preset.

    Raises:
        InputError: if a word has no "=", or the name or value cannot be.

    Example:
        >>> parse_settings("quick", ["epochs=3", "learning_rate=1e-4"])
        {'epochs': 3, 'learning_rate': 0.0001}
    """
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InputError(f"--set {word} has no value; write --set {word}=VALUE")
        pairs[name.strip()] = value
    config = make_config(preset, **pairs)
    return {name: getattr(config, name) for name in pairs}


def run_notebooks(
    names: Sequence[str],
    *,
    data_dir: Path,
    output_dir: Path,
    preset: str,
    settings: Mapping[str, Any],
    data_hash: str,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Run notebooks in order and keep the manifest up to date.

    Args:
        names: of ``NOTEBOOKS``.
        data_dir: the data set.
        output_dir: the folder of the run, already made; executed notebooks and ``manifest.json`` are left there.
        preset: of ``presets.PRESETS``.
        settings: fields of ``Config`` that differ from the preset.
        data_hash: of ``fingerprints.fingerprint_data``.
        say: what tells the user which notebook runs.

    Returns:
        The manifest.

    Raises:
        InputError: if a notebook stops for something the user can mend.
        RuntimeError: if a notebook fails otherwise; the message says which and where to read more.
    """
    parameters = {
        "data_dir": str(data_dir),
        "output_dir": str(output_dir),
        "preset": preset,
        "settings": dict(settings),
    }
    earlier = read_manifest(output_dir) or {}
    manifest = {**describe_machine(), "command": shlex.join(["seglib", *sys.argv[1:]]), **parameters}
    manifest |= {"data_dir": shorten(data_dir), "output_dir": shorten(output_dir)}
    manifest |= describe_config(output_dir, make_config(preset, **settings))
    manifest |= {"data_hash": data_hash, "started": _now(), "finished": None, "seconds": earlier.get("seconds", {})}
    write_manifest(output_dir, manifest)
    os.environ.pop("JPY_SESSION_NAME", None)  # a run started from a cell of JupyterLab is not watched by it
    if sys.stderr.isatty():
        os.environ["SEGLIB_WATCHED"] = "1"  # its kernels draw bars, and we pass them on
    for number, name in enumerate(names, start=1):
        say(f"[{number}/{len(names)}] {name}")
        started = time.perf_counter()
        run_notebook(name, output_dir / f"{name}.ipynb", parameters)
        manifest["seconds"][name] = round(time.perf_counter() - started, 1)
        write_manifest(output_dir, manifest)
    manifest |= describe_config(output_dir, make_config(preset, **settings))
    manifest["finished"] = None if is_unfinished(output_dir) else _now()
    write_manifest(output_dir, manifest)
    return manifest


def run_notebook(name: str, output: Path, parameters: Mapping[str, Any]) -> None:
    """Execute one notebook with those of the parameters that it declares.

    Raises:
        InputError: what the notebook raised as such.
        RuntimeError: if a cell failed; of the kind KilledError, if the kernel died or a cell was not completed.
    """
    known = papermill.inspect_notebook(str(find_notebook(name)))
    given = {key: value for key, value in parameters.items() if key in known}
    with write_whole(output, part=output.with_name(f".{output.name}")) as part:  # papermill wants the ending of it
        error = _execute(name, part, given)
    if error is None:
        return
    if error.ename in {InputError.__name__, MemoryShortageError.__name__}:  # of the kernel only the name comes
        raise InputError(error.evalue)
    raise RuntimeError(f"{name} failed in cell {error.exec_count}: {error.ename}: {error.evalue}; see {output}")


def _execute(name: str, output: Path, given: dict[str, Any]) -> papermill.PapermillExecutionError | None:
    """Execute a notebook to its end or to a cell that fails; what that cell raised, None if all are completed."""
    streams = {"stdout_file": sys.stdout, "coalesce_streams": True, "progress_bar": False}
    streams["extra_arguments"] = ["--log-level=50"]  # it is interrupted before it ends, and on a busy machine logs that
    if "SEGLIB_WATCHED" in os.environ:
        streams["stderr_file"] = sys.stderr
    source = str(find_notebook(name))
    try:
        with _own_sockets() as config:
            papermill.execute_notebook(source, str(output), given, kernel_name="python3", config=config, **streams)
        _check_completed(output)
    except papermill.PapermillExecutionError as error:
        return error
    except Exception as error:  # a dead kernel and a time-out raise types of nbclient
        raise KilledError(f"{name} did not end ({type(error).__name__}: {error}); is there enough memory?") from error
    return None


@contextlib.contextmanager
def _own_sockets() -> Iterator[KernelSettings]:
    """Settings for talking to a kernel: by sockets of this machine, so that nobody listens in, in a new folder.

    By default they lie in the working directory under one name, and two runs would talk to each other's kernel.
    """
    with tempfile.TemporaryDirectory(prefix="seglib-") as folder:
        own = {"transport": "ipc", "ip": str(Path(folder) / "kernel")} if os.name == "posix" else {}
        yield KernelSettings({"KernelManager": own})


def inject_parameters(name: str, parameters: Mapping[str, Any], path: Path) -> None:
    """Write a notebook with a cell of parameters behind its own, as papermill writes it, and nothing else changed."""
    notebook = nbformat.read(find_notebook(name), as_version=4)
    told = parameterize_notebook(load_notebook_node(str(find_notebook(name))), dict(parameters))
    (place,) = [row for row, cell in enumerate(told.cells) if "injected-parameters" in cell.metadata.get("tags", [])]
    told.cells[place].id = "injected"  # papermill's is another one each time
    notebook.cells.insert(place, told.cells[place])
    write_text(path, nbformat.writes(notebook) + "\n")


def _check_completed(path: Path) -> None:
    """Raise where a cell was not completed: papermill is silent about a kernel that leaves with exit code 0."""
    for cell in nbformat.read(path, as_version=4).cells:
        status = cell.metadata.get("papermill", {}).get("status")
        if cell.cell_type == "code" and status != "completed":
            raise RuntimeError(f"a cell was not completed but is {status}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
