import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import torch
from networks import Brightness, Constant
from torch import nn

from seglib.config import make_config
from seglib.data.samples import list_samples
from seglib.errors import InputError
from seglib.images.reading import image_size
from seglib.machine.memory import is_out_of_memory
from seglib.prediction.probabilities import (
    average_maps,
    average_symmetries,
    demand_less,
    predict_member_maps,
    predict_probabilities,
    predict_readable,
    resize_maps,
    symmetries,
)


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


def test_a_file_that_cannot_be_read_stands_where_its_maps_would_and_stops_nothing(phantoms, config, tmp_path):
    paths = list(list_samples(phantoms)["image_path"][:8])
    (tmp_path / "broken.png").write_bytes(b"x")
    spoilt = [paths[0], str(tmp_path / "broken.png"), *paths[1:], *[str(tmp_path / "gone.png")] * 3]
    found = list(predict_readable([(Brightness(), config)], spoilt))
    assert [row for row, one in enumerate(found) if isinstance(one, InputError)] == [1, 9, 10, 11]  # a chunk of none
    assert "broken.png" in str(found[1])
    good = [one for one in found if not isinstance(one, InputError)]
    for one, other in zip(good, predict_member_maps([(Brightness(), config)], paths), strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_the_network_computes_on_while_the_caller_uses_what_is_done(phantoms, config):
    computed = threading.Semaphore(0)

    class Counting(Brightness):
        def forward(self, images):
            computed.release()
            return super().forward(images)

    maps = predict_probabilities([(Counting(), config)], list_samples(phantoms)["image_path"][:9])
    next(maps)
    assert computed.acquire(timeout=10)
    assert computed.acquire(timeout=10)  # the second batch of three, of which nothing was asked for yet
    assert not computed.acquire(timeout=0.3)  # and no third: memory does not grow with the number of files


def test_each_network_of_an_ensemble_gets_batches_of_its_own_size(phantoms, config):
    seen = []

    class Watching(Brightness):
        def forward(self, images):
            seen.append((images.shape[-1], len(images)))
            return super().forward(images)

    large = make_config(**{**vars(config), "image_size": 96, "batch_size": 2})
    list(predict_probabilities([(Watching(), config), (Watching(), large)], list_samples(phantoms)["image_path"][:4]))
    assert seen == [(64, 3), (96, 2), (96, 1), (64, 1), (96, 1)]


# where memory is short


class Hungry(Brightness):
    """Needs more memory than there is for more than so many pixels at once."""

    def __init__(self, pixels, error=None):
        super().__init__()
        self.pixels, self.error, self.seen = pixels, error or torch.OutOfMemoryError("CUDA out of memory"), []

    def forward(self, images):
        self.seen.append((len(images), images.shape[-1]))
        if images[:, 0].numel() > self.pixels:
            raise self.error
        return super().forward(images)


ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError(),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(error)[:12])
def test_a_batch_that_memory_does_not_hold_is_halved_and_stays_so_and_is_told_once(phantoms, config, capsys, error):
    config = make_config(**{**vars(config), "batch_size": 8})
    paths = list_samples(phantoms)["image_path"][:11]
    network = Hungry(2 * 64 * 64, error)
    found = list(predict_probabilities([(network, config), (network, config)], paths))
    assert network.seen[:3] == [(8, 64), (4, 64), (2, 64)]
    assert {count for count, _ in network.seen[3:]} == {2, 1}  # 1 is the rest of a chunk of 3
    assert capsys.readouterr().out == "memory holds 2 of 8 images of 64 pixels; so many are predicted at once\n"
    for one, other in zip(found, predict_probabilities([(Brightness(), config)], paths), strict=True):
        assert np.allclose(one, other, atol=1e-6)


def test_an_image_that_memory_does_not_hold_is_looked_at_in_windows(phantoms, config, capsys):
    pytest.importorskip("monai")
    config = make_config(**{**vars(config), "image_size": 256, "batch_size": 2, "tta": 8})
    paths = list_samples(phantoms)["image_path"][:3]
    network = Hungry(150 * 150)
    found = list(predict_probabilities([(network, config)], paths))
    assert network.seen[:4] == [(2, 256), (1, 256), (1, 192), (1, 144)]
    assert set(network.seen[4:]) == {(1, 144)}
    said = capsys.readouterr().out
    assert said.startswith("memory does not hold one image of 256 pixels; it is looked at in windows of 144, which")
    assert said.count("\n") == 1
    for one, other in zip(found, predict_probabilities([(Brightness(), config)], paths), strict=True):
        assert np.allclose(one, other, atol=1e-3)  # half precision


