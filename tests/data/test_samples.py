import tracemalloc
from pathlib import Path

import pytest

from seglib.data.references import list_masks
from seglib.data.samples import describe_left_out, list_samples, pair_samples
from seglib.data.unseen import list_images, list_images_below, list_test_images
from seglib.errors import InputError


def make_tree(root, images, masks, tests=("t.png",), names=("Train", "Image", "Mask", "Test")):
    train, image, mask, test = names
    for folder, files in ((f"{train}/{image}", images), (f"{train}/{mask}", masks), (f"{test}/{image}", tests)):
        (root / folder).mkdir(parents=True)
        for name in files:
            (root / folder / name).touch()
    return root


@pytest.mark.parametrize("ending", ["", "_mask", "_segmentation", "_Segmentation"])
def test_a_mask_has_the_stem_of_its_image_or_that_with_an_ending(tmp_path, ending):
    root = make_tree(tmp_path, ["b.JPG", "a.tif"], [f"a{ending}.png", f"b{ending}.bmp"])
    samples = list_samples(root)
    assert samples["sample_id"].tolist() == ["a", "b"]
    assert samples["mask_path"].tolist() == [f"{root}/Train/Mask/a{ending}.png", f"{root}/Train/Mask/b{ending}.bmp"]


def test_masks_may_lie_beside_their_images(tmp_path):
    names = [
        "P1/a.tif",
        "P1/a_mask.tif",
        "P2/a.tif",
        "P2/a_mask.tif",
        "b.png",
        "b_Segmentation.bmp",
        "b_segmentation_1.png",
    ]
    for name in names:
        (tmp_path / "Train" / "Image" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "Train" / "Image" / name).touch()
    samples = list_samples(tmp_path)
    assert samples["sample_id"].tolist() == ["P1_a", "P2_a", "b"]
    place = f"{tmp_path}/Train/Image"
    assert samples["image_path"].tolist() == [f"{place}/{name}" for name in ("P1/a.tif", "P2/a.tif", "b.png")]
    joined = f"{place}/b_Segmentation.bmp\n{place}/b_segmentation_1.png"
    assert samples["mask_path"].tolist() == [f"{place}/P1/a_mask.tif", f"{place}/P2/a_mask.tif", joined]


def test_beside_its_image_a_mask_that_is_missing_or_left_over_is_named(tmp_path):
    (tmp_path / "Train" / "Image").mkdir(parents=True)
    for name in ("a.png", "a_mask.png", "b.png", "b_mask.png", "c.png", "d_mask.png"):
        (tmp_path / "Train" / "Image" / name).touch()
    samples, problems = pair_samples(tmp_path)
    assert samples["sample_id"].tolist() == ["a", "b"]
    assert [(problem.file.name, problem.problem) for problem in problems] == [
        ("d_mask.png", "no image"),
        ("c.png", "no mask"),
    ]
    assert problems[1].cure == "add c_mask.png there or remove the image"
    (tmp_path / "leave_out.csv").write_text("file\nTrain/Image/c.png\nTrain/Image/d_mask.png\n")
    assert list_samples(tmp_path)["sample_id"].tolist() == ["a", "b"]


def test_masks_beside_test_images_are_not_predicted_and_may_be_scored_by(tmp_path):
    names = ["a.png", "a_mask.png", "b.png", "b_mask.png", "b_mask_1.png"]
    root = make_tree(tmp_path, ["x.png"], ["x.png"], tests=names)
    assert list_test_images(root)["sample_id"].tolist() == ["a", "b"]
    place = f"{root}/Test/Image"
    joined = f"{place}/b_mask.png\n{place}/b_mask_1.png"
    assert list_masks(root / "Test" / "Image") == {"a": f"{place}/a_mask.png", "b": joined}
    (root / "Test" / "Image" / "c_mask.png").touch()  # an image of that name, as nothing lies beside it
    assert list_test_images(root)["sample_id"].tolist() == ["a", "b", "c_mask"]
    assert list_masks(root / "Test" / "Image") == {"a": f"{place}/a_mask.png", "b": joined}


