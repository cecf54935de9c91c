"""Networks: our U-Net, and those of segmentation-models-pytorch behind one function."""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from seglib.config import Config, near_miss
from seglib.errors import InputError
from seglib.models.weights import load_encoder_weights

LEVELS = 5  # of the plain U-Net; each has twice the channels of the one above
PRECISION_WORDS = {"32": "float32", "bf16": "bfloat16", "16": "float16"}  # the last two mixed with float32
WIDTHS = tuple(64 * 2**level for level in range(LEVELS))  # of the seed: 64, 128, 256, 512, 1024
ENCODERS_PAGE = "https://smp.readthedocs.io/en/latest/encoders.html"
NEAREST = 3  # encoders named where one is unknown
WRONG_SIZE = ("Output size is too small", "doesn't match model", "Wrong input shape")  # say torch, timm and smp
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class UNet(nn.Module):
    """U-Net of five levels with transposed convolutions and skips by concatenation; returns logits.

    Args:
        in_channels: channels of the image.
        norm: layers after each 3x3 convolution: "none", "batch" or "instance".
        widths: channels per level, from full size down.

    Shape:
        images float (N, in_channels, H, W) with H and W divisible by ``2 ** (len(widths) - 1)`` -> logits (N, 1, H, W).

    Source:
        Ronneberger et al. 2015, https://arxiv.org/abs/1505.04597, with padded convolutions.
    """

    def __init__(self, in_channels: int = 3, *, norm: str = "none", widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(i, o, norm) for i, o in pairwise((in_channels, *widths)))
        self.pool = nn.MaxPool2d(2)
        upward = list(pairwise(reversed(widths)))  # (1024, 512), (512, 256), ...
        self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, kernel_size=2, stride=2) for i, o in upward)
        self.merge = nn.ModuleList(_block(2 * o, o, norm) for _, o in upward)
        self.head = nn.Conv2d(widths[0], 1, kernel_size=1)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) -> logits (N, 1, H, W)."""
        features = self.down[0](images)
        skips = []
        for block in self.down[1:]:
            skips.append(features)
            features = block(self.pool(features))
        for up, merge in zip(self.up, self.merge, strict=True):
            features = merge(torch.cat([skips.pop(), up(features)], dim=1))
        return self.head(features)


def _block(in_channels: int, out_channels: int, norm: str) -> nn.Sequential:
    """Two 3x3 convolutions, each followed by the normalisation (where wanted) and ReLU."""
    layers: list[nn.Module] = []
    for channels in (in_channels, out_channels):
        layers.append(nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=norm == "none"))
        if norm != "none":
            layers.append(
                nn.BatchNorm2d(out_channels) if norm == "batch" else nn.InstanceNorm2d(out_channels, affine=True)
            )
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class Normalised(nn.Module):
    """A network behind the normalisation its pretrained encoder was trained with.

    The constants are buffers, so a checkpoint carries them and prediction has nothing to restate.

    Shape:
        images float (N, C, H, W) in [0, 1] -> what ``network`` returns for ``(images - mean) / std``.
    """

    def __init__(self, network: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    @property
    def encoder(self) -> nn.Module:
        """The part that may learn at a smaller rate."""
        return self.network.encoder

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] -> logits (N, 1, H, W)."""
        return self.network((images - self.mean) / self.std)


def build_model(config: Config, *, pretrained: bool = True) -> nn.Module:
    """The network of a configuration: images float (N, C, H, W) in [0, 1] -> logits (N, 1, H, W).

    Weights that are not pretrained follow from ``config.member_seed``; the random state of the caller is left alone.

    Args:
        config: ``in_channels`` must be known (not None).
        pretrained: False builds the same network without fetching weights, for a checkpoint to be loaded into.

    Raises:
        InputError: if smp is missing, an encoder or architecture is unknown, or pretrained weights cannot be had.
    """
    if config.in_channels is None:
        raise ValueError("in_channels is None; fill it in from the data (scales.probe_images) before building")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.member_seed)
        return _build(config, pretrained=pretrained)


def _build(config: Config, *, pretrained: bool) -> nn.Module:
    if config.architecture == "plain":
        widths = tuple(config.width * 2**level for level in range(LEVELS))
        return UNet(config.in_channels, norm=config.norm, widths=widths)
    weights = config.encoder_weights if pretrained else "none"
    network = _build_smp(config, hub_weights="imagenet" if weights == "imagenet" else None)
    if weights not in {"none", "imagenet"}:
        load_encoder_weights(network.encoder, weights, config.encoder)
    _keep_slow_depthwise_in_float32(network)
    return Normalised(network, *_normalisation(config))


