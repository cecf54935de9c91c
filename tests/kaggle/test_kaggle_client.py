import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from kaggle_server import Kaggle

import seglib
from seglib.cli import main
from seglib.errors import InputError
from seglib.kaggle import client
from seglib.kaggle.bundle import Recipe, make_bundle
from seglib.runs.notebooks import find_notebook

OWN = "tester/seglib-tiny"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Two notebooks of a recipe that is to be trained there; what every push of this module sends."""
    out = tmp_path_factory.mktemp("kaggle") / "bundle"
    where = {"owner": "tester", "name": "tiny", "competition": "the-contest", "hours": 2.5}
    make_bundle(Recipe("baseline", {"epochs": 3, "width": 8}), out, only="02,05", **where)
    (out / "dataset" / "run").mkdir()
    (out / "dataset" / "run" / "config.json").write_text("{}")
    return out


@pytest.fixture
def server(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("KAGGLE") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with Kaggle() as server:
        for name, value in server.environment(tmp_path).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(client, "FIRST_WAIT", 0.01)
        monkeypatch.setattr(client, "LONGEST_WAIT", 0.01)
        yield server


def test_what_the_server_receives_is_the_bundle_key_by_key(server, bundle, tmp_path):
    said = []
    client.push_bundle(bundle, say=said.append)
    sent = server.datasets[OWN]
    assert {name: sent[name] for name in ("ownerSlug", "slug", "title", "licenseName", "isPrivate")} == {
        "ownerSlug": "tester",
        "slug": "seglib-tiny",
        "title": "seglib tiny",
        "licenseName": "other",
        "isPrivate": True,
    }
    server.mount_dataset(OWN, tmp_path / "mounted")
    there = {
        str(path.relative_to(tmp_path / "mounted")) for path in (tmp_path / "mounted").rglob("*") if path.is_file()
    }
    assert there == {"seglib-0.1.0-py3-none-any.whl", "run/config.json"}

    assert list(server.kernels) == [f"{OWN}-02-training", f"{OWN}-05-submission"]
    training, submission = ({**request} for request in server.kernels.values())
    cells = nbformat.reads(training.pop("text"), as_version=4).cells
    assert training == {
        "slug": f"{OWN}-02-training",
        "newTitle": "seglib tiny 02 training",
        "language": "python",
        "kernelType": "notebook",
        "isPrivate": True,
        "enableGpu": True,
        "enableTpu": False,
        "enableInternet": False,
        "machineShape": "NvidiaTeslaT4",
        "dockerImagePinningType": "original",
        "datasetDataSources": [OWN],
        "competitionDataSources": ["the-contest"],
    }
    told = [cell.source for cell in cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert told == [
        '# Parameters\npreset = "baseline"\nsettings = {"epochs": 3, "width": 8, "max_hours": 2.5}\n',
    ]
    text = nbformat.reads(submission["text"], as_version=4)
    assert text.metadata.kernelspec.name == "python3"
    assert submission["kernelDataSources"] == [f"{OWN}-02-training"]
    for sent_cells, name in ((text.cells, "05_submission"), (cells, "02_training")):
        stored = nbformat.read(find_notebook(name), as_version=4).cells
        kept = [cell for cell in sent_cells if "injected-parameters" not in cell.metadata.get("tags", [])]
        assert [(one.cell_type, one.source) for one in kept] == [(one.cell_type, one.source) for one in stored]
        assert not any(cell.get("outputs") for cell in kept)
    order = [name for name in server.calls if name in {"CreateDataset", "SaveKernel"}]
    assert order == ["CreateDataset", "SaveKernel", "SaveKernel"]
    assert said[-1] == f"kernel {OWN}-05-submission: complete"


def test_a_second_push_makes_new_versions_and_waits_for_the_new_one(server, bundle):
    client.push_bundle(bundle, say=lambda _: None)
    server.dataset_states[:] = ["READY", "BLOBS_RECEIVED", "READY"]
    server.calls.clear()
    client.push_bundle(bundle, say=lambda _: None)
    assert server.versions[OWN] == 2
    assert "CreateDatasetVersion" in server.calls
    assert server.calls.index("SaveKernel") > len([name for name in server.calls if name == "GetDatasetStatus"]) > 2


def test_no_kernel_is_sent_while_the_old_version_of_the_data_set_still_shows(server, bundle):
    client.push_bundle(bundle, say=lambda _: None)
    server.seen_versions[:] = [1, 1, 1, 1]  # asked once before sending
    server.calls.clear()
    client.push_bundle(bundle, say=lambda _: None)
    assert server.calls[: server.calls.index("SaveKernel")].count("GetDataset") == 5


def test_a_data_set_that_kaggle_will_not_speak_of_is_a_new_one(server, bundle, monkeypatch):
    """So it answers where somebody else could own the name; the client, too, takes that for a free one."""
    server.codes = {"GetDatasetStatus": 403}
    monkeypatch.setattr(client, "DATASET_LIMIT", 0)
    with pytest.raises(InputError, match=f"the data set {OWN} is still out of sight after an hour; push again later"):
        client.push_bundle(bundle, say=lambda _: None)
    assert "CreateDataset" in server.calls


@pytest.mark.parametrize(
    ("attribute", "value", "words"),
    [
        ("kernel_answer", {"error": "Notebook not found"}, "did not take the kernel .*02-training: Notebook not found"),
        ("kernel_answer", {"invalidDatasetSources": [OWN]}, f"dropped dataset sources of the kernel .*: {OWN}"),
        (
            "kernel_answer",
            {"invalidCompetitionSources": ["the-contest"]},
            "dropped competition sources .*: the-contest",
        ),
        ("kernel_answer", {"invalidKernelSources": ["a/bcdef"]}, "dropped kernel sources .*: a/bcdef"),
        ("kernel_answer", {"invalidModelSources": ["a/m"]}, "dropped model sources .*: a/m"),
        ("kernel_answer", {"invalidTags": ["odd"]}, "dropped tags of the kernel .*: odd"),
        ("kernel_states", ["QUEUED", "ERROR"], r"02-training did not end well: error \(out of luck\)"),
        ("kernel_states", ["CANCEL_REQUESTED", "CANCEL_ACKNOWLEDGED"], "did not end well: cancel acknowledged"),
        ("dataset_answer", {"status": "error", "error": "too large"}, f"did not take the data set {OWN}: too large"),
        ("dataset_answer", {"status": "pending"}, "did not take the data set .*: it answered 'pending'"),
        ("dataset_answer", {"invalidTags": ["odd"]}, "dropped tags of the data set"),
        ("dataset_states", ["BLOBS_RECEIVED", "FAILED"], "could not make the data set .*: it is failed"),
        ("codes", {"SaveKernel": 403}, "sending the kernel .*02-training failed: .*SaveKernel is refused"),
        ("codes", {"CreateDataset": 400}, f"sending the data set {OWN} failed: .*CreateDataset is refused"),
        ("codes", {"GetDatasetStatus": 500}, "asking for the data set .* failed"),
        ("codes", {"GetKernelSessionStatus": 401}, "asking for the kernel .*02-training failed"),
    ],
)
def test_each_soft_failure_is_a_failure_with_its_words(server, bundle, attribute, value, words, capsys):
    setattr(server, attribute, value)
    assert main(["kaggle", "--out", str(bundle), "--push"]) == 2
    said = capsys.readouterr().err
    with pytest.raises(InputError, match=words):
        raise InputError(said)
    assert "Traceback" not in said


def test_without_credentials_the_clients_own_help_is_shown(server, bundle, monkeypatch):
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(InputError, match=r"no credentials:\nAuthentication required[\s\S]*KAGGLE_API_TOKEN") as caught:
        client.push_bundle(bundle)
    assert str(caught.value).count("Authentication required") == 1
    assert server.calls == []


def test_a_missing_client_is_named_with_its_cure(bundle, monkeypatch):
    monkeypatch.setattr(client.importlib.util, "find_spec", lambda name: None if name == "six" else object())
    with pytest.raises(InputError, match="'six' is missing: pip install kaggle six"):
        client.push_bundle(bundle)


def test_states_and_outputs_come_back(server, bundle, capsys):
    assert main(["kaggle", "--out", str(bundle), "--status"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == [f"{OWN}  not sent", f"{OWN}-02-training  not sent"]
    client.push_bundle(bundle, say=lambda _: None)
    server.outputs["seglib-tiny-05-submission"] = {"submission.csv": b"id,rle\n", "outputs/run/unsure.csv": b"x"}
    assert main(["kaggle", "--out", str(bundle), "--status", "--fetch"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{OWN}  ready"
    assert said[2] == f"{OWN}-05-submission  complete"
    own = bundle / "outputs" / "05_submission"
    assert (own / "submission.csv").read_bytes() == b"id,rle\n"
    assert (own / "outputs" / "run" / "unsure.csv").read_bytes() == b"x"
    assert json.loads((own / "seglib-tiny-05-submission.log").read_text())[0]["data"] == "done\n"
    server.kernel_states[:] = ["ERROR"]
    assert main(["kaggle", "--out", str(bundle), "--status"]) == 1
    assert capsys.readouterr().out.splitlines()[1] == f"{OWN}-02-training  error (out of luck)"


def test_what_is_no_bundle_is_not_pushed(tmp_path):
    with pytest.raises(InputError, match="holds nothing to push; make it with --run RUN or --preset NAME first"):
        client.push_bundle(tmp_path)


def test_the_clients_own_command_takes_the_same_folders(server, bundle):
    """Who would rather type it can: kaggle datasets create, kaggle kernels push."""
    commands = (["datasets", "create", "-r", "zip", "-p", bundle / "dataset"],)
    commands += (["kernels", "push", "-p", bundle / "kernels" / "05_submission"],)
    for words in commands:
        command = [sys.executable, "-m", "kaggle.cli", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=bundle)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "error" not in done.stdout.lower()
    assert list(server.kernels) == [f"{OWN}-05-submission"]
    names = [server.uploads[file["token"]][0] for file in server.datasets[OWN]["files"]]
    assert sorted(names) == ["run.zip", "seglib-0.1.0-py3-none-any.whl"]


def test_the_wheel_that_is_sent_holds_the_package_and_nothing_made_by_running_it(bundle):
    (wheel,) = (bundle / "dataset").glob("seglib-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    package = Path(seglib.__file__).parent
    ours = {str(path.relative_to(package.parent)) for path in package.rglob("*.py")}
    assert {name for name in names if name.startswith("seglib/")} == ours