def test_where_there_is_a_folder_of_masks_none_is_looked_for_among_the_images(tmp_path):
    root = make_tree(tmp_path, ["a.png", "a_mask.png"], ["a.png", "a_mask.png"])
    assert list_samples(root)["sample_id"].tolist() == ["a", "a_mask"]


def test_folder_names_come_in_any_case_and_number(tmp_path):
    root = make_tree(tmp_path, ["a.png", "b.png"], ["a.png", "b.png"], names=("TRAIN", "images", "Masks", "test"))
    assert len(list_samples(root)) == 2
    assert list_test_images(root)["sample_id"].tolist() == ["t"]


def test_an_image_whose_own_name_ends_in_mask_keeps_its_mask(tmp_path):
    root = make_tree(tmp_path, ["a_mask.png", "b.png"], ["a_mask.png", "b.png"])
    assert list_samples(root)["sample_id"].tolist() == ["a_mask", "b"]


def test_other_files_are_passed_over(tmp_path):
    root = make_tree(tmp_path, ["a.png", "b.png", "Thumbs.db", ".c.png", "notes.txt"], ["a.png", "b.png"])
    assert len(list_samples(root)) == 2


@pytest.mark.parametrize(
    ("images", "masks", "words"),
    [
        (["a.png", "b.png"], ["a.png"], "Image/b.png has no mask in Train; add b.png there"),
        (["a.png"], ["a.png", "c_mask.png"], "Mask/c_mask.png has no image"),
        (["a.png", "a.jpg"], ["a.png"], "has the same name as a.jpg"),
        (["a.png", "b.png"], ["a.png", "a_mask.png", "b.png"], "both are masks of a"),
        (["a.png"], ["a.png"], "holds 1 image"),
        (
            ["a.png", "b.png"],
            ["a.png", "b_mask.nrrd"],
            "Mask/b_mask.nrrd is in a format that is not read",
        ),
        (["a.NRRD"], ["a.png"], "Image/a.NRRD is in a format that is not read; save it as PNG"),
        ([], [], "holds 0 image"),
    ],
)
def test_what_does_not_pair_is_named(tmp_path, images, masks, words):
    with pytest.raises(InputError, match=words):
        list_samples(make_tree(tmp_path, images, masks))


def test_a_picture_beside_an_image_with_a_word_more_in_its_name_may_be_none(tmp_path):
    names = ["a_1.png", "a_1_superpixels.png", "b.png", "b_2.png"]
    data = make_tree(tmp_path, names, ["a_1.png", "b.png"])
    cures = {problem.file.name: problem.cure for problem in pair_samples(data)[1]}
    assert "leave them out (seglib check --fix-list)" in cures["a_1_superpixels.png"]
    assert cures["b_2.png"] == "add b_2.png there or remove the image"


def test_folders_of_patients_are_looked_into(tmp_path):
    data = make_tree(tmp_path, ["z.png"], ["z.png"])
    files = ["Train/Image/P1/s1.png", "Train/Image/P1/s2.png", "Train/Image/P2/left/s1.jpg", "Test/Image/P3/s1.png"]
    files += ["Train/Mask/P1/s1_mask.png", "Train/Mask/P1_s2.png", "Train/Mask/P2/left/s1.png"]
    for name in [
        *files,
        "Train/Image/.ipynb_checkpoints/z.png",
        "Train/Mask/__MACOSX/z.png",
        "Train/Image/P1/.s3.png",
        "Train/Image/P1/.old/s1.png",
    ]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).touch()
    samples, problems = pair_samples(data)
    assert problems == []
    assert samples["sample_id"].tolist() == ["P1_s1", "P1_s2", "P2_left_s1", "z"]
    for column, part in (("image_path", "Image"), ("mask_path", "Mask")):
        expected = [str(data / name) for name in sorted(files) if name.startswith(f"Train/{part}")]
        assert sorted(samples[column]) == sorted([*expected, str(data / "Train" / part / "z.png")])
    assert "P3_s1" in list_test_images(data)["sample_id"].tolist()
    assert [path.name for path in map(Path, list_images(data / "Train" / "Image")["image_path"])] == ["z.png"]


