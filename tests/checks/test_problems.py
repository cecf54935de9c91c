import shutil
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
from faults import plant_faults, rows_of, write, write_grays

from seglib.checks.problems import inspect_data, refuse_errors
from seglib.data.samples import list_samples
from seglib.data.synthetic import write_phantoms
from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.images.reading import read_image


@pytest.fixture
def copy(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "copy")


def pairs_of(table):
    return {(row.file, row.problem) for row in table.itertuples()}


def test_every_planted_fault_is_found_and_nothing_else_is_blamed(tmp_path):
    data = write_phantoms(tmp_path / "set", train=90, test=12, seed=3)
    before = inspect_data(data).problems
    assert set(before["severity"]) == {"note"}
    planted = plant_faults(data)
    assert len(planted) == 35
    table = inspect_data(data).problems
    assert planted <= pairs_of(table)
    assert pairs_of(table) - planted <= pairs_of(before)
    assert not table.duplicated(["file", "problem"]).any()
    ranks = table["severity"].map(["error", "warning", "note"].index)
    assert ranks.is_monotonic_increasing


def deepen(folder, factor):
    """Save every image of a folder as PNG of 16 bits, its values times ``factor``."""
    for path in list(folder.iterdir()):
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(np.uint16) * factor
        path.unlink()
        write(path.with_suffix(".png"), image)


def test_files_of_12_bits_are_judged_as_what_they_are_at_8_bits(clean, copy):
    for folder in (copy / "Train" / "Image", copy / "Test" / "Image"):
        deepen(folder, 16)
    told, seen = inspect_data(clean), inspect_data(copy)
    assert set(seen.problems["problem"]) == set(told.problems["problem"])
    assert seen.samples["group"].tolist() == told.samples["group"].tolist()
    for table, other in ((seen.samples, told.samples), (seen.test, told.test)):
        assert table["green"].to_numpy() == pytest.approx(other["green"].to_numpy(), abs=1)  # 4080 of 4095 is white
        assert table["contrast"].to_numpy() == pytest.approx(other["contrast"].to_numpy(), abs=1)


def test_groups_that_cannot_be_read_are_an_error(copy):
    (copy / "groups.csv").write_text("sample_id,group\nnobody,1\n")
    row = inspect_data(copy).problems.iloc[0]
    assert (row["file"], row["problem"], row["severity"]) == ("groups.csv", "groups", "error")
    assert row["fact"].startswith("gives no group for")
    (copy / "groups.csv").rename(copy / "Groups.CSV")
    row = inspect_data(copy).problems.iloc[0]
    assert row["file"] == "Groups.CSV"
    assert row["fact"].startswith("gives no group for")
    (copy / "groups.csv").touch()
    row = inspect_data(copy).problems.iloc[0]
    assert (row["file"], row["fact"]) == (".", "holds Groups.CSV and groups.csv, which mean the same")


def test_a_set_of_which_nothing_can_be_held_out_is_an_error(copy):
    samples = list_samples(copy)
    (copy / "groups.csv").write_text(samples.assign(group="P1")[["sample_id", "group"]].to_csv(index=False))
    row = inspect_data(copy).problems.iloc[0]
    assert (row["file"], row["problem"], row["severity"]) == ("Train", "one group", "error")
    assert f"holds {len(samples)} images of one group" in row["fact"]
    for path in [*samples["image_path"][1:], *samples["mask_path"][1:], copy / "groups.csv"]:
        Path(path).unlink()
    row = inspect_data(copy).problems.iloc[0]
    assert f"{row['problem']}: {row['fact']}; {row['cure']}".startswith("one group: holds 1 image; add some")


