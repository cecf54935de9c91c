"""Samples, folds and numbers -> trained networks; Lightning runs the loop."""

import dataclasses
import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader

from seglib.allocator import keep_freed_memory
from seglib.batches import make_loaders
from seglib.checkpoints import load_checkpoint, member_dir
from seglib.clock import is_time_up
from seglib.config import Config, find_difference
from seglib.durations import planned_epochs
from seglib.errors import InputError, MemoryShortageError
from seglib.folds import split_samples
from seglib.memory import describe_division, divide_further, is_out_of_memory
from seglib.models import build_model, choose_precision
from seglib.mounts import is_hidden_rerun
from seglib.paths import write_text
from seglib.ranks import Order, Rank, any_rank, count_devices, find_rank, is_leading, share_batch, start_ranks
from seglib.training.callbacks import make_callbacks
from seglib.training.segmenter import Segmenter
from seglib.training.waiting import WaitMeter

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", ".*IProgress not found.*")  # in a notebook it asks for widgets we do not use
    import pytorch_lightning as pl

PRECISION_NAMES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # ours -> Lightning's


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
        InputError: as ``fit``, or if the processes cannot share a batch; and in a hidden rerun of a competition, where
            nothing may be trained.
        RuntimeError: if one of several processes fails.
    """
    if is_hidden_rerun():
        raise InputError("this is a hidden rerun, in which nothing is trained; submit the kernel of 05_submission")
    found, rank, count = folds["fold"].nunique(), find_rank(), count_devices(config)
    if config.folds not in {1, found}:
        raise InputError(f"the samples are in {found} folds, not {config.folds}; set folds={found}, or start a new run")
    if rank.count < count or is_leading():
        make_loaders(*split_samples(samples, folds, config.fold), config, cache_dir)  # the images are decoded once
        _start_ranks(Order(samples, folds, config, output_dir, cache_dir), count)
        return pd.read_csv(output_dir / "history.csv")
    if config.folds == 1:
        return fit_member(samples, folds, config, output_dir, cache_dir)
    histories = []
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
                print(f"{left} more folds are left for another time", flush=True)
            break
    return pd.concat(histories, ignore_index=True)


def _start_ranks(order: Order, count: int) -> None:
    """Start the processes, and again with every batch in more parts when one of them runs out of memory.

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


def _fit_in_memory(loaders: tuple[DataLoader, DataLoader], config: Config, folder: Path) -> pd.DataFrame | None:
    """The history; None if there was no room for it. The network begins anew, whatever half a step has done to it."""
    begins = not (folder / "checkpoints" / "last.ckpt").exists()  # going on, the weights come from there
    network = build_model(config, pretrained=begins)
    try:
        return fit(network, *loaders, config, folder)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def fit(
    network: nn.Module, train_loader: DataLoader, val_loader: DataLoader, config: Config, output_dir: Path
) -> pd.DataFrame:
    """Train, or go on where an interrupted run of the same folder stopped.

    Leaves ``history.csv`` (a row as soon as its epoch ends), ``checkpoints/best.ckpt`` (weights and config of the best
    epoch by ``config.monitor``) and ``checkpoints/last.ckpt`` (all that is needed to go on) in ``output_dir``.

    Args:
        network: float images (N, C, H, W) in [0, 1] -> logits (N, 1, H, W).
        train_loader: batches of ``seglib.batches``, in ``config.parts`` parts each.
        val_loader: the same, unshuffled and unaugmented.
        config: the numbers.
        output_dir: the folder of the run.

    Returns:
        The history, one row an epoch; read from the file.

    Raises:
        InputError: if the loss is no longer finite, or the folder holds a run with other numbers.
    """
    keep_freed_memory()
    last = output_dir / "checkpoints" / "last.ckpt"
    parts = min(config.parts, len(train_loader))  # fewer where all the images are fewer than a batch
    steps = len(train_loader) // parts
    if last.exists():
        _check_same_numbers(last, config)
    epochs = planned_epochs(config, steps)
    steps_per_epoch = min(steps, config.max_steps or steps)
    part_images = len(train_loader.sampler) / len(train_loader) if parts > 1 else None
    module = Segmenter(network, config, total_steps=epochs * steps_per_epoch, part_images=part_images)
    _quiet_lightning()
    pl.seed_everything(config.member_seed, verbose=False)
    meter = WaitMeter()
    trainer = pl.Trainer(
        max_epochs=epochs,
        limit_train_batches=steps_per_epoch * parts,
        accumulate_grad_batches=parts,
        **_spread(find_rank(), config),
        precision=PRECISION_NAMES[choose_precision(config.precision)],
        gradient_clip_val=config.gradient_clip or None,
        callbacks=make_callbacks(config, output_dir, find_rank(), meter),
        profiler=meter,
        enable_progress_bar=False,  # EpochBar is ours: one bar per epoch, and silence in a log
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=output_dir,
    )
    if config.compile:
        network.compile()  # in place: checkpoints know nothing of it
    with _plain_interrupts(), _plain_compile_errors():
        trainer.fit(module, train_loader, val_loader, ckpt_path=last if last.exists() else None, weights_only=True)
    return pd.read_csv(output_dir / "history.csv")


def _spread(rank: Rank, config: Config) -> dict[str, Any]:
    """What Lightning has to know about the processes: torchrun or SLURM started them, and our samplers share for it.

    Many networks of smp carry weights that nothing flows through, such as the head of an EfficientNet; the processes
    would wait for the gradients of those unless told to look for them, which costs a little in every step.
    """
    if rank.count == 1:
        return {"accelerator": "auto", "devices": 1}
    gpu = torch.cuda.is_available()
    return {
        "accelerator": "gpu" if gpu else "cpu",
        "devices": rank.neighbours,
        "num_nodes": rank.nodes,
        "strategy": "ddp" if config.architecture == "plain" else "ddp_find_unused_parameters_true",
        "use_distributed_sampler": False,
        "sync_batchnorm": gpu,  # torch has it for GPUs only: on a CPU each process norms by its own part of a batch
    }


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Lightning answers an interrupt by leaving the process; in a notebook that would look like an error of ours."""
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt("training was stopped; run the same again to go on after the last epoch") from stop


@contextmanager
def _plain_compile_errors() -> Iterator[None]:
    """The compiler starts with the first batch, and says on many lines what it lacks."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")) or is_out_of_memory(error):
            raise
        if "InvalidCxxCompiler" in text:
            raise InputError(
                "compile=true needs a C++ compiler, and none was found; install one, such as g++, or set compile=false"
            ) from None
        raise InputError(f"compile=true failed ({text.strip().splitlines()[0]}); set compile=false") from error


def _check_same_numbers(last: Path, config: Config) -> None:
    """Going on with other numbers would be neither the old run nor a new one."""
    _, theirs = load_checkpoint(last)
    if name := find_difference(config, theirs):
        raise InputError(
            f"{last.parents[1]} holds a run with {name}={getattr(theirs, name)}, not {getattr(config, name)}; "
            "choose another output folder, or delete that one"
        )


def _quiet_lightning() -> None:
    """Keep hints for developers of Lightning out of the notebooks."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    for about in (
        "does not have many workers",
        "exists and is not empty",
        "number of training batches",
        "treespec",
        "sync_dist",
    ):
        warnings.filterwarnings("ignore", f".*{about}.*")
