"""MONAI as its guide to fast training teaches it.

A CacheDataset runs the transforms that draw nothing (reading, scaling, resizing) once and keeps their tensors in
memory; only those that draw run in every epoch. A ThreadDataLoader prepares the next batch in a thread, without worker
processes, while the network works on this one. The guide also turns off the tracking of metadata, and computes in mixed
precision on a GPU.

Flips, quarter turns and the affine step are MONAI's own. It has no hue and saturation, and its elastic, brightness and
contrast draw other things than ours, so for these three the albumentations of all others are a step of its Compose:
equal work. They need their images on the CPU, so on a GPU the cache is not kept there as in the guide, and worker
processes share the drawing as they do for the others.
"""

import math

import albumentations as A  # noqa: N812
import numpy as np
import torch
from monai.data import CacheDataset, PILReader, ThreadDataLoader
from monai.losses import DiceCELoss
from monai.transforms import (
    AsDiscreted,
    Compose,
    EnsureChannelFirstd,
    EnsureTyped,
    LoadImaged,
    RandAffined,
    RandFlipd,
    RandRotate90d,
    Resized,
    ScaleIntensityRanged,
)
from PIL import Image

from contenders.augmentation import ROTATE, SCALE, SHEAR, SHIFT, warp_and_colour
from contenders.job import Job, Laps, pick_device, since_start
from contenders.network import make_network

BOTH = ("image", "mask")


def read_and_resize(job: Job) -> list:
    """What is done once for every file: image float (3, S, S) in [0, 1], mask float (1, S, S) in {0, 1}."""
    return [
        LoadImaged("image", reader=PILReader(converter=_to_colour)),
        LoadImaged("mask", reader=PILReader(converter=_to_gray)),
        EnsureChannelFirstd("image", channel_dim=-1),
        EnsureChannelFirstd("mask", channel_dim="no_channel"),
        ScaleIntensityRanged("image", 0, 255, 0, 1),
        AsDiscreted("mask", threshold=127),
        Resized(BOTH, (job.image_size, job.image_size), mode=("area", "nearest")),
        EnsureTyped(BOTH, track_meta=False),
    ]


def draw_anew(job: Job) -> list:
    """What is drawn for every image in every epoch."""
    affine = {
        "rotate_range": math.radians(ROTATE[1]),
        "shear_range": (math.radians(SHEAR[1]),) * 2,
        "translate_range": (SHIFT[1] * job.image_size,) * 2,
        "scale_range": (SCALE[1] - 1,) * 2,
    }
    flips = [RandFlipd(BOTH, prob=0.5, spatial_axis=axis) for axis in (0, 1)]
    bend = RandAffined(BOTH, prob=0.7, **affine, mode=("bilinear", "nearest"), padding_mode="reflection")
    return [*flips, RandRotate90d(BOTH, prob=0.5), bend, WarpAndColour()]


class WarpAndColour:
    """The steps that MONAI has not, by albumentations."""

    def __init__(self) -> None:
        self.transform = A.Compose(warp_and_colour())

    def __call__(self, sample: dict) -> dict:
        """Tensors in, tensors out."""
        image = np.ascontiguousarray(sample["image"].numpy().transpose(1, 2, 0))
        changed = self.transform(image=image, mask=sample["mask"][0].numpy())
        image = np.ascontiguousarray(changed["image"].transpose(2, 0, 1))
        return {"image": torch.from_numpy(image), "mask": torch.from_numpy(changed["mask"])[None]}


def _to_colour(image: Image.Image) -> Image.Image:
    return image.convert("RGB")


def _to_gray(image: Image.Image) -> Image.Image:
    return image.convert("L")


def make_loader(job: Job) -> ThreadDataLoader:
    """Fills the cache, with as many threads as there are cores, and then hands out shuffled batches."""
    files = [dict(zip(BOTH, pair, strict=True)) for pair in job.train_pairs]
    steps = read_and_resize(job) + (draw_anew(job) if job.augment else [])
    data = CacheDataset(
        files, Compose(steps), cache_rate=1.0, num_workers=job.threads, copy_cache=False, progress=False
    )
    workers = job.workers if torch.cuda.is_available() else 0
    return ThreadDataLoader(data, batch_size=job.batch_size, shuffle=True, num_workers=workers)


def train(job: Job) -> dict:
    """Epochs of training; the first holds the filling of the cache."""
    device = pick_device()
    network = make_network(job.network).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    loss_function, scaler = DiceCELoss(sigmoid=True), torch.amp.GradScaler(device, enabled=device == "cuda")
    laps = Laps()
    loader = make_loader(job)
    for _ in range(job.epochs):
        laps.begin()
        seen = 0
        for batch in loader:
            images, masks = batch["image"].to(device), batch["mask"].to(device)
            optimizer.zero_grad()
            with torch.autocast(device, enabled=device == "cuda"):
                loss = loss_function(network(images), masks)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            seen += len(images)
        laps.end(seen)
    return laps.result()


def load(job: Job) -> dict:
    """Epochs of the loader without a network, over all images."""
    laps = Laps()
    loader = make_loader(job.train_on_all())
    for _ in range(job.epochs):
        laps.begin()
        laps.end(sum(len(batch["image"]) for batch in loader))
    return laps.result()


def start(job: Job) -> dict:
    """The way to the first batch: imports, cache, loader."""
    batch = next(iter(make_loader(job)))
    return {"seconds": [since_start()], "images": [len(batch["image"])]}
