import shutil

import pytest

from seglib.data.synthetic import write_phantoms


@pytest.fixture(scope="session")
def clean(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("data") / "clean", train=60, test=6, seed=3)


@pytest.fixture
def copy(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "copy")
