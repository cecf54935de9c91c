import pytest
import torch

from seglib.config import make_config
from seglib.synthetic import write_phantoms


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors are slower on two threads than on one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """A data set of 20 training and 4 test images in the real tree; read-only by agreement."""
    return write_phantoms(tmp_path_factory.mktemp("data") / "phantoms", train=20, test=4, seed=1)


@pytest.fixture
def tiny():
    """A configuration that trains in seconds: the plain U-Net, narrow."""
    size = {"image_size": 32, "width": 8, "in_channels": 3, "white": 255}
    return make_config("baseline", batch_size=4, epochs=2, num_workers=0, learning_rate=1e-3, **size)
