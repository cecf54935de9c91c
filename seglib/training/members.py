"""Samples and folds -> a trained network of every fold, by one process or several, in the memory there is."""

import dataclasses
import gc
from pathlib import Path

import pandas as pd
import torch

from seglib.batches.loaders import EpochLoader, make_loaders
from seglib.config import Config
from seglib.data.folds import split_samples
from seglib.errors import InputError, MemoryShortageError
from seglib.machine.clock import is_time_up
from seglib.machine.memory import describe_division, divide_further, is_out_of_memory, refuse_single_images
from seglib.machine.mounts import is_hidden_rerun
from seglib.machine.ranks import any_rank, count_devices, find_rank, share_batch
from seglib.models.checkpoints import member_dir, refuse_other_run
from seglib.models.networks import build_model, refuse_sizes
from seglib.paths import mark_unfinished
from seglib.training.orders import Order, is_leading, start_ranks
from seglib.writing import write_text


def fit_members(
    samples: pd.DataFrame, folds: pd.DataFrame, config: Config, output_dir: Path, cache_dir: Path
) -> pd.DataFrame:
    """Train the network of every fold, or go on with what an interrupted run of the same folder left to do.

    Where several processes are to share the batches (``ranks.count_devices``), they are started, and this one waits.
    In a script that torchrun or SLURM's srun starts several times, its processes share them instead; and where it is
    ``seglib run`` that they start, the notebook of the first one leads the others.

    Args:
        samples: table with ``sample_id``, ``image_path`` and ``mask_path``.
        folds: of ``folds.read_folds``.
        config: with ``folds`` 1, one network is trained, in ``output_dir`` itself; with more, one for each fold, in
            folders of their own (``member_dir``).
        output_dir: the folder of the run.
        cache_dir: where decoded images are kept.

    Returns:
        The history, also left in ``history.csv``; with ``folds`` above 1 its first column is ``fold``.

    Raises:
        InputError: as ``fit`` and ``refuse_other_run``, or if the processes cannot share a batch; and in a hidden rerun
            of a competition, where nothing may be trained.
        RuntimeError: if one of several processes fails.
    """
    if is_hidden_rerun():
        raise InputError("this is a hidden rerun, in which nothing is trained; submit the kernel of 05_submission")
    refuse_other_run(output_dir, config)
    found, rank, count = folds["fold"].nunique(), find_rank(), count_devices(config)
    if config.folds not in {1, found}:
        raise InputError(
            f"the samples are in {found} folds, not {config.folds}; set folds={found} in a new output folder"
        )
    if rank.count < count or is_leading():
        make_loaders(*split_samples(samples, folds, config.fold), config, cache_dir)  # the images are decoded once
        _start_ranks(Order(samples, folds, config, output_dir, cache_dir), count)
        return pd.read_csv(output_dir / "history.csv")
    if config.folds == 1:
        return fit_member(samples, folds, config, output_dir, cache_dir)
    histories = []
    if rank.index == 0:
        mark_unfinished(output_dir, unfinished=False)
    for fold in range(config.folds):
        folder = member_dir(output_dir, fold)
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        if rank.index == 0:
            print(f"fold {fold + 1}/{config.folds}", flush=True)
        history = fit_member(samples, folds, dataclasses.replace(config, fold=fold), folder, cache_dir)
        histories.append(history.assign(fold=fold)[["fold", *history]])
        if rank.index == 0:
            write_text(output_dir / "history.csv", pd.concat(histories).to_csv(index=False, float_format="%.6g"))
        left = config.folds - fold - 1
        if left and any_rank(is_time_up(config.max_hours, history["seconds"].max())):
            if rank.index == 0:
                mark_unfinished(output_dir, unfinished=True)
                print("1 more fold is" if left == 1 else f"{left} more folds are", "left for another time", flush=True)
            break
    return pd.concat(histories, ignore_index=True)


def _start_ranks(order: Order, count: int) -> None:
    """Start the processes; when one runs out of memory, start all again with every batch in more parts.

    It cannot go on by itself, as the others wait for its gradients; all of them have ended when we hear of it.
    """
    asked = order.config.accumulate
    while True:
        try:
            return start_ranks(order, count)
        except MemoryShortageError:
            if asked or is_leading():  # those that somebody else started have ended and will not come back
                raise
        at_once = share_batch(order.config, count)
        order = order._replace(config=divide_further(order.config, at_once=at_once, count=count))
        then, per_step = share_batch(order.config, count), order.config.batch_size
        print(describe_division(at_once=at_once, then=then, per_step=per_step), flush=True)


def fit_member(
    samples: pd.DataFrame, folds: pd.DataFrame, config: Config, folder: Path, cache_dir: Path
) -> pd.DataFrame:
    """Train the network that holds out ``config.fold``, in ``folder``; its history.

    Where memory runs out, training goes on after the last finished epoch, with every batch in more parts.

    Raises:
        InputError: as ``fit``; if there is no room for one image; and as ``MemoryShortageError`` if there is none for
            the parts that ``config.accumulate`` asks for, or this is one of several processes.
    """
    train, val = split_samples(samples, folds, config.fold)
    rank, asked, at_once = find_rank(), config.accumulate, 0
    while True:
        loaders = make_loaders(train, val, config, cache_dir, rank)
        then = loaders[0].batch_size
        if at_once:
            per_step = min(config.batch_size, len(train))
            print(describe_division(at_once=at_once, then=then, per_step=per_step), flush=True)
        history = _fit_in_memory(loaders, config, folder)
        if history is not None:
            return history
        gc.collect()  # Lightning's loop and our module refer to each other, and keep the network
        torch.cuda.empty_cache()
        at_once, config = then, divide_further(config, at_once=then, count=rank.count)
        if asked or rank.count > 1:
            raise MemoryShortageError(f"out of memory at {at_once} images at once; set accumulate={config.accumulate}")


def _fit_in_memory(loaders: tuple[EpochLoader, EpochLoader], config: Config, folder: Path) -> pd.DataFrame | None:
    """The history; None if there was no room for it. The network begins anew, whatever half a step has done to it."""
    from seglib.training import loop  # Lightning takes seconds to import; a notebook shows its images before

    begins = not (folder / "checkpoints" / "last.ckpt").exists()  # going on, the weights come from there
    network = build_model(config, pretrained=begins)
    try:
        with refuse_single_images(), refuse_sizes(config):
            return loop.fit(network, *loaders, config, folder)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
