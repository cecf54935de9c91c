"""Pictures with their masks, and batches of them, for tests of augmentation on a CPU and on a GPU."""

import cv2
import numpy as np
import torch

SIZE = 96


def picture(channels=3, size=SIZE):
    """Smooth blobs of every colour, as a photograph has them: interpolation of noise would compare nothing."""
    noise = np.random.default_rng(0).integers(256, size=(size // 8, size // 8, channels), dtype=np.uint8)
    return cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC).reshape(size, size, channels)


def disc(size=SIZE):
    y, x = np.indices((size, size))
    return ((x - 0.4 * size) ** 2 + (y - 0.55 * size) ** 2 < (0.3 * size) ** 2).astype(np.uint8)


def tensors(images, masks):
    image = torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy())
    return {"image": image, "mask": torch.from_numpy(np.stack(masks)[:, None])}
