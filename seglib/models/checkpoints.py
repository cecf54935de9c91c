"""Checkpoint files -> networks; where the networks of a run lie."""

from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from seglib.config import Config, find_difference
from seglib.errors import InputError
from seglib.models.networks import build_model
from seglib.paths import find_runs, is_unfinished


def member_dir(output_dir: Path, fold: int) -> Path:
    """Where the network of one fold of several has its checkpoints and its history."""
    return output_dir / f"fold_{fold}"


def load_checkpoint(path: Path) -> tuple[nn.Module, Config]:
    """The network of a checkpoint, in evaluation mode and on the CPU, with the configuration it was trained by.

    Raises:
        InputError: if the file is missing or is not a checkpoint of ours.
    """
    weights, config = _read(path)
    network = build_model(config, pretrained=False)
    network.load_state_dict({name.removeprefix("network."): value for name, value in weights.items()})
    return network.eval().to(memory_format=torch.channels_last), config


def refuse_other_run(output_dir: Path, config: Config) -> None:
    """Refuse to train where there are networks of another run: prediction would take some of the one or of the other.

    Args:
        output_dir: the folder of a run.
        config: the numbers of the run that is to be trained there.

    Raises:
        InputError: if there is such a network.
    """
    best = Path("checkpoints", "best.ckpt")
    for path in (folder / best for folder in (output_dir, *_list_members(output_dir))):
        if not path.is_file():
            continue
        _, theirs = _read(path)
        ours = replace(config, fold=theirs.fold) if config.folds == theirs.folds > 1 else config
        refuse_difference(output_dir, ours, theirs)


def refuse_difference(output_dir: Path, config: Config, theirs: Config) -> None:
    """Refuse a run whose numbers are not those that its folder holds networks of: the result would be neither run.

    Args:
        output_dir: the folder, for the message.
        config: the numbers of the run.
        theirs: those of a network in the folder.

    Raises:
        InputError: naming the first number that differs, as `config.find_difference`.
    """
    if name := find_difference(config, theirs):
        raise InputError(
            f"{output_dir} holds a run with {name}={getattr(theirs, name)}, not {getattr(config, name)}; "
            "choose another output folder, or delete that one"
        )


def _read(path: Path) -> tuple[dict[str, Any], Config]:
    """The weights of a checkpoint, and the configuration they were trained by."""
    if not path.is_file():
        raise InputError(f"there is no checkpoint {path}; run 02_training first")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        return checkpoint["state_dict"], Config(**checkpoint["hyper_parameters"]["config"])
    except (LookupError, TypeError, RuntimeError, EOFError, ValueError, UnpicklingError) as error:
        raise InputError(f"{path} is not a checkpoint of seglib ({type(error).__name__}); train again") from None


def load_members(output_dir: Path) -> list[tuple[nn.Module, Config]]:
    """The networks of a run with their configurations: one, one for each of its folds, or those of an ensemble's runs.

    Raises:
        InputError: if one of them is missing, or is not a checkpoint of ours.
    """
    runs = find_runs(output_dir)
    if runs == [output_dir]:
        return _load_run(output_dir)
    return [member for run in runs for member in load_members(run)]


def _load_run(output_dir: Path) -> list[tuple[nn.Module, Config]]:
    whole = Path("checkpoints", "best.ckpt")
    paths = [part / whole for part in _list_members(output_dir) if (part / whole).exists()] or [output_dir / whole]
    members = [load_checkpoint(path) for path in paths]
    if len(members) != (expected := members[0][1].folds):
        why, cure = "", "run 02_training to train the others"
        if is_unfinished(output_dir):
            why, cure = ", as max_hours left no time for the others", "run the same again to go on"
        raise InputError(f"{output_dir} holds {len(members)} of {expected} folds{why}; {cure}")
    return members


def _list_members(output_dir: Path) -> list[Path]:
    """The folders of folds, by their numbers; not what somebody keeps beside them, such as ``fold_0 (copy)``."""
    numbers = {path.name.removeprefix("fold_") for path in output_dir.glob("fold_*")}
    return [member_dir(output_dir, number) for number in sorted(int(one) for one in numbers if one.isdecimal())]
