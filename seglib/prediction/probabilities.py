"""Checkpoints and images -> probability maps at the size of the files."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  the field's name for it

from seglib.config import Config
from seglib.errors import InputError
from seglib.images.reading import Scale, image_size, read_resized
from seglib.machine.ahead import map_ahead
from seglib.machine.allocator import keep_freed_memory
from seglib.machine.memory import is_out_of_memory
from seglib.machine.progress import track
from seglib.machine.ranks import find_device
from seglib.models.networks import autocast, scale_images

Size = tuple[int, int]  # height, width
Member = tuple[nn.Module, Config]  # a network with the configuration it was trained by
Inputs = tuple[list[Tensor], Size]  # a file as each member wants it
Found = tuple[list[Tensor], Size]  # the map of each member at its network size
SMALLEST_TILE = 64  # pixels; smaller windows show too little of anything


def predict_probabilities(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[np.ndarray]:
    """The probability of foreground at every pixel of every file, in the order of the files.

    Each member computes its map at its own network size, averaged over the symmetries of its ``config.tta``; the maps
    are resized (bilinear) to the size of the file and averaged over the members. Whoever thresholds does so after that.
    Memory holds the networks, two batches of images and the maps of two more, however many files there are. Where it
    does not hold a batch, half of it is tried, and so on; where it does not hold one image, windows of it.

    Args:
        members: networks, images float (N, C, S, S) in [0, 1] -> logits (N, 1, S, S), each with the configuration it
            was trained by, from its checkpoint; put in evaluation mode.
        image_paths: the files.

    Yields:
        float32 (H, W) in [0, 1], one per file, H and W those of the file.

    Raises:
        InputError: if a file cannot be read.
    """
    return map(average_maps, predict_member_maps(members, image_paths))


def predict_member_maps(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[np.ndarray]:
    """The maps that ``predict_probabilities`` averages: what each member says, so that it is seen whether they agree.

    Args:
        members: as for ``predict_probabilities``.
        image_paths: the files.

    Yields:
        float32 (members, H, W) in [0, 1], one per file; ``average_maps`` makes one map of them.

    Raises:
        InputError: if a file cannot be read.
    """
    for maps, size in track(predict_maps(members, image_paths), "predicting", total=len(image_paths)):
        yield resize_maps(maps, size)


def predict_readable(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[np.ndarray | Exception]:
    """As ``predict_member_maps``, but a file that cannot be read stops nothing.

    Args:
        members: as for ``predict_probabilities``.
        image_paths: the files.

    Yields:
        float32 (members, H, W) in [0, 1], one per file; or the ``InputError`` that says why the file cannot be read, or
        the ``MemoryError`` of one that is too large.
    """
    for found in track(_predict_each(members, image_paths), "predicting", total=len(image_paths)):
        yield found if isinstance(found, Exception) else resize_maps(*found)


def predict_maps(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[Found]:
    """As ``predict_member_maps``, but not resized.

    Yields:
        For every file the map of each member at its network size, and the height and width of the file.
    """
    for found in _predict_each(members, image_paths):
        if isinstance(found, Exception):
            raise found
        yield found


def _predict_each(members: Sequence[Member], image_paths: Sequence[str]) -> Iterator[Found | Exception]:
    """As ``predict_maps``; in the place of a file that cannot be read stands why.

    Three things go on at once: files of the next chunk are decoded, the networks work on this one, and the caller uses
    the maps of the last one.
    """
    keep_freed_memory()
    configs, device, fitting = [config for _, config in members], find_device(), {}
    networks = [_Network(network, config, device, fitting) for network, config in members]
    count = max(config.batch_size for config in configs)
    with (
        ThreadPoolExecutor(os.cpu_count()) as readers,
        ThreadPoolExecutor(1, initializer=_use, initargs=[device]) as computer,
    ):
        inputs = map_ahead(readers, partial(_try_to_read, configs=configs), image_paths, ahead=count)
        chunks = iter(lambda: list(islice(inputs, count)), [])
        for found in map_ahead(computer, partial(_compute, networks), chunks, ahead=1):
            yield from found


def _use(device: torch.device) -> None:
    """Make a GPU this thread's default, which would otherwise also take memory of the first GPU."""
    if device.type == "cuda":
        torch.cuda.set_device(device)


