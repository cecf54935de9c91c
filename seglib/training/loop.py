"""A network and its loaders -> checkpoints and a history; Lightning runs the loop."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytorch_lightning as pl
import torch
from torch import nn

from seglib.batches.loaders import EpochLoader
from seglib.config import Config
from seglib.errors import InputError
from seglib.machine.allocator import give_back_memory, keep_freed_memory
from seglib.machine.memory import is_out_of_memory
from seglib.machine.ranks import ALONE, Rank, find_rank
from seglib.models.checkpoints import load_checkpoint, refuse_difference
from seglib.models.networks import choose_precision
from seglib.training.callbacks import make_callbacks
from seglib.training.durations import planned_epochs
from seglib.training.segmenter import Segmenter
from seglib.training.waiting import WaitMeter
from seglib.training.whole import WholeCheckpoints
from seglib.writing import remove_parts

PRECISION_NAMES = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}  # ours -> Lightning's


def fit(
    network: nn.Module, train_loader: EpochLoader, val_loader: EpochLoader, config: Config, output_dir: Path
) -> pd.DataFrame:
    """Train, or go on where an interrupted run of the same folder stopped.

    Leaves ``history.csv`` (a row as soon as its epoch ends), ``checkpoints/best.ckpt`` (weights and config of the best
    epoch by ``config.monitor``) and ``checkpoints/last.ckpt`` (all that is needed to go on) in ``output_dir``.

    Args:
        network: float images (N, C, H, W) in [0, 1] -> logits (N, 1, H, W).
        train_loader: batches of ``seglib.batches.loaders``, in ``config.parts`` parts each.
        val_loader: the same, unshuffled and unaugmented.
        config: the numbers.
        output_dir: the folder of the run.

    Returns:
        The history, one row an epoch; read from the file.

    Raises:
        InputError: if the loss is no longer finite, or the folder holds a run with other numbers.
    """
    keep_freed_memory()
    gc.collect()  # of an earlier fold: Lightning's loop and its module refer to each other
    give_back_memory()  # else a worker, forked below, holds on to it, and whatever is written there is copied first
    last, rank = output_dir / "checkpoints" / "last.ckpt", find_rank()
    parts = min(config.parts, len(train_loader))  # fewer where all the images are fewer than a batch
    steps = len(train_loader) // parts
    if last.exists():
        refuse_difference(output_dir, config, load_checkpoint(last)[1])
    if rank.index == 0:
        remove_parts(last.parent, "*.ckpt")
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
        **_spread(rank, config),
        precision=PRECISION_NAMES[choose_precision(config.precision)],
        gradient_clip_val=config.gradient_clip or None,
        callbacks=make_callbacks(config, output_dir, rank, meter),
        profiler=meter,
        plugins=[WholeCheckpoints()],
        enable_progress_bar=False,  # EpochBar is ours: one bar per epoch, and silence in a log
        logger=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=output_dir,
    )
    mode = choose_compile_mode(parts, rank) if config.compile else None
    if config.compile:
        network.compile(mode=mode)  # in place: checkpoints know nothing of it
    with _plain_interrupts(), _plain_compile_errors(), _forget_graphs(mode):
        trainer.fit(module, train_loader, val_loader, ckpt_path=last if last.exists() else None, weights_only=True)
    return pd.read_csv(output_dir / "history.csv")


def choose_compile_mode(parts: int, rank: Rank) -> str | None:
    """What ``torch.compile`` is asked for: on a GPU to launch all kernels of a pass at once, as a CUDA graph.

    What a graph computes lies where its next run writes; so there is none where gradients are kept from one part of a
    batch to the next, or exchanged between processes.
    """
    return "reduce-overhead" if torch.cuda.is_available() and parts == 1 and rank == ALONE else None


@contextmanager
def _forget_graphs(mode: str | None) -> Iterator[None]:
    """Drop CUDA graphs at the end: they hold memory, and read weights at addresses that the next fold may use."""
    try:
        yield
    finally:
        if mode is not None:
            torch.compiler.reset()


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
