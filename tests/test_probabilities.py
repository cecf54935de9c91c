import cv2
import numpy as np
import pytest
import torch
from torch import nn

from seglib.config import make_config
from seglib.errors import InputError
from seglib.images import image_size
from seglib.probabilities import (
    average_maps,
    average_symmetries,
    predict_held_out,
    predict_member_maps,
    predict_probabilities,
    read_held_out,
    read_member_maps,
    resize_maps,
    symmetries,
)
from seglib.samples import list_samples


class Brightness(nn.Module):
    """Logits that follow the pixels: the same wherever the image is turned to."""

    def forward(self, images):
        return 8 * (images.mean(dim=1, keepdim=True) - 0.5)


class LeftRight(nn.Module):
    """Logits that depend on the side of the image only: no symmetry keeps them."""

    def forward(self, images):
        ramp = torch.linspace(-3, 3, images.shape[-1])
        return ramp.expand(images.shape[0], 1, *images.shape[2:]).clone()


@pytest.fixture
def config():
    return make_config(image_size=64, in_channels=3, white=255, batch_size=3)


def test_maps_have_the_size_of_their_files_in_the_order_of_the_files(phantoms, config):
    paths = list_samples(phantoms)["image_path"][:7]
    maps = list(predict_probabilities([(Brightness(), config)], paths))
    assert [map_.shape for map_ in maps] == [image_size(path) for path in paths]
    assert len({map_.shape for map_ in maps}) > 1
    assert all(map_.dtype == np.float32 and 0 <= map_.min() and map_.max() <= 1 for map_ in maps)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 50])