def _compute(networks: Sequence["_Network"], inputs: list[Inputs | Exception]) -> list[Found | Exception]:
    """The maps of a chunk of files, by all networks; an error stays where it is."""
    read = [one for one in inputs if not isinstance(one, Exception)]
    images = zip(*(images for images, _ in read), strict=True)
    maps = [network.predict(torch.stack(stack)) for network, stack in zip(networks, images, strict=bool(read))]
    found = iter(list(zip(map(list, zip(*maps, strict=True)), (size for _, size in read), strict=True)))
    return [one if isinstance(one, Exception) else next(found) for one in inputs]


class _Network:
    """A network on its device, that is given no more at once than memory holds.

    Args:
        network: as for ``predict_probabilities``.
        config: what it was trained by; with gradients memory held its ``batch_size`` images, so it holds them without.
        device: where it computes.
        fitting: of kinds of networks, the settings that memory holds, where it is less than they were trained with;
            shared by the networks of a run, so that what one found out the next one need not.
    """

    def __init__(self, network: nn.Module, config: Config, device: torch.device, fitting: dict[Config, Config]) -> None:
        self.network, self.config = network.to(device).eval(), config
        self.device, self.fitting = device, fitting
        self.kind = replace(config, fold=0, seed=0)

    def predict(self, images: Tensor) -> list[Tensor]:
        """uint8 (N, C, S, S) -> N maps (S, S) on the CPU, rounded to half precision as the kept maps are."""
        maps: list[Tensor] = []
        settings = self.fitting.get(self.kind, self.config)
        while len(maps) < len(images):
            found = self._try(images[len(maps) : len(maps) + settings.batch_size], settings)
            if found is None:
                settings = demand_less(settings)
                continue
            maps += found
            if settings != self.fitting.get(self.kind, self.config):
                print(_describe_demand(settings, self.config), flush=True)
                self.fitting[self.kind] = settings
        return maps

    def _try(self, images: Tensor, settings: Config) -> list[Tensor] | None:
        """The maps; None where memory does not hold what they need."""
        try:
            if self.device.type == "cuda":
                images = images.pin_memory()
            probability = average_symmetries(self.network, images.to(self.device, non_blocking=True), settings)
            return list(probability.half().cpu().float())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        # behind the except block: as long as there is a traceback, its frames hold what they computed
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None