def test_cases_in_folders_are_told_of_the_folder_that_holds_them_all(tmp_path):
    write_patients(tmp_path, 4, 5)
    for path in sorted((tmp_path / "Train" / "Image").iterdir()):
        patient = path.stem.split("_")[0]
        (path.parent / patient).mkdir(exist_ok=True)
        mask = tmp_path / "Train" / "Mask" / path.name
        mask.rename(path.parent / patient / f"{path.stem}_mask.png")
        path.rename(path.parent / patient / path.name)
    (tmp_path / "Train" / "Mask").rmdir()
    found = inspect_data(tmp_path)
    assert len(found.samples) == 20
    (row,) = (row for row in found.problems.itertuples() if "cases" in row.problem)
    assert (row.file, row.problem) == ("Train/Image", "possible cases")
    (tmp_path / "Train" / "Image" / "P1" / "P1_3_mask.png").unlink()
    (row,) = (row for row in inspect_data(tmp_path).problems.itertuples() if row.problem == "no mask")
    assert (row.file, row.cure) == ("Train/Image/P1/P1_3.png", "add P1_3_mask.png there or remove the image")


def write_patients(data, patients, slices):
    """Noise on the picture of each patient: slices of one are alike as a whole and in no detail."""
    rng = np.random.default_rng(0)
    for folder in ("Image", "Mask"):
        (data / "Train" / folder).mkdir(parents=True)
    for patient in range(patients):
        picture = cv2.resize(rng.uniform(0, 200, (4, 4)), (64, 64), interpolation=cv2.INTER_NEAREST)
        for number in range(slices):
            image = np.clip(picture + rng.normal(0, 25, (64, 64)), 0, 255).astype(np.uint8)
            write(data / "Train" / "Image" / f"P{patient}_{number}.png", image)
            write(data / "Train" / "Mask" / f"P{patient}_{number}.png", 255 * np.eye(64, dtype=np.uint8))


@pytest.mark.parametrize(("patients", "problem", "severity"), [(12, "cases", "note"), (4, "possible cases", "warning")])
def test_cases_are_told_and_kept_together_where_they_are_many(tmp_path, patients, problem, severity):
    write_patients(tmp_path, patients, 5)
    shutil.copytree(tmp_path / "Train" / "Image", tmp_path / "Test" / "Image")
    found = inspect_data(tmp_path)
    (row,) = (row for row in found.problems.itertuples() if "cases" in row.problem)
    assert (row.file, row.problem, row.severity) == ("Train/Image", problem, severity)
    assert row.fact.startswith(f"holds {patients} cases by its names, such as P0 with 5 images: ")
    own = [name.split("_")[0] for name in found.samples["sample_id"]]
    assert found.samples["case"].tolist() == (own if patients == 12 else found.samples["sample_id"].tolist())
    assert found.test["case"].tolist() == own
    groups = "".join(f"{name},g{number}\n" for number, name in enumerate(found.samples["sample_id"]))
    (tmp_path / "groups.csv").write_text(f"sample_id,group\n{groups}")
    found = inspect_data(tmp_path)
    assert not found.problems["problem"].str.contains("cases").any()
    assert found.samples["case"].tolist() == [f"g{number}" for number in range(5 * patients)]


