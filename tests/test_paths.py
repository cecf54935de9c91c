import os

import pytest

from seglib import paths
from seglib.errors import InputError
from seglib.machine import mounts


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "set" / "Train" / "Image").mkdir(parents=True)
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """A working directory without a project, without Kaggle and without the variable."""
    monkeypatch.delenv("SEGLIB_DATA", raising=False)
    monkeypatch.delenv("KAGGLE_KERNEL_RUN_TYPE", raising=False)
    monkeypatch.setattr(mounts, "INPUTS", tmp_path / "kaggle" / "input")
    monkeypatch.chdir(tmp_path)


def test_the_argument_comes_before_the_variable(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("SEGLIB_DATA", str(tmp_path / "elsewhere"))
    assert paths.find_data_dir(tree) == tree


def test_the_variable_comes_before_the_project(tree, monkeypatch):
    monkeypatch.setenv("SEGLIB_DATA", str(tree))
    assert paths.find_data_dir() == tree


@pytest.mark.parametrize("place", ["slug", "competitions/slug", "datasets/owner/slug/deep"])
def test_kaggles_inputs_are_searched_by_the_tree(tmp_path, place):
    (tmp_path / "kaggle/input" / place / "train" / "images").mkdir(parents=True)
    assert paths.find_data_dir() == tmp_path / "kaggle/input" / place


def test_inputs_of_kaggle_are_searched_four_folders_below_the_mount_and_no_deeper(tmp_path):
    (tmp_path / "kaggle/input/a/b/c/d/e/f/Train/Image").mkdir(parents=True)
    with pytest.raises(InputError, match="holds a/b/c/d/e, nor in .*data; name the folder"):
        paths.find_data_dir()
    assert paths.find_data_dir("a/b/c/d/e/f") == tmp_path / "kaggle/input/a/b/c/d/e/f"


@pytest.mark.parametrize("place", ["slug", "datasets/owner/slug/Kvasir-SEG"])
def test_one_input_that_holds_images_and_masks_itself_is_a_data_set(tmp_path, place):
    for name in ("images", "masks"):
        (tmp_path / "kaggle/input" / place / name).mkdir(parents=True)
        (tmp_path / "kaggle/input/other/Test" / name).mkdir(parents=True)
    assert paths.find_data_dir() == tmp_path / "kaggle/input" / place
    (tmp_path / "kaggle/input/third/Train/Image").mkdir(parents=True)
    assert paths.find_data_dir() == tmp_path / "kaggle/input/third"


def test_several_inputs_that_hold_images_and_masks_are_no_choice(tmp_path):
    for case in range(9):
        for name in ("images", "masks"):
            (tmp_path / "kaggle/input/slug" / str(case) / name).mkdir(parents=True)
    with pytest.raises(
        InputError, match=r"slug/0 and .*slug/1 and .*slug/2 and 6 more each hold images and masks; name"
    ):
        paths.find_data_dir()


def test_two_trees_among_kaggles_inputs_are_both_named(tmp_path):
    for place in ("one", "competitions/two"):
        (tmp_path / "kaggle/input" / place / "Train" / "Image").mkdir(parents=True)
    with pytest.raises(InputError, match=r"input/one and .*competitions/two each hold Train/Image; name the one"):
        paths.find_data_dir()
    assert paths.find_data_dir("kaggle/input/one") == tmp_path / "kaggle/input/one"


def test_one_tree_under_two_names_is_no_choice(tmp_path):
    real = tmp_path / "kaggle/input/slug"
    (real / "Train" / "Image").mkdir(parents=True)
    (tmp_path / "kaggle/input/competitions").mkdir()
    (tmp_path / "kaggle/input/competitions/slug").symlink_to(real)
    assert paths.find_data_dir() == real


def test_odd_folders_of_others_do_not_stop_the_search(tmp_path):
    for place in ("odd/Train", "odd/training", "slug/Train/Image"):
        (tmp_path / "kaggle/input" / place).mkdir(parents=True)
    assert paths.find_data_dir() == tmp_path / "kaggle/input/slug"


def test_a_folder_inside_one_of_its_own_name_is_seen_through(tmp_path):
    (tmp_path / "slug" / "Train" / "train" / "images").mkdir(parents=True)
    assert paths.is_data_dir(tmp_path / "slug")
    assert paths.find_part(tmp_path / "slug", "train", "training") == tmp_path / "slug/Train/train"


def test_data_of_the_project_is_found_from_its_notebooks(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "data" / "Train" / "Image").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert paths.find_data_dir() == tmp_path / "data"
    assert paths.find_data_dir("data") == tmp_path / "data"


@pytest.mark.parametrize(
    ("data_dir", "words"),
    [
        ("absent", "absent does not exist"),
        ("file", "file is no folder"),
        (None, "no data set was found .*; name the folder that holds Train/Image, or name .*: phantoms, isic2016 or"),
    ],
)
def test_a_missing_tree_is_said_in_words(tmp_path, data_dir, words):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=words):
        paths.find_data_dir(data_dir)


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines"])
def test_folders_whose_names_cannot_be_printed_are_refused_before_anything_is_read(tmp_path, name):
    folder = tmp_path / os.fsdecode(name) / "set"
    for use in (paths.find_data_dir, paths.take_folder, paths.resolve_output_dir):
        folder.mkdir(parents=True, exist_ok=True)
        with pytest.raises(
            InputError, match=r"(caf\?|two lines)/set has a name that is no text .*; rename it"
        ) as error:
            use(folder)
        assert str(error.value).isprintable()