def test_files_in_folders_of_patients_are_left_out_and_blamed_by_their_paths(tmp_path):
    data = make_tree(tmp_path, ["P1_s1.png", "b.png"], ["P1_s1.png", "b.png"])
    for name in ("Image/P1/s1.png", "Image/P1/s2.nrrd", "Mask/P2/s1.png"):
        (data / "Train" / name).parent.mkdir(exist_ok=True)
        (data / "Train" / name).touch()
    problems = {str(problem.file.relative_to(data)): problem.problem for problem in pair_samples(data)[1]}
    assert sorted(problems.values()) == ["no image", "same name", "unread format"]
    assert problems["Train/Mask/P2/s1.png"] == "no image"
    assert problems["Train/Image/P1/s2.nrrd"] == "unread format"
    (data / "leave_out.csv").write_text("\n".join(["file", *problems]))
    assert pair_samples(data)[1] == []


def test_a_folder_that_is_a_link_is_followed_and_one_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    data = make_tree(tmp_path / "set", ["a.png"], ["a.png", "P1_b.png"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "b.png").touch()
    (data / "Train" / "Image" / "P1").symlink_to(tmp_path / "elsewhere")
    assert list_samples(data)["sample_id"].tolist() == ["P1_b", "a"]

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match=r"Train/Image cannot be looked into \(Permission denied\); change"):
        pair_samples(data)


def test_missing_folders_are_named(tmp_path):
    make_tree(tmp_path, ["a.png", "b.png"], [])
    (tmp_path / "Train" / "Mask").rmdir()
    with pytest.raises(
        InputError, match="Train holds no folder Mask, and no mask lies beside its image, called a_mask.png"
    ):
        list_samples(tmp_path)


def test_no_test_images_is_said_with_the_cure(tmp_path):
    data = make_tree(tmp_path, ["a.png", "b.png"], ["a.png", "b.png"], tests=[])
    with pytest.raises(InputError, match="no test images in .*Test/Image; .*--only"):
        list_test_images(data)
    (data / "Test" / "Image").rmdir()
    (data / "Test").rmdir()
    with pytest.raises(InputError, match="no test images in .*Test/Image; .*--only"):
        list_test_images(data)


def test_reference_masks_are_found_from_the_set_its_test_folder_or_their_own(tmp_path):
    (tmp_path / "Test" / "Mask").mkdir(parents=True)
    (tmp_path / "Test" / "Mask" / "a_Segmentation.png").touch()
    for folder in (tmp_path, tmp_path / "Test", tmp_path / "Test" / "Mask"):
        assert list_masks(folder) == {"a": str(tmp_path / "Test" / "Mask" / "a_Segmentation.png")}


def test_two_references_of_one_image_are_refused_and_a_number_is_part_of_the_name(tmp_path):
    for name in ("a_mask.png", "b_mask_1.png"):
        (tmp_path / name).touch()
    assert sorted(list_masks(tmp_path)) == ["a", "b_mask_1"]
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match=r"a_mask\.png and a\.png both are masks of a; keep one"):
        list_masks(tmp_path)


def test_what_is_listed_as_left_out_is_passed_over(tmp_path):
    data = make_tree(tmp_path, ["a.png", "b.png", "c.png"], ["a.png", "b.png"])
    for text in (
        "file,problem\nTrain/Image/c.png,no mask\n",
        "\ufefffile\n Train/Image/c.png \nTrain/Image/gone.png\n",
    ):
        (data / "leave_out.csv").write_text(text, encoding="utf-8")
        assert list_samples(data)["sample_id"].tolist() == ["a", "b"]
    (data / "leave_out.csv").write_text("path\nTrain/Image/c.png\n")
    with pytest.raises(InputError, match="not a table of files; name its column file"):
        list_samples(data)


