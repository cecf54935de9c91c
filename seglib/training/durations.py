"""How long training will last, said before it starts."""

import math
import time

import torch
from torch import nn

from seglib.config import Config, parse_loss
from seglib.errors import InputError
from seglib.machine.allocator import give_back_memory, keep_freed_memory
from seglib.machine.memory import is_out_of_memory, refuse_single_images
from seglib.machine.ranks import count_devices
from seglib.models.networks import autocast, refuse_sizes, scale_images
from seglib.training.losses import combine_losses

LONG_RUN_SECONDS = 3600  # a run expected to last longer names its cure
WORTH_REPEATING = 20  # seconds per image: measuring a slower network twice would keep its user waiting for nothing


def planned_epochs(config: Config, steps_per_epoch: int) -> int:
    """``config.epochs``, raised for small data sets and lowered for large ones to keep to the steps asked for.

    Example:
        >>> planned_epochs(Config(epochs=10, min_steps=150, max_steps=400), steps_per_epoch=5)
        30
    """
    epochs = max(config.epochs, math.ceil(config.min_steps / steps_per_epoch))
    return max(1, min(epochs, config.max_steps // steps_per_epoch)) if config.max_steps else epochs


def estimate_seconds(network: nn.Module, config: Config, *, train_size: int, val_size: int) -> float:
    """How long training all folds would last at most on this machine, from one small step done for real.

    GPUs that share the batches are taken to be so many times as fast as one. The optimizer is not called, so the
    network keeps its weights.

    Args:
        network: the one to be trained; it is left as it was.
        config: the numbers.
        train_size: training images of one fold.
        val_size: validation images of one fold; each costs a third of a training image.

    Raises:
        InputError: if memory has no room for a single image, or it is one that the norm of the network refuses.
    """
    per_image = _seconds_per_image(network, config)
    steps = max(1, train_size // config.batch_size)
    epochs = planned_epochs(config, steps)
    trained = min(steps, config.max_steps or steps) * min(config.batch_size, train_size)
    gpus = count_devices(config) if torch.cuda.is_available() else 1  # several processes on a CPU share its cores
    return config.folds * epochs * (trained + val_size / 3) * per_image / gpus


def _seconds_per_image(network: nn.Module, config: Config) -> float:
    """From one step; on a GPU at one size only, as it compiles kernels for every size, for seconds."""
    keep_freed_memory()  # as training will
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kept = {name: value.clone() for name, value in network.state_dict().items()}  # batch statistics would move
    network.to(device, memory_format=torch.channels_last).train()
    count, seconds = min(16, config.batch_size), 0.0
    if device.type == "cpu":  # the first step of a process can take many times that of others
        seconds = _time_few(network, config, device)
        if seconds < WORTH_REPEATING:
            seconds = _time_few(network, config, device)
    if seconds < 1:  # quick enough to be measured at a size near a batch, once to warm up and once to count
        try:
            seconds = [_time_step(network, config, count, device) for _ in range(2)][-1]
        except RuntimeError as error:
            if not is_out_of_memory(error):  # training then divides its batches, and two images tell enough
                raise
            seconds = seconds or _time_few(network, config, device)
    network.zero_grad(set_to_none=True)
    network.cpu().load_state_dict(kept)
    give_back_memory()  # it may be another process that trains
    return seconds


def _time_few(network: nn.Module, config: Config, device: torch.device) -> float:
    """Seconds per image of a step over two images, or over one where there is no room for two.

    Raises:
        InputError: if there is none for one.
    """
    for count in (2, 1):
        try:
            return _time_step(network, config, count, device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    raise InputError(f"out of memory at one image at once; lower image_size (now {config.image_size})")


def _time_step(network: nn.Module, config: Config, count: int, device: torch.device) -> float:
    """Seconds per image of one forward and backward pass over ``count`` images."""
    size = (count, config.in_channels, config.image_size, config.image_size)
    images = torch.zeros(size, dtype=torch.uint8, device=device)
    started = time.perf_counter()
    with autocast(config, device), refuse_single_images(), refuse_sizes(config):
        logits = network(scale_images(images))
    combine_losses(parse_loss(config.loss))(logits, torch.zeros_like(logits)).backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / count


def describe_duration(seconds: float) -> str:
    """What to expect, in a sentence; with the cure where it is hours.

    Example:
        >>> describe_duration(540)
        'training takes about 9 minutes on this machine'
    """
    if seconds <= LONG_RUN_SECONDS:
        minutes = round(seconds / 60)
        return f"training takes about {f'{minutes} minutes' if minutes > 1 else 'a minute'} on this machine"
    hours = math.ceil(seconds / 3600)
    return (
        f"training may take up to {hours} hours on this machine (early stopping may end it sooner); "
        "a GPU, the preset quick (PRESET=quick), or fewer epochs or a smaller image_size (--set epochs=5) is the cure"
    )
