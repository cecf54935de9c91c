"""seglib as its notebooks call it: ``make_loaders`` and ``loop.fit``, the cache of decoded images, and the rest."""

import seglib  # noqa: F401  # isort: skip  before torch, as in the notebooks

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from contenders.job import Job, Laps, describe_reach, now, pick_device, since_start
from contenders.network import ENCODER, WIDTHS
from seglib.batches.loaders import Batch, make_loaders
from seglib.batches.warps import augment_batch
from seglib.config import Config, make_config
from seglib.images.scales import probe_images
from seglib.machine.allocator import keep_freed_memory
from seglib.machine.ranks import ALONE
from seglib.models.networks import autocast, build_model
from seglib.prediction.probabilities import predict_probabilities

PRESETS = {name: {"preset": "baseline", "width": width} for name, width in WIDTHS.items()}
PRESETS |= {"lite2": {"preset": "best", "encoder": ENCODER}, "resnet34": {"preset": "resnet34"}}
WARM_UP = 2  # steps that are not timed


def make_settings(job: Job) -> Config:
    """The preset of the network with the size of the job; colour for all, as the others read it."""
    size = {"image_size": job.image_size, "batch_size": job.batch_size, "in_channels": 3, "white": 255}
    length = {"epochs": job.epochs, "min_steps": 0, "max_steps": 0, "stop_patience": 0, "folds": 1}
    how = {"precision": "auto", "augment": "standard" if job.augment else "none", "symmetries": 8, "tta": 1}
    how |= {"encoder_weights": "none"}
    return make_config(**PRESETS[job.network] | size | length | how)


def make_job_loaders(job: Job, folder: Path, *, workers: int = -1) -> tuple[DataLoader, DataLoader]:
    """The loaders of the job's images; ``folder`` is where the cache is; -1 worker: as many as seglib thinks best."""
    rows = [(Path(image).stem, image, mask) for image, mask in job.pairs]
    table = pd.DataFrame(rows, columns=["sample_id", "image_path", "mask_path"])
    settings = dataclasses.replace(make_settings(job), num_workers=workers)
    return make_loaders(table[: job.images], table[job.images :], settings, folder)


def train(job: Job) -> dict:
    """Epochs of ``fit`` without their validation; the first holds the building of the cache."""
    return _train(job, make_settings(job))


def train_compiled(job: Job) -> dict:
    """The same with ``compile=true``; the first epoch holds the compiling as well."""
    with _fresh_compiler(job):
        return _train(job, dataclasses.replace(make_settings(job), compile=True))


def _train(job: Job, config: Config) -> dict:
    from seglib.training.loop import fit  # not above: a first batch does not wait for it, here as in the notebook

    network = build_model(config, pretrained=False)
    with TemporaryDirectory(dir=job.scratch) as folder:
        laps = Laps()
        train_loader, val_loader = make_job_loaders(job, Path(folder) / "cache")
        _begin_epochs(laps, train_loader)
        history = fit(Timed(network, laps), train_loader, val_loader, config, Path(folder))
    waits = history["wait_share"].tolist() if "wait_share" in history else []
    return laps.result() | {"wait_share": waits}


def reach(job: Job) -> dict:
    """Train from ImageNet's weights by the preset, as ``02_training`` does, and see when it was good enough."""
    from seglib.training.loop import fit

    began = now()
    config = dataclasses.replace(make_settings(job), encoder_weights="package", seed=job.repeat)
    with TemporaryDirectory(dir=job.scratch) as folder:
        loaders = make_job_loaders(job, Path(folder) / "cache")
        network = build_model(config)
        prepared = now() - began
        history = fit(network, *loaders, config, Path(folder))
    return describe_reach(history["val_dice"].tolist(), (prepared + history["seconds"].cumsum()).tolist())


class Timed(nn.Module):
    """A network that lets an epoch end where the first batch of validation comes in.

    It stands around the network, and is not compiled with it, as a hook in it would be.
    """

    def __init__(self, network: nn.Module, laps: Laps) -> None:
        super().__init__()
        self.network, self.laps, self.seen = network, laps, 0

    @property
    def encoder(self) -> nn.Module:
        """The part that may learn at a smaller rate."""
        return self.network.encoder

    def compile(self, **how: Any) -> None:
        """Compile the network."""
        self.network.compile(**how)

    def forward(self, images: Tensor) -> Tensor:
        """What the network says."""
        if self.training:
            self.seen += len(images)
        elif self.seen:
            self.laps.end(self.seen)
            self.seen = 0
        return self.network(images)