def test_what_a_list_names_and_is_not_there_is_not_said_to_be_passed_over(tmp_path):
    data = make_tree(tmp_path, ["a.png", "b.png", "c.png"], ["a.png", "b.png"])
    listed = data / "leave_out.csv"
    listed.write_text("file\nTrain/Image/c.png\n")
    assert describe_left_out(data) == f"{listed} passes over 1 file"
    listed.write_text("file\nTrain/Image/c.png\nTrain/Image\nTrain\\Image\\b.png\n")
    assert describe_left_out(data) == (
        f"{listed} passes over 1 file; 2 that it names are not there, such as Train/Image"
    )
    listed.write_text("file\nTrain/Image/C.png\n")
    said = f"{listed} passes over no file; 1 that it names are not there, such as Train/Image/C.png"
    assert describe_left_out(data) == said


def test_all_that_does_not_pair_is_told_at_once(tmp_path):
    data = make_tree(tmp_path, ["a.png", "b.png", "c.jpg", "c.png"], ["a.png", "a_mask.png", "c.png", "d.png"])
    samples, problems = pair_samples(data)
    assert samples["sample_id"].tolist() == ["a", "c"]
    found = sorted((problem.file.name, problem.problem) for problem in problems)
    assert found == [("a_mask.png", "two masks"), ("b.png", "no mask"), ("c.png", "same name"), ("d.png", "no image")]


@pytest.mark.parametrize(
    "masks", [["a_left.png", "a_right.png"], ["left/a.png", "right/a.png"], ["x_1.png", "y_b.png"]]
)
def test_where_no_mask_belongs_to_an_image_it_is_said_once(tmp_path, masks):
    data = make_tree(tmp_path, ["a.png", "b.png", "c.png", "d.nrrd"], [])
    for name in masks:
        (data / "Train" / "Mask" / name).parent.mkdir(exist_ok=True)
        (data / "Train" / "Mask" / name).touch()
    samples, problems = pair_samples(data)
    assert samples.empty
    assert list(samples) == ["sample_id", "image_path", "mask_path"]
    assert [problem.problem for problem in problems] == ["unread format", "no pairs"]
    assert problems[1].file == data / "Train" / "Mask" / masks[0]
    stems = ", ".join(name.removesuffix(".png").replace("/", "_") for name in masks)
    assert f"they are called {stems} and so on, images a, b and so on; call the mask of X.png" in problems[1].sentence
    assert problems[1].sentence.endswith("or put them into a folder X, as Mask/X/left.png")
    (data / "Train" / "Mask" / "a.png").touch()
    assert "no pairs" not in {problem.problem for problem in pair_samples(data)[1]}


@pytest.mark.parametrize("name", ["left/{}.png", "{}_left.png", "leftMask/{}_mask.png"])
def test_masks_of_both_sides_are_one(tmp_path, name):
    data = make_tree(tmp_path, ["a.png", "b.png"], [])
    for case in ("a", "b"):
        for side in ("left", "right"):
            mask = data / "Train" / "Mask" / name.replace("left", side).format(case)
            mask.parent.mkdir(exist_ok=True)
            mask.touch()
    samples = list_samples(data)
    assert samples["sample_id"].tolist() == ["a", "b"]
    first, second = samples["mask_path"][0].split("\n")
    assert Path(first).relative_to(data) == Path(str(Path(second).relative_to(data)).replace("right", "left"))
    mask.unlink()  # one side of b: may be a mask of another kind
    assert [problem.problem for problem in pair_samples(data)[1]] == ["no pairs"]


