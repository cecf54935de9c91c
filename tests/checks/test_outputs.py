import pytest

from seglib.checks.outputs import refuse_among_data, refuse_among_images
from seglib.cli import main
from seglib.data.samples import pair_samples
from seglib.errors import InputError
from seglib.runs.ensembles import Plan


def make(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


TREE = ("Train/Image/a.png", "Train/Mask/a.png", "Test/Image/t.png")
PLAIN = ("images/a.png", "masks/a.png")
BESIDE = ("a.png", "a_mask.png")
CASES = ("P1/images/a.png", "P1/masks/b.png", "P2/images/a.png", "P2/masks/b.png")


@pytest.mark.parametrize(
    ("names", "out", "place"),
    [
        (TREE, "Train/Image/x", "Train"),
        (TREE, "Train", "Train"),
        (TREE, "Test/Image/x/y", "Test"),
        (TREE, "Test/x", "Test"),
        (PLAIN, "images/x", "images"),
        (PLAIN, "masks/x", "masks"),
        (BESIDE, "x", ""),
        (CASES, "P2/x", "P2"),
    ],
)
def test_a_run_among_its_data_is_refused(tmp_path, names, out, place):
    data = make(tmp_path / "set", *names)
    with pytest.raises(InputError, match=f"lies in {data / place}, where data is read") as caught:
        refuse_among_data(data / out, data)
    assert str(caught.value).endswith("choose another output folder")


@pytest.mark.parametrize(
    ("names", "out"),
    [
        (TREE, "outputs/run"),
        (TREE, "Train2/x"),
        (TREE, "../run"),
        (PLAIN, "run"),
        (BESIDE, "../run"),
        (CASES, "run"),
    ],
)
def test_a_run_beside_its_data_is_none_of_it(tmp_path, names, out):
    data = make(tmp_path / "set", *names)
    refuse_among_data(data / out, data)


def test_a_folder_behind_a_link_is_the_same_folder(tmp_path):
    data = make(tmp_path / "set", *TREE)
    (tmp_path / "link").symlink_to(data / "Train" / "Image")
    with pytest.raises(InputError, match="where data is read"):
        refuse_among_data(tmp_path / "link" / "x", data)


@pytest.mark.parametrize(("names", "out"), [(TREE, "Train/Image"), (TREE, "Test/Image/x"), (PLAIN, "images/x")])
def test_masks_among_the_images_of_a_set_are_refused(tmp_path, names, out):
    data = make(tmp_path / "set", *names)
    with pytest.raises(InputError, match="where masks would be taken for images of that data set; choose another"):
        refuse_among_images(data / out)


@pytest.mark.parametrize(
    ("names", "out"),
    [(TREE, "Train/Mask"), (TREE, "Test/Mask"), (TREE, "masks"), (PLAIN, "masks"), (("images/a.png",), "images/x")],
)
def test_masks_may_lie_among_masks_and_in_any_other_folder(tmp_path, names, out):
    refuse_among_images(make(tmp_path / "set", *names) / out)


@pytest.mark.parametrize(
    "words", [["run", "--data", "set"], ["grid", "grid.yaml"], ["predict", "p", "q"], ["decode", "t.csv", "q"]]
)
def test_every_command_that_writes_images_asks(tmp_path, monkeypatch, capsys, words):
    make(tmp_path / "set", *TREE)
    make(tmp_path, "p/x", "q/x")
    out = tmp_path / "set" / "Train" / "Image" / "x"
    (tmp_path / "grid.yaml").write_text(f"data: set\nout: {out}\ngrid:\n  seed: [0, 1]\n")
    monkeypatch.chdir(tmp_path)
    assert main([*words, *(["--dry-run"] if words[0] == "grid" else ["--out", str(out)])]) == 2
    assert f"{out} lies in " in capsys.readouterr().err
    assert not out.exists()


def test_an_ensemble_asks_before_it_draws(tmp_path, monkeypatch, capsys):
    data = make(tmp_path / "set", *TREE)
    manifest = {"preset": "quick", "settings": {}, "data_hash": "sha256:x", "data_dir": str(data)}
    monkeypatch.setattr("seglib.runs.ensembles.plan_ensemble", lambda runs, folder: Plan(manifest, {"a": "text"}))
    assert main(["ensemble", "a", "b", "--out", str(data / "Test" / "x")]) == 2
    assert f"lies in {data}/Test, where data is read" in capsys.readouterr().err
    monkeypatch.setattr("seglib.commands.runs.check_data", lambda folder, with_test: pair_samples(folder)[0])
    assert main(["ensemble", "a", "b", "--out", str(tmp_path / "new")]) == 2
    assert "the runs were made on other data than" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert not (data / "Test" / "x").exists()


@pytest.mark.parametrize(("names", "is_read"), [(BESIDE, True), (CASES, False), (TREE, False)])
def test_what_is_refused_is_what_would_be_read(tmp_path, names, is_read):
    data = make(tmp_path / "set", *names, "x/figures/01_samples.png")
    samples, problems = pair_samples(data)
    assert ("01_samples" in f"{samples} {problems}") == is_read
