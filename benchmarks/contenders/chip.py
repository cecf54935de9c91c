"""What the chip could do at most: what a step has to multiply, and how fast the chip multiplies at its best."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from contenders.job import Job, now, pick_device
from contenders.network import make_network

SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices
PRODUCTS = 5


def measure(job: Job) -> dict:
    """Operations of an image's forward and backward pass, and the most that a large matrix product does in a second.

    The product is in float32 on a CPU and in bfloat16 on a GPU, where that is what its units are made for. A step that
    computes in bfloat16 on a CPU with units for it can be quicker than this limit.
    """
    device = pick_device()
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    flops = count_flops(job.network, job.image_size)
    return {"flops_per_image": flops, "peak": measure_peak(device, dtype), "peak_dtype": str(dtype)}


def count_flops(network: str, size: int) -> int:
    """Multiplications and additions of one image, forward and backward, in convolutions and matrix products.

    The way back is taken to cost twice the way there, for the gradients of what comes in and of the weights. Where
    channels are convolved apart, as all along an EfficientNet, torch's own count of it is that of a full convolution.
    """
    model = make_network(network)
    images = torch.zeros(2, 3, size, size)  # two, as batch statistics of one value are refused
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    return 3 * counter.get_total_flops() // len(images)


def measure_peak(device: str, dtype: torch.dtype) -> float:
    """Operations in a second: the best of a few products of square matrices, the first of them to warm up."""
    side = SIDE[device]
    first, second = (torch.rand(side, side, device=device, dtype=dtype) for _ in range(2))
    seconds = []
    for _ in range(PRODUCTS):
        began = now()
        first @ second
        seconds.append(now() - began)
    return 2 * side**3 / min(seconds[1:])