def test_an_image_in_a_format_that_is_not_read_is_named_unless_it_was_saved_anew(tmp_path):
    data = make_tree(tmp_path, ["a.nrrd.gz", "a.nrrd.png", "b.png", "c.mha"], ["a.nrrd.png", "b.npz", "notes.txt"])
    samples, problems = pair_samples(data)
    assert samples["sample_id"].tolist() == ["a.nrrd"]
    found = sorted((problem.file.name, problem.problem) for problem in problems)
    assert found == [("b.npz", "unread format"), ("b.png", "no mask"), ("c.mha", "unread format")]
    (data / "leave_out.csv").write_text("file\nTrain/Image/c.mha\nTrain/Mask/b.npz\nTrain/Image/b.png\n")
    assert pair_samples(data)[1] == []
    (tmp_path / "Test" / "Image" / "d.mhd").touch()
    with pytest.raises(InputError, match=r"d\.mhd is in a format that is not read"):
        list_test_images(tmp_path)


def test_the_images_of_any_folder_are_those_directly_inside(tmp_path):
    for name in ("b.JPG", "a.tif", ".hidden.png", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.png").touch()
    (tmp_path / "folder.png").mkdir()
    images = list_images(tmp_path)
    assert images["sample_id"].tolist() == ["a", "b"]
    assert images["image_path"].tolist() == [f"{tmp_path}/a.tif", f"{tmp_path}/b.JPG"]
    (tmp_path / "a.png").touch()
    with pytest.raises(InputError, match="a.tif has the same name as a.png but for its ending"):
        list_images(tmp_path)


def test_images_to_predict_lie_in_folders_inside_too_but_not_what_we_wrote_nor_masks(tmp_path):
    names = ["b.png", "b_mask.png", "c_gt.png", "P1/scan.png", "P1/scan_label.tif", "P2/images/1.png", "P2/masks/1.png"]
    names += [
        ".x/a.png",
        "masks of ours/b.png",
        "older/.predictions/claim.json",
        "older/b.png",
        "run/checkpoints/a",
        "run/figures/a.png",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    out = tmp_path / "masks of ours"
    with pytest.raises(InputError, match="masks of ours holds images, and masks would lie among them; choose another"):
        list_images_below(tmp_path, out)
    (out / ".predictions").mkdir()
    (tmp_path / "link").symlink_to(out)
    images, masks = list_images_below(tmp_path, out)
    assert images["sample_id"].tolist() == ["P1_scan", "P2_1", "b", "c_gt"]
    assert images["image_path"].tolist()[:2] == [f"{tmp_path}/P1/scan.png", f"{tmp_path}/P2/images/1.png"]
    assert masks == 3
    assert list_images_below(tmp_path / "P1", tmp_path)[0]["sample_id"].tolist() == ["scan"]
    for folder, said in (
        ("nowhere", "there is no folder"),
        ("P2/masks/1.png", "there is no folder"),
        (".x/y", "no images"),
    ):
        (tmp_path / ".x/y").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=said):
            list_images_below(tmp_path / folder, out)
    (tmp_path / "P1_scan.png").touch()
    with pytest.raises(InputError, match=r"scan\.png has the same name as P1.scan"):
        list_images_below(tmp_path, out)


def test_a_folder_without_images_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        list_images(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        list_images(tmp_path / "nowhere")


def test_a_sample_takes_about_as_much_memory_as_its_paths(tmp_path):
    names = [f"{number:06d}.png" for number in range(2000)]
    data = make_tree(tmp_path, names, names)
    list_samples(data)
    tracemalloc.start()
    list_samples(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2000 * 1200  # bytes; as pathlib's paths it is thrice that


def test_a_file_left_out_elsewhere_keeps_its_namesake(tmp_path):
    data = make_tree(tmp_path, ["a.png", "b.png", "c.png"], ["a.png", "b.png", "c.png", "d.png"])
    (data / "leave_out.csv").write_text("file\nTrain/Mask/d.png\nTest/Image/a.png\n")
    assert list_samples(data)["sample_id"].tolist() == ["a", "b", "c"]
