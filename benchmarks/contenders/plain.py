"""Plain PyTorch with smp, as the tutorials of both teach it.

A Dataset opens, resizes and augments a file whenever it is asked for it, and a DataLoader has as many worker processes
as there are cores to hide that behind the network. It is the way of most notebooks: ten lines, nothing to keep in step
with the files, and any augmentation can be put in. Its price is that every file is decoded anew in every epoch.
"""

import albumentations as A  # noqa: N812
import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from albumentations.pytorch import ToTensorV2
from torch.utils.data import DataLoader, Dataset

from contenders.augmentation import turn_and_bend, warp_and_colour
from contenders.job import ENOUGH, Job, Laps, describe_reach, now, pick_device, since_start
from contenders.network import make_network

WARM_UP = 2  # steps that are not timed
PATIENCE = 3  # times as many epochs as those whose rate follows a plan for their number


class FileDataset(Dataset):
    """Image and mask files; every one is decoded whenever it is asked for."""

    def __init__(self, pairs: list[tuple[str, str]], transform: A.Compose) -> None:
        self.pairs = pairs
        self.transform = transform

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Image float (3, S, S) and mask float (1, S, S)."""
        image_path, mask_path = self.pairs[index]
        image = cv2.cvtColor(cv2.imread(image_path), cv2.COLOR_BGR2RGB)
        mask = (cv2.imread(mask_path, cv2.IMREAD_GRAYSCALE) > 127).astype(np.float32)
        changed = self.transform(image=image, mask=mask)
        return changed["image"], changed["mask"][None]


def make_transform(job: Job, *, augment: bool) -> A.Compose:
    """Resize, augment, subtract ImageNet's mean and divide by its deviation, make a tensor."""
    steps = [*turn_and_bend(), *warp_and_colour()] if augment else []
    return A.Compose([A.Resize(job.image_size, job.image_size), *steps, A.Normalize(), ToTensorV2()])


def make_loader(job: Job) -> DataLoader:
    """Shuffled batches; the workers are started anew for every epoch, which is the DataLoader's default."""
    data = FileDataset(job.train_pairs, make_transform(job, augment=job.augment))
    pin = torch.cuda.is_available()
    return DataLoader(data, batch_size=job.batch_size, shuffle=True, num_workers=job.workers, pin_memory=pin)


class Trainer:
    """A network with its optimizer and its two losses."""

    def __init__(self, job: Job, *, pretrained: bool = False) -> None:
        self.device = pick_device()
        self.network = make_network(job.network, pretrained=pretrained).to(self.device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.dice, self.bce = smp.losses.DiceLoss("binary"), torch.nn.BCEWithLogitsLoss()

    def step(self, images: torch.Tensor, masks: torch.Tensor) -> None:
        """Forward, backward, Adam."""
        images, masks = images.to(self.device), masks.to(self.device)
        logits = self.network(images)
        loss = self.bce(logits, masks) + self.dice(logits, masks)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    @torch.no_grad()
    def evaluate(self, loader: DataLoader) -> float:
        """The mean over images of the Dice at one half; that of an empty mask is not asked for here."""
        self.network.eval()
        scores = []
        for images, masks in loader:
            preds, masks = self.network(images.to(self.device)) > 0, masks.to(self.device) > 0
            both, sizes = (preds & masks).sum((1, 2, 3)), preds.sum((1, 2, 3)) + masks.sum((1, 2, 3))
            scores += (2 * both / sizes.clamp(min=1)).tolist()
        self.network.train()
        return sum(scores) / len(scores)


def train(job: Job) -> dict:
    """Epochs of training."""
    trainer, laps = Trainer(job), Laps()
    loader = make_loader(job)
    for _ in range(job.epochs):
        laps.begin()
        seen = 0
        for images, masks in loader:
            trainer.step(images, masks)
            seen += len(images)
        laps.end(seen)
    return laps.result()


def reach(job: Job) -> dict:
    """Train from ImageNet's weights, look at the held-out images after each epoch, stop when they are good enough."""
    torch.manual_seed(job.repeat)
    began, dice, seconds = now(), [], []
    trainer, loader, transform = Trainer(job, pretrained=True), make_loader(job), make_transform(job, augment=False)
    held_out = DataLoader(FileDataset(job.val_pairs, transform), batch_size=job.batch_size, num_workers=job.workers)
    while len(dice) < PATIENCE * job.epochs and not any(score >= ENOUGH for score in dice):
        for images, masks in loader:
            trainer.step(images, masks)
        dice.append(trainer.evaluate(held_out))
        seconds.append(now() - began)
    return describe_reach(dice, seconds)


def load(job: Job) -> dict:
    """Epochs of the loader without a network, over all images."""
    laps = Laps()
    loader = make_loader(job.train_on_all())
    for _ in range(job.epochs):
        laps.begin()
        laps.end(sum(len(images) for images, _ in loader))
    return laps.result()


def start(job: Job) -> dict:
    """The way to the first batch: imports, loader."""
    images, _ = next(iter(make_loader(job)))
    return {"seconds": [since_start()], "images": [len(images)]}


def step(job: Job) -> dict:
    """Steps on one batch that is ready: what the loop could do at best."""
    trainer, shape = Trainer(job), (job.image_size, job.image_size)
    images = torch.rand(job.batch_size, 3, *shape, device=trainer.device)
    masks = torch.rand(job.batch_size, 1, *shape, device=trainer.device).round()
    for _ in range(WARM_UP):
        trainer.step(images, masks)
    began = now()
    for _ in range(job.epochs):
        trainer.step(images, masks)
    return {"seconds": [(now() - began) / job.epochs], "images": [job.batch_size]}


@torch.no_grad()
def predict(job: Job) -> dict:
    """Files to masks at their own size, one at a time, as they differ in size."""
    device = pick_device()
    network = make_network(job.network).to(device).eval()
    transform = A.Compose([A.Resize(job.image_size, job.image_size), A.Normalize(), ToTensorV2()])
    laps = Laps()
    for _ in range(job.epochs):
        laps.begin()
        masks = []
        for path, _ in job.train_pairs:
            image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
            batch = transform(image=image)["image"][None].to(device)
            probability = network(batch).sigmoid()[0, 0].cpu().numpy()
            masks.append(cv2.resize(probability, image.shape[1::-1]) > 0.5)
        laps.end(len(masks))
    return laps.result()