@pytest.mark.parametrize("name", ["Image", "image", "IMAGES", "Images"])
def test_folders_match_in_any_case_singular_or_plural(tmp_path, name):
    (tmp_path / name).mkdir()
    assert paths.find_folder(tmp_path, "image") == tmp_path / name


def test_two_folders_of_one_meaning_are_refused(tmp_path):
    (tmp_path / "Mask").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(InputError, match="Mask and masks"):
        paths.find_folder(tmp_path, "mask")


def test_outputs_lie_below_the_project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    assert paths.resolve_output_dir("outputs/run", create=True) == tmp_path / "outputs/run"
    assert sorted(entry.name for entry in (tmp_path / "outputs/run").iterdir()) == ["checkpoints", "figures"]


def test_an_output_folder_that_cannot_be_is_said_in_words(tmp_path):
    (tmp_path / "file").touch()
    for folder in ("file", "file/run"):
        with pytest.raises(InputError, match=f"^{tmp_path}/file is a file; name a folder$"):
            paths.resolve_output_dir(tmp_path / folder)
    assert paths.take_folder(tmp_path / "new" / "run") == tmp_path / "new" / "run"


def test_paths_near_the_project_are_written_as_seen_from_it(tmp_path, monkeypatch):
    root = tmp_path / "home" / "main"
    monkeypatch.setattr(paths, "find_project_root", lambda _: root)
    assert paths.shorten(root / "outputs" / "run") == "outputs/run"
    assert paths.shorten(root.parent / "shared" / "set") == "../shared/set"
    assert paths.shorten(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")
    for folder in (root / "data", root.parent / "shared", tmp_path):
        folder.mkdir(parents=True, exist_ok=True)
        assert paths.lengthen(paths.shorten(folder)) == folder
    assert paths.lengthen("nowhere/at/all") == "nowhere/at/all"


def test_the_cache_can_be_shared_between_runs(tmp_path, monkeypatch):
    assert paths.find_cache_dir(tmp_path) == tmp_path / "cache"
    monkeypatch.setenv("SEGLIB_CACHE", str(tmp_path / "shared"))
    assert paths.find_cache_dir(tmp_path) == tmp_path / "shared"


def test_on_kaggle_the_cache_is_no_output(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Batch")
    assert not paths.find_cache_dir(tmp_path).is_relative_to(tmp_path)


def test_a_run_stands_for_itself_and_an_ensemble_for_its_runs(tmp_path):
    for name in ("a", "b", "both"):
        (tmp_path / name).mkdir()
    (tmp_path / "both" / "ensemble.json").write_text('{"runs": ["../a", "../b"]}')
    assert paths.find_runs(tmp_path / "a") == [tmp_path / "a"]
    assert paths.find_runs(tmp_path / "both") == [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "both")
    assert paths.find_runs(tmp_path / "elsewhere" / "link") == [tmp_path / "a", tmp_path / "b"]
    (tmp_path / "b").rmdir()
    with pytest.raises(InputError, match="names the run .*b, which is gone"):
        paths.find_runs(tmp_path / "both")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"runs": 3}'])
def test_what_is_no_list_of_runs_is_refused(tmp_path, text):
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(InputError, match="not a list of runs"):
        paths.find_runs(tmp_path)