def _keep_slow_depthwise_in_float32(network: nn.Module) -> None:
    """Keep depthwise convolutions that are 5x5 or strided in float32 on a CPU, which is slower in bfloat16 there.

    With their backward pass they take 2 to 7 times as long in bfloat16 (oneDNN of torch 2.14, a processor with AMX);
    a training step of the preset quick gains a third.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            if module.kernel_size != (3, 3) or module.stride != (1, 1):
                module.forward = partial(_forward_in_float32, module.forward)


def _forward_in_float32(forward: Callable[[Tensor], Tensor], features: Tensor) -> Tensor:
    if features.device.type != "cpu":
        return forward(features)
    with torch.autocast("cpu", enabled=False):
        return forward(features.float()).to(features.dtype)


def _build_smp(config: Config, *, hub_weights: str | None) -> nn.Module:
    try:
        import segmentation_models_pytorch as smp
    except ImportError:
        raise InputError(
            f"architecture={config.architecture} needs segmentation-models-pytorch; "
            "pip install segmentation-models-pytorch, or take the preset baseline"
        ) from None
    shape: dict[str, Any] = {"in_channels": config.in_channels, "classes": 1}
    try:
        return smp.create_model(config.architecture, config.encoder, encoder_weights=hub_weights, **shape)
    except (KeyError, RuntimeError) as error:
        raise InputError(_describe_unknown(config, error)) from None
    except Exception as error:  # the hub client raises its own types, of httpx, requests, OSError or ValueError
        if hub_weights is None and isinstance(error, ValueError):  # of encoders that do not fit the architecture
            raise InputError(_describe_unknown(config, error)) from None
        if hub_weights is None:
            raise
        raise InputError(
            f"ImageNet weights of {config.encoder} could not be fetched ({type(error).__name__}); connect to the "
            "internet, give a file with encoder_weights=FILE.pth, or train from scratch with encoder_weights=none"
        ) from None


def _describe_unknown(config: Config, error: Exception) -> str:
    """What smp does not have, with the nearest that it has."""
    import segmentation_models_pytorch as smp
    import timm

    architectures = [kind.__name__ for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()]
    if config.architecture.lower() not in map(str.lower, architectures):
        return f"there is no architecture {config.architecture!r}; {near_miss(config.architecture, architectures)}"
    prefix = "tu-" if config.encoder.startswith("tu-") else ""
    plain = config.encoder.removeprefix(prefix).partition(".")[0]  # without the tag of its weights
    known = timm.list_models() if prefix else smp.encoders.get_encoder_names()
    if plain in known:
        return f"smp has no {config.architecture} with encoder {config.encoder!r}: {_first_line(error)}"
    near = ", ".join(prefix + name for name in difflib.get_close_matches(plain, known, n=NEAREST, cutoff=0))
    return f"there is no encoder {config.encoder!r}; the nearest are {near}, and {ENCODERS_PAGE} lists all of them"


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__


def _normalisation(config: Config) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel, as the weights were trained with; gray gets the mean of the three."""
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if config.encoder.startswith("tu-"):
        from timm import get_pretrained_cfg

        known = get_pretrained_cfg(config.encoder.removeprefix("tu-"), allow_unregistered=True)
        mean, std = (known.mean, known.std) if known else (mean, std)
    if config.in_channels == 1:
        return (sum(mean) / 3,), (sum(std) / 3,)
    return mean, std


@contextmanager
def refuse_sizes(config: Config) -> Iterator[None]:
    """Say what helps where a network cannot take images of this size, which it finds out when it sees one.

    Raises:
        InputError: instead of the RuntimeError or AssertionError of torch, timm or smp.
    """
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        if not any(words in str(error) for words in WRONG_SIZE):
            raise
        raise InputError(
            f"{config.architecture} with encoder {config.encoder} takes no images of {config.image_size} pixels "
            f"({_first_line(error).rstrip('.')}); set another image_size, or take another architecture or encoder"
        ) from error


def scale_images(images: Tensor) -> Tensor:
    """uint8 (N, C, H, W) -> float in [0, 1], by the constant 255 and never by the images' own maximum."""
    return images.float().div(255).contiguous(memory_format=torch.channels_last)


def choose_precision(precision: str) -> str:
    """The precision to compute in: "32", "bf16" or "16"; "auto" becomes what the chip multiplies fast.

    bfloat16 where the GPU or the CPU has it, half precision on older GPUs, single precision elsewhere.
    """
    return _fast_precisions()[0] if precision == "auto" else precision


def describe_precision(precision: str) -> str:
    """What numbers a network computes with, in words; with the cure where this machine is slow at it.

    Example:
        >>> describe_precision("32")
        'float32'
    """
    chosen = choose_precision(precision)
    if chosen in _fast_precisions():
        return PRECISION_WORDS[chosen]
    better = _fast_precisions()[0]
    return (
        f"{PRECISION_WORDS[chosen]}, which this machine is slow at, maybe ten times slower than at "
        f"{PRECISION_WORDS[better]}; precision=auto takes that"
    )


def _fast_precisions() -> list[str]:
    """Those that the chip multiplies fast, the fastest first."""
    if torch.cuda.is_available():
        return ["bf16", "16", "32"] if torch.cuda.is_bf16_supported(including_emulation=False) else ["16", "32"]
    return ["bf16", "32"] if getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)() else ["32"]


def autocast(config: Config, device: torch.device) -> torch.autocast:
    """The context a network computes in outside of training; it does nothing where the precision is "32"."""
    dtype = {"bf16": torch.bfloat16, "16": torch.float16}.get(choose_precision(config.precision))
    return torch.autocast(device.type, dtype, enabled=dtype is not None)
