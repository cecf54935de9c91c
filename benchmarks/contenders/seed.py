"""The way of the seed project: everything is decoded and augmented once, in memory, before training.

It is the quickest to write and its epochs wait for no file. Its price: the network sees the very same copies in every
epoch, memory grows with the data set, and nothing begins before everything is ready. That time is reported apart.
"""

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812  the field's name for it
from torch.utils.data import DataLoader, TensorDataset

from contenders.augmentation import turn_and_bend, warp_and_colour
from contenders.job import Job, Laps, now, pick_device
from contenders.network import make_network


def prepare(job: Job) -> TensorDataset:
    """All images, float (N, 3, S, S) in [0, 1], and masks, each augmented once."""
    augment = A.Compose([*turn_and_bend(), *warp_and_colour()] if job.augment else [])
    size, images, masks = (job.image_size, job.image_size), [], []
    for image_path, mask_path in job.train_pairs:
        image = cv2.resize(cv2.cvtColor(cv2.imread(image_path), cv2.COLOR_BGR2RGB), size, interpolation=cv2.INTER_AREA)
        mask = cv2.resize(cv2.imread(mask_path, cv2.IMREAD_GRAYSCALE), size, interpolation=cv2.INTER_NEAREST)
        changed = augment(image=image, mask=(mask > 127).astype(np.float32))
        images.append(changed["image"].astype(np.float32).transpose(2, 0, 1) / 255)
        masks.append(changed["mask"][None])
    return TensorDataset(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks)))


def make_loader(job: Job) -> DataLoader:
    """Shuffled batches of what is in memory."""
    return DataLoader(prepare(job), batch_size=job.batch_size, shuffle=True)


def dice_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """1 - Dice, pooled over the batch, with 1 added above and below."""
    probability = logits.sigmoid()
    return 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)


def train(job: Job) -> dict:
    """Epochs of training; ``preparation`` is the time before the first."""
    device = pick_device()
    network = make_network(job.network).to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    began = now()
    loader = make_loader(job)
    preparation, laps = now() - began, Laps()
    for _ in range(job.epochs):
        laps.begin()
        seen, total = 0, 0.0
        for images, masks in loader:
            images, masks = images.to(device), masks.to(device)
            optimizer.zero_grad()
            logits = network(images)
            loss = F.binary_cross_entropy_with_logits(logits, masks) + dice_loss(logits, masks)
            loss.backward()
            optimizer.step()
            total += loss.item()  # for the bar; a GPU stands still until the number has arrived
            seen += len(images)
        laps.end(seen)
    return laps.result() | {"preparation": preparation}