def test_slices_of_training_patients_in_test_are_a_note(tmp_path):
    write_patients(tmp_path, 12, 6)
    (tmp_path / "Test" / "Image").mkdir(parents=True)
    for number, path in enumerate(sorted((tmp_path / "Train" / "Image").iterdir())):
        if (number // 6 + number) % 6 == 0:  # another slice of each patient
            (tmp_path / "Train" / "Mask" / path.name).unlink()
            path.rename(tmp_path / "Test" / "Image" / path.name)
    write(tmp_path / "Test" / "Image" / "P77_0.png", np.full((64, 64), 90, np.uint8))
    (tmp_path / "Test" / "Image" / "P0_9.png").touch()
    table = inspect_data(tmp_path).problems
    (row,) = table[table["problem"] == "cases in train and test"].itertuples()
    assert (row.file, row.severity) == ("Test/Image", "note")
    assert row.fact.startswith("seems to show patients of Train: 12 of 13 images are called as one of its cases, such")
    assert " as Train/Image/P" in row.fact
    assert row.fact.endswith("for 100 % the training image most like them is of that case, by chance for 8 %")
    assert row.cure.startswith("put all images of a patient on one side, or")
    groups = "".join(f"{path.stem},1\n" for path in (tmp_path / "Train" / "Image").iterdir())
    (tmp_path / "groups.csv").write_text(f"sample_id,group\n{groups}")
    assert not inspect_data(tmp_path).problems["problem"].str.contains("cases").any()
    (tmp_path / "groups.csv").write_text(f"sample_id,group\n{groups}P77_0,1\nP0_9,2\n")
    table = inspect_data(tmp_path).problems
    (row,) = table[table["problem"] == "cases in train and test"].itertuples()
    assert (row.file, row.severity) == ("Test/Image", "note")
    assert row.fact == "shows groups of Train: groups.csv has 1 of 14 images in one, such as P77_0 with P0_1"
    assert row.cure.startswith("put all images of a group on one side, or")


def test_errors_stop_and_are_counted_while_warnings_do_not(copy):
    samples = list_samples(copy)
    write(samples["mask_path"][5], 0 * read_mask(samples["mask_path"][5]))
    refuse_errors(inspect_data(copy).problems, copy)
    for row in (0, 1):
        open(samples["image_path"][row], "wb").close()
    with pytest.raises(InputError, match=r"it is empty.*1 more files have a problem"):
        refuse_errors(inspect_data(copy).problems, copy)


def test_samples_with_a_trouble_are_not_among_those_that_can_be_used(copy):
    samples = list_samples(copy)
    open(samples["image_path"][0], "wb").close()
    found = inspect_data(copy)
    assert found.samples["sample_id"].tolist() == samples["sample_id"].tolist()[1:]
    assert found.samples["height"].dtype == int
    assert len(found.test) == 6


def odd_fact(data, path, image):
    write(path, image)
    facts = rows_of(data, "odd image")
    assert facts["file"].tolist() == [str(path).removeprefix(f"{data}/")]
    return facts["fact"].iloc[0]


def test_a_gray_image_among_colour_and_another_size_are_told_in_words(tmp_path):
    data = tmp_path / "set"
    rng = np.random.default_rng(0)
    for number in range(30):
        colour = cv2.resize(rng.integers(40, 200, (6, 8, 3), dtype=np.uint8), (96, 64))
        mask = cv2.circle(np.zeros((64, 96), np.uint8), (48, 32), int(rng.integers(8, 20)), 255, -1)
        for folder, pixels in (("Image", colour), ("Mask", mask)):
            (data / "Train" / folder).mkdir(parents=True, exist_ok=True)
            write(data / "Train" / folder / f"{number:02}.png", pixels)
    assert inspect_data(data).problems.empty
    path = data / "Train" / "Image" / "04.png"
    image = read_image(path, channels=3)
    gray = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert odd_fact(data, path, gray) == "is gray, 96.7 % of the images are in colour"
    assert odd_fact(data, path, np.full_like(image, 7)) == "is blank: every pixel is near 7"
    assert "unlike the rest: its" in odd_fact(data, path, rng.integers(0, 256, image.shape, dtype=np.uint8))
    write(data / "Train" / "Mask" / "04.png", np.pad(np.ones((20, 20), np.uint8), 40))
    assert odd_fact(data, path, cv2.resize(image, (100, 100))) == "is 100 x 100 pixels, nearly all others 96 x 64"


def test_with_few_images_nothing_can_be_called_unlike_the_rest(tmp_path):
    data = write_phantoms(tmp_path / "few", train=10, test=3)
    path = list_samples(data)["image_path"][0]
    write(path, np.random.default_rng(0).integers(0, 256, read_image(path, channels=3).shape, dtype=np.uint8))
    assert rows_of(data, "odd image").empty


def test_what_cannot_be_looked_at_stops(tmp_path, copy):
    (tmp_path / "Train" / "Image").mkdir(parents=True)
    (tmp_path / "Train" / "Mask").mkdir()
    with pytest.raises(InputError, match="holds no training images"):
        inspect_data(tmp_path)
    (copy / "leave_out.csv").write_text("name\nx\n")
    with pytest.raises(InputError, match=r"leave_out.csv is not a table of files"):
        inspect_data(copy)


def test_a_set_in_which_nothing_can_be_read_is_all_errors(tmp_path):
    data = write_phantoms(tmp_path / "set", train=4, test=1)
    for path in data.rglob("*.*g"):
        open(path, "wb").close()
    assert inspect_data(data).problems["problem"].tolist() == ["empty file"] * 9


def test_a_set_without_test_images_is_looked_at_too(copy):
    shutil.rmtree(copy / "Test")
    found = inspect_data(copy)
    assert set(found.problems["severity"]) == {"note"}
    assert found.test.empty


def test_a_colour_image_among_gray_ones_is_told_in_words(tmp_path):
    data = write_grays(tmp_path / "set", 30)
    path = data / "Train" / "Image" / "04.png"
    image = read_image(path, channels=3)
    tinted = (image * np.array([1.0, 0.97, 0.94])).astype(np.uint8)  # too little for its saturation to be far
    assert odd_fact(data, path, tinted) == "is in colour, 96.7 % of the images are gray"


def test_values_between_the_extremes_are_counted(copy):
    path = list_samples(copy)["mask_path"][0]
    plane = np.zeros_like(read_mask(path))
    plane[:2], plane[2:4], plane[4:8] = 255, 130, 7
    write(path, plane)
    rows = rows_of(copy, "more than two values")
    share = 100 * 6 / len(plane)
    assert rows["fact"].tolist() == [f"holds 4 values, {share:.2g} % of the pixels between the extremes"]
    assert rows["cure"].item().startswith(f"what is above 127 was read as foreground, {100 * 4 / len(plane):.4g} % of")
    plane[4:8] = 70
    write(path, plane)
    rows = rows_of(copy, "more than two values")
    assert rows["cure"].item().startswith("what is above 0 was read as foreground, ")


def test_a_template_that_cannot_be_filled_is_told(copy):
    path = copy / "sample_submission.csv"
    path.write_text("id,rle\ntest_0000,\nz,\n")
    (row,) = rows_of(copy, "template").itertuples()
    assert (row.file, row.severity) == ("sample_submission.csv", "warning")
    assert (row.fact, row.cure) == ("asks for 'z', which is not among the test images", "add it or mend the file")
    path.write_text("id,rle\ntest_0000,\n")
    assert rows_of(copy, "template").empty
    shutil.rmtree(copy / "Test")
    path.write_text("id,rle\nz,\n")
    assert rows_of(copy, "template").empty


def test_masks_of_test_images_are_told_apart_from_other_images_that_are_not_used(tmp_path):
    phantoms = write_phantoms(tmp_path / "phantoms", train=4, test=2)
    data = tmp_path / "set"
    for part, name in (("Train/Image", "imagesTr"), ("Train/Mask", "labelsTr"), ("Test/Image", "imagesTs")):
        shutil.copytree(phantoms / part, data / name)
    for name in ("labelsTs", "old"):
        shutil.copytree(data / "labelsTr", data / name)
    problems = inspect_data(data).problems.query("problem == 'not used'").set_index("file")["cure"]
    assert problems.index.tolist() == ["labelsTs", "old"]
    assert problems["labelsTs"] == "nothing; seglib score --truth scores a submission by them"
    assert problems["old"].startswith("move them into Train")


def test_a_set_saved_as_arrays_is_the_set_that_it_was_as_pictures(clean, tmp_path):
    data = tmp_path / "arrays"
    for path in sorted(clean.glob("*/*/*")):
        place = data / path.relative_to(clean)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.parent.name == "Mask":
            np.save(place.with_suffix(".npy"), read_mask(path).astype(np.int64))
        else:
            colours = np.ascontiguousarray(read_image(path, channels=3).swapaxes(0, 1))
            image = nibabel.Nifti1Image(colours.view([(name, "u1") for name in "RGB"])[..., 0], np.eye(4))
            nibabel.save(image, place.with_suffix(".nii.gz"))
    found, was = inspect_data(data), inspect_data(clean)
    assert found.problems["problem"].tolist() == was.problems["problem"].tolist()
    for arrays, pictures in ((found.samples, was.samples), (found.test, was.test)):
        paths = [name for name in ("image_path", "mask_path") if name in pictures]
        pd.testing.assert_frame_equal(arrays.drop(columns=paths), pictures.drop(columns=paths))