def test_the_batch_size_changes_nothing(phantoms, config, batch_size):
    paths = list_samples(phantoms)["image_path"][:7]
    expected = list(predict_probabilities([(Brightness(), config)], paths))
    found = predict_probabilities([(Brightness(), make_config(**{**vars(config), "batch_size": batch_size}))], paths)
    for one, other in zip(expected, found, strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_a_map_lies_where_its_image_does(tmp_path, config):
    image = np.zeros((50, 90, 3), np.uint8)
    image[5:20, 60:85] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    (map_,) = predict_probabilities([(Brightness(), config)], [tmp_path / "a.png"])
    assert ((map_ > 0.5) == (image[..., 0] > 0)).mean() > 0.98


def test_no_files_give_no_maps(config):
    assert list(predict_probabilities([(Brightness(), config)], [])) == []


def test_an_unreadable_file_is_named(tmp_path, config):
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a\.png"):
        list(predict_probabilities([(Brightness(), config)], [tmp_path / "a.png"]))


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_averaging_over_symmetries_changes_nothing_for_a_network_that_has_them(config, count):
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    plain = average_symmetries(Brightness(), images, config)
    found = average_symmetries(Brightness(), images, make_config(**{**vars(config), "tta": count}))
    assert torch.allclose(plain, found, atol=1e-6)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_averaging_makes_the_map_of_any_network_turn_with_the_image(config, count):
    """The mean over a group of symmetries is itself symmetric under each of them."""
    network, settings = LeftRight(), make_config(**{**vars(config), "tta": count})
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    map_ = average_symmetries(network, images, settings)
    for turns, flips in symmetries(count):
        turned = torch.rot90(images, turns, (2, 3)).flip(flips)
        moved = torch.rot90(map_, turns, (1, 2)).flip([axis - 1 for axis in flips])
        assert torch.allclose(average_symmetries(network, turned, settings), moved, atol=1e-6)


def test_the_eight_symmetries_are_different():
    square = torch.arange(9).reshape(1, 1, 3, 3)
    assert len({tuple(torch.rot90(square, t, (2, 3)).flip(f).ravel().tolist()) for t, f in symmetries(8)}) == 8


def test_resizing_keeps_the_middle_of_an_edge_in_place():
    probability = torch.zeros(8, 8)
    probability[:, 4:] = 1
    (wide,) = resize_maps([probability], (16, 32))
    assert wide.shape == (16, 32)
    assert ((wide > 0.5) == (np.arange(32) >= 16)).all()


def test_the_network_is_put_in_evaluation_mode(phantoms, config):
    network = nn.Sequential(nn.BatchNorm2d(3), Brightness())
    before = network[0].running_mean.clone()
    list(predict_probabilities([(network, config)], list_samples(phantoms)["image_path"][:3]))
    assert torch.equal(network[0].running_mean, before)


class Constant(nn.Module):
    """The same logit everywhere."""

    def __init__(self, logit):
        super().__init__()
        self.logit = logit

    def forward(self, images):
        return torch.full_like(images[:, :1], self.logit)


def test_members_of_several_sizes_are_averaged_at_the_size_of_the_file(phantoms, config):
    paths = list_samples(phantoms)["image_path"][:5]
    other = make_config(**{**vars(config), "image_size": 96, "in_channels": 1, "batch_size": 2})
    pair = [(Brightness(), config), (Brightness(), other)]
    apart = [list(predict_probabilities([member], paths)) for member in pair]
    together = list(predict_probabilities(pair, paths))
    for one, two, both in zip(*apart, together, strict=True):
        assert np.allclose((one + two) / 2, both, atol=1e-6)
    assert any(np.abs(one - two).max() > 0.01 for one, two in zip(*apart, strict=True))


def test_what_each_member_says_averages_to_what_they_say_together(phantoms, config):
    paths = list_samples(phantoms)["image_path"][:5]
    other = make_config(**{**vars(config), "image_size": 96, "in_channels": 1, "batch_size": 2})
    members = [(Brightness(), config), (Brightness(), other)]
    apart = [list(predict_probabilities([member], paths)) for member in members]
    together = list(predict_probabilities(members, paths))
    for number, maps in enumerate(predict_member_maps(members, paths)):
        assert maps.shape == (2, *image_size(paths[number]))
        assert all(np.allclose(map_, alone[number], atol=1e-6) for map_, alone in zip(maps, apart, strict=True))
        assert np.array_equal(average_maps(maps), together[number])


def test_probabilities_are_averaged_and_not_logits(phantoms, config):
    (map_,) = predict_probabilities([(Constant(0.0), config), (Constant(100.0), config)], [first_path(phantoms)])
    assert np.allclose(map_, 0.75)


def first_path(phantoms):
    return list_samples(phantoms)["image_path"][0]


def test_every_sample_is_predicted_by_the_members_that_held_it_out(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:9].assign(fold=[0, 1, 2, 2, 1, 0, 0, 2, 1])
    members = [(Constant(float(fold)), make_config(**{**vars(config), "folds": 3, "fold": fold})) for fold in range(3)]
    predict_held_out(members, samples, tmp_path / "held_out.npy")
    sizes = [image_size(path) for path in samples["image_path"]]
    maps = list(read_held_out([tmp_path / "held_out.npy"], sizes))
    assert [map_.shape for map_ in maps] == sizes
    found = [float(map_.mean()) for map_ in maps]
    assert found == pytest.approx(torch.sigmoid(torch.tensor(samples["fold"].to_numpy()).float()).tolist(), abs=1e-3)
    assert [path.name for path in tmp_path.iterdir()] == ["held_out.npy"]


def test_members_of_several_sizes_are_kept_at_the_largest(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:2].assign(fold=0)
    other = make_config(**{**vars(config), "image_size": 96})
    predict_held_out([(Constant(-100.0), config), (Constant(0.0), other)], samples, tmp_path / "held_out.npy")
    kept = np.load(tmp_path / "held_out.npy")
    assert kept.shape == (2, 96, 96)
    assert (kept == 0.25).all()


def test_a_kept_map_and_a_fresh_one_are_the_same_to_the_last_bit(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:5].assign(fold=0)
    predict_held_out([(Brightness(), config)], samples, tmp_path / "held_out.npy")
    fresh = predict_probabilities([(Brightness(), config)], samples["image_path"])
    sizes = [image_size(path) for path in samples["image_path"]]
    for one, other in zip(read_held_out([tmp_path / "held_out.npy"], sizes), fresh, strict=True):
        assert np.array_equal(one, other)


def test_maps_that_could_not_all_be_made_leave_no_file(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:3].assign(fold=0)
    (tmp_path / "broken.png").touch()
    samples.loc[2, "image_path"] = str(tmp_path / "broken.png")
    with pytest.raises(InputError, match="broken.png"):
        predict_held_out([(Brightness(), config)], samples, tmp_path / "held_out.npy")
    assert [path.name for path in tmp_path.iterdir()] == ["broken.png"]


def test_the_kept_maps_of_an_ensemble_are_averaged_whatever_their_sizes(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:3].assign(fold=0)
    for name, logit, size in (("a", -100.0, 64), ("b", 0.0, 96)):
        member = (Constant(logit), make_config(**{**vars(config), "image_size": size}))
        predict_held_out([member], samples, tmp_path / f"{name}.npy")
    sizes = [image_size(path) for path in samples["image_path"]]
    kept = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for map_ in read_held_out(kept, sizes):
        assert np.allclose(map_, 0.25)
    for maps, size in zip(read_member_maps(kept, sizes[1:], rows=[1, 2]), sizes[1:], strict=True):
        assert maps.shape == (2, *size)
        assert maps.mean(axis=(1, 2)).tolist() == [0, 0.5]


def test_kept_maps_of_other_samples_or_none_are_refused(phantoms, config, tmp_path):
    samples = list_samples(phantoms)[:3].assign(fold=0)
    predict_held_out([(Constant(0.0), config)], samples, tmp_path / "a.npy")
    with pytest.raises(InputError, match=r"a\.npy holds 3 maps and not 2"):
        next(read_held_out([tmp_path / "a.npy"], [(5, 5)] * 2))
    with pytest.raises(InputError, match=r"b\.npy is missing"):
        next(read_held_out([tmp_path / "b.npy"], [(5, 5)] * 2))