def _begin_epochs(laps: Laps, loader: DataLoader) -> None:
    """Let an epoch begin where Lightning tells the sampler so."""
    tell_sampler = loader.sampler.set_epoch

    def set_epoch(epoch: int) -> None:
        laps.begin()
        tell_sampler(epoch)

    loader.sampler.set_epoch = set_epoch


def load(job: Job) -> dict:
    """Epochs of both loaders without a network, with as many workers as the others have."""
    with TemporaryDirectory(dir=job.scratch) as folder:
        laps = Laps()
        loaders = make_job_loaders(job, Path(folder), workers=job.workers)
        for epoch in range(job.epochs):
            laps.begin()
            loaders[0].sampler.set_epoch(epoch)
            laps.end(sum(len(_hand_over(batch)["image"]) for loader in loaders for batch in loader))
    return laps.result()


def _hand_over(batch: Batch) -> Batch:
    """What the network gets; where a GPU augments, the batch goes there and is augmented."""
    if "draws" not in batch:
        return batch
    from lightning_fabric.utilities import move_data_to_device  # not above: only a GPU's loader has to wait for it

    return augment_batch(move_data_to_device(batch, pick_device()))


def start_cold(job: Job) -> dict:
    """The way to the first batch where no cache is there yet."""
    with TemporaryDirectory(dir=job.scratch) as folder:
        return _start(job, Path(folder))


def start_warm(job: Job) -> dict:
    """The way to the first batch of a second run: the cache is there, as `fill_cache` left it."""
    return _start(job, _warm_folder(job))


def fill_cache(job: Job) -> dict:
    """Leave a cache for `start_warm`."""
    make_job_loaders(job, _warm_folder(job))
    return {}


def _warm_folder(job: Job) -> Path:
    return Path(job.scratch) / "warm"


def _start(job: Job, folder: Path) -> dict:
    probe_images([image for image, _ in job.train_pairs])  # a run has to look what its images are
    loader, _ = make_job_loaders(job, folder)
    batch = next(iter(loader))
    return {"seconds": [since_start()], "images": [len(batch["image"])]}


def step(job: Job) -> dict:
    """Steps on one batch that is ready: the ceiling of ``fit``, without Lightning and without a loader."""
    return _time_steps(job, build_model(make_settings(job), pretrained=False))


def step_compiled(job: Job) -> dict:
    """The same with ``compile=true``; ``preparation`` is what went before: the compiling, which the first steps do."""
    from seglib.training.loop import choose_compile_mode

    network = build_model(make_settings(job), pretrained=False)
    network.compile(mode=choose_compile_mode(1, ALONE))
    with _fresh_compiler(job):
        began = now()
        result = _time_steps(job, network)
    return result | {"preparation": now() - began - job.epochs * result["seconds"][0]}


@contextmanager
def _fresh_compiler(job: Job) -> Iterator[None]:
    """A cache of its own for the compiler; torch else keeps what it compiled, and later turns find it."""
    with TemporaryDirectory(dir=job.scratch) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        yield


def _time_steps(job: Job, network: nn.Module) -> dict:
    from seglib.training.segmenter import Segmenter

    keep_freed_memory()
    config, device = make_settings(job), torch.device(pick_device())
    module = Segmenter(network, config, total_steps=100).to(device).train()
    optimizer = module.configure_optimizers()["optimizer"]
    size = (job.batch_size, job.image_size, job.image_size)
    images = torch.randint(256, (size[0], 3, *size[1:]), dtype=torch.uint8, device=device)
    masks = torch.randint(2, (size[0], 1, *size[1:]), dtype=torch.uint8, device=device)

    def one_step() -> None:
        with autocast(config, device):
            loss = module.loss(module(images), masks)
        optimizer.zero_grad()
        loss.backward()
        if config.gradient_clip:
            nn.utils.clip_grad_norm_(module.parameters(), config.gradient_clip)
        optimizer.step()

    for _ in range(WARM_UP):
        one_step()
    began = now()
    for _ in range(job.epochs):
        one_step()
    return {"seconds": [(now() - began) / job.epochs], "images": [job.batch_size]}


def predict(job: Job) -> dict:
    """Files to masks at their own size, thresholded at one half, without averaging symmetries."""
    config = make_settings(job)
    member = (build_model(config, pretrained=False), config)
    paths = [image for image, _ in job.train_pairs]
    laps = Laps()
    for _ in range(job.epochs):
        laps.begin()
        masks = [np.greater(probability, 0.5) for probability in predict_probabilities([member], paths)]
        laps.end(len(masks))
    return laps.result()