def demand_less(config: Config) -> Config:
    """The settings that need the next smaller memory: half the images at once; of one image, windows.

    A window has three quarters of the side before it, and not half: the less a network sees at once, the worse it does.

    Raises:
        InputError: if the windows would be too small to tell anything.

    Example:
        >>> config = demand_less(Config(batch_size=2, image_size=320))
        >>> config.batch_size, demand_less(config).tile, demand_less(demand_less(config)).tile
        (1, 240, 176)
    """
    if config.batch_size > 1:
        return replace(config, batch_size=config.batch_size // 2)
    side = _window(config) or config.image_size
    tile = 3 * side // 4 // config.multiple * config.multiple
    if tile < SMALLEST_TILE:
        raise InputError(f"memory does not hold windows of {side} pixels; end what else uses it, or take more memory")
    return replace(config, tile=tile)


def _describe_demand(settings: Config, asked: Config) -> str:
    if _window(settings) == _window(asked):
        count, size = settings.batch_size, settings.image_size
        return f"memory holds {count} of {asked.batch_size} images of {size} pixels; so many are predicted at once"
    return (
        f"memory does not hold one image of {asked.image_size} pixels; it is looked at in windows of {settings.tile}, "
        "which show the network less of it at once"
    )


def _window(config: Config) -> int:
    """The side of the windows that images are looked at in; 0 where they are looked at whole."""
    return config.tile if config.tile < config.image_size else 0


def _try_to_read(path: str, configs: list[Config]) -> Inputs | Exception:
    try:
        return _read_inputs(path, configs)
    except (InputError, MemoryError) as error:
        return error


def _read_inputs(path: str, configs: list[Config]) -> Inputs:
    """A file as each network wants it, uint8 (C, S, S), and its own height and width; like wants are met once."""
    inputs: dict[tuple, Tensor] = {}
    for config in configs:
        key = (config.in_channels, config.black, config.white, config.image_size)
        if key not in inputs:
            scale = Scale(config.black, config.white)
            resized = read_resized(path, config.image_size, channels=config.in_channels, scale=scale)
            inputs[key] = torch.from_numpy(np.ascontiguousarray(resized.transpose(2, 0, 1)))
    wanted = [inputs[config.in_channels, config.black, config.white, config.image_size] for config in configs]
    return wanted, image_size(path)


@torch.inference_mode()
def average_symmetries(network: nn.Module, images: Tensor, config: Config) -> Tensor:
    """Mean probability over the first ``config.tta`` symmetries of the square, each undone before averaging.

    Args:
        network: images float (N, C, S, S) in [0, 1] -> logits (N, 1, S, S).
        images: uint8 (N, C, S, S).
        config: ``tta`` is 1 (as it is), 2 (and mirrored left to right), 4 (and upside down) or 8 (and quarter turns).
            With a ``tile`` below ``image_size`` the network sees windows of that size, at most N at once.

    Returns:
        float32 (N, S, S) in [0, 1].

    Raises:
        InputError: if windows are asked for and MONAI is not installed.
    """
    total = torch.zeros(images[:, 0].shape, device=images.device)
    scaled = scale_images(images)

    def look(part: Tensor) -> Tensor:
        with autocast(config, images.device):
            logits = network(part.contiguous(memory_format=torch.channels_last))
        return logits.float().sigmoid()

    for turns, flips in symmetries(config.tta):
        turned = torch.rot90(scaled, turns, (2, 3)).flip(flips)
        probability = _look_in_windows(look, turned, _window(config)) if _window(config) else look(turned)
        total += torch.rot90(probability.flip(flips), -turns, (2, 3))[:, 0]
    return total / config.tta


def _look_in_windows(look: Callable[[Tensor], Tensor], images: Tensor, side: int) -> Tensor:
    """What is seen in windows that overlap by half; where they do, the middle of a window weighs more than its edge."""
    try:
        from monai.inferers import sliding_window_inference
    except ImportError:
        raise InputError(
            "to look at an image in windows MONAI is needed; pip install monai, or take tile=0 and more memory"
        ) from None
    return sliding_window_inference(images, side, len(images), look, overlap=0.5, mode="gaussian")


def symmetries(count: int) -> list[tuple[int, tuple[int, ...]]]:
    """Quarter turns and flipped axes of the first 1, 2, 4 or 8 symmetries of the square.

    Each is applied as turn, then flips; undone as the same flips, then the turn backwards.

    Example:
        >>> symmetries(2)
        [(0, ()), (0, (3,))]
    """
    mirrors: list[tuple[int, ...]] = [(), (3,), (2,), (2, 3)]
    return [(turns, flips) for turns in (0, 1) for flips in mirrors][:count]


def resize_maps(maps: Sequence[Tensor], size: Size) -> np.ndarray:
    """Maps (S, S) at another size, float32 (maps, H, W): bilinear, so still in [0, 1]."""
    resized = [F.interpolate(map_[None, None], size=tuple(size), mode="bilinear", align_corners=False) for map_ in maps]
    return torch.cat(resized)[:, 0].numpy()


def average_maps(maps: np.ndarray) -> np.ndarray:
    """The mean of maps (maps, H, W): float32 (H, W). Probabilities are averaged, and not logits."""
    return torch.from_numpy(maps).mean(dim=0).numpy()
