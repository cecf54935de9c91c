import os

# What is promised to the last bit is promised of a CPU, so that tests compute there; those of a GPU are in test_gpu.py.
if not os.environ.get("SEGLIB_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

import numpy as np
import pytest
import torch

from seglib.config import make_config
from seglib.data.folds import assign_folds
from seglib.data.samples import list_samples
from seglib.data.synthetic import write_phantoms
from seglib.training.members import fit_members


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors are slower on two threads than on one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A data set of 20 training and 4 test images in the real tree; read-only by agreement."""
    return write_phantoms(tmp_path_factory.mktemp("data") / "phantoms", train=20, test=4, seed=1)


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    """As many as it takes to tell what is odd among them: 60 training and 6 test images; read-only by agreement."""
    return write_phantoms(tmp_path_factory.mktemp("data") / "clean", train=60, test=6, seed=3)


@pytest.fixture
def tiny():
    """A configuration that trains in seconds: the plain U-Net, narrow."""
    size = {"image_size": 32, "width": 8, "in_channels": 3, "white": 255}
    return make_config("baseline", batch_size=4, epochs=2, num_workers=0, learning_rate=1e-3, **size)


@pytest.fixture
def data(phantoms):
    """The 20 phantoms in three folds, of 7, 7 and 6: two validation batches of 4, the second one ragged."""
    samples = list_samples(phantoms)
    return samples, assign_folds(samples, np.linspace(0, 1, len(samples)), n_folds=3, seed=0)


@pytest.fixture
def train(data, tmp_path, tiny):
    """Train the networks of ``data`` in a folder of that name: the history, and the folder."""

    def train_(name, **settings):
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        config = make_config(**{**vars(tiny), **settings})
        return fit_members(*data, config, folder, tmp_path / "cache"), folder

    return train_