def test_windows_that_memory_does_not_hold_either_are_a_sentence(phantoms, config):
    with pytest.raises(InputError, match="memory does not hold windows of 64 pixels"):
        list(predict_probabilities([(Hungry(100), config)], [first_path(phantoms)]))


def test_an_error_that_is_not_about_memory_is_raised_as_it_is(phantoms, config):
    network = Hungry(100, RuntimeError("shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="multiplied"):
        list(predict_probabilities([(network, config)], [first_path(phantoms)]))
    assert len(network.seen) == 1


def test_less_is_demanded_until_windows_are_too_small():
    wanted, seen = make_config("quick", image_size=352, batch_size=5), []
    for _ in range(7):
        wanted = demand_less(wanted)
        seen.append((wanted.batch_size, wanted.tile))
    assert seen == [(2, 0), (1, 0), (1, 256), (1, 192), (1, 128), (1, 96), (1, 64)]
    with pytest.raises(InputError, match="windows of 64 pixels"):
        demand_less(wanted)


MEMORY_HOG = """
import resource, sys
import torch
from seglib.config import make_config
from seglib.machine.memory import is_out_of_memory
from seglib.prediction.probabilities import predict_probabilities

class Hog(torch.nn.Module):
    def forward(self, images):
        room = torch.empty(len(images), 100 * 2**18)  # 100 MiB for each image
        return images[:, :1] + room[0, 0] * 0

config = make_config(image_size=64, in_channels=3, white=255, batch_size=20)
paths = sys.argv[1:]
list(predict_probabilities([(Hog(), make_config(**{**vars(config), "batch_size": 1}))], paths[:2]))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 850 * 2**20,) * 2)
print([map_.shape for map_ in predict_probabilities([(Hog(), config)], paths)])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited as on Linux")
def test_a_real_allocator_that_refuses_is_understood(phantoms):
    paths = list(list_samples(phantoms)["image_path"])
    command = [sys.executable, "-c", MEMORY_HOG, *paths]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert result.stdout.splitlines() == [
        "memory holds 5 of 20 images of 64 pixels; so many are predicted at once",
        str([image_size(path) for path in paths]),
    ]


# windows


class Blur(nn.Module):
    """Logits that depend on 5 x 5 pixels."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 1, 3, padding=1)

    def forward(self, images):
        return 4 * self.second(torch.relu(self.first(images)))


@pytest.mark.parametrize("tta", [1, 8])
def test_windows_show_what_the_whole_image_does_but_at_their_borders(config, tta):
    pytest.importorskip("monai")
    images = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    network, sizes = Blur(), {"image_size": 128, "tta": tta}
    whole, tiled = (
        average_symmetries(network, images, make_config(**{**vars(config), **sizes, "tile": tile})) for tile in (0, 64)
    )
    near = torch.zeros(128, dtype=torch.bool)
    for border in (32, 64, 96):  # of windows that begin at 0, 32 and 64; at that of the image both see nothing beyond
        near[border - 2 : border + 2] = True
    away = ~(near[:, None] | near[None, :])
    assert torch.allclose(whole[:, away], tiled[:, away], atol=1e-6)
    difference = (whole - tiled).abs()
    assert difference[:, ~away].max() > 1e-6
    assert (
        difference[:, 16:-16, 16:-16].max() < 0.01
    )  # elsewhere in the image a border of a window weighs next to nothing


def test_windows_as_large_as_the_image_are_the_image(config, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.inferers", None)
    images, network = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), Blur()
    settings = make_config(**{**vars(config), "tile": 64})
    assert torch.equal(average_symmetries(network, images, settings), average_symmetries(network, images, config))


def test_a_tile_makes_windows_of_that_size_and_as_many_at_once_as_there_are_images(phantoms, config):
    pytest.importorskip("monai")
    network = Hungry(10**9)
    settings = make_config(**{**vars(config), "image_size": 128, "tile": 64})
    list(predict_probabilities([(network, settings)], list_samples(phantoms)["image_path"][:3]))
    assert network.seen == [(3, 64)] * 9


def test_without_monai_windows_are_refused_with_a_cure(phantoms, config, monkeypatch):
    monkeypatch.setitem(sys.modules, "monai.inferers", None)
    settings = make_config(**{**vars(config), "image_size": 128, "tile": 64})
    with pytest.raises(InputError, match="MONAI is needed; pip install monai"):
        list(predict_probabilities([(Brightness(), settings)], [first_path(phantoms)]))
    assert not is_out_of_memory(InputError("MONAI is needed"))
