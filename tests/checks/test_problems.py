import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from faults import plant_faults, write

from seglib.checks import problems
from seglib.checks.problems import (
    KINDS,
    describe_problems,
    inspect_data,
    list_left_out,
    make_table,
    refuse_errors,
)
from seglib.data.folds import assign_folds
from seglib.data.samples import list_samples
from seglib.data.synthetic import write_phantoms
from seglib.errors import InputError, Problem
from seglib.images.reading import read_image, read_mask


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("data") / "clean", train=60, test=6, seed=3)


@pytest.fixture
def copy(clean, tmp_path):
    return shutil.copytree(clean, tmp_path / "copy")


def pairs_of(table):
    return {(row.file, row.problem) for row in table.itertuples()}


def rows_of(data, problem):
    table = inspect_data(data).problems
    return table[table["problem"] == problem]


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


def test_what_is_left_out_is_not_looked_at_again(tmp_path):
    data = write_phantoms(tmp_path / "set", train=90, test=12, seed=3)
    plant_faults(data)
    first = inspect_data(data).problems
    with pytest.raises(InputError):
        list_samples(data)
    list_left_out(first, data).to_csv(data / "leave_out.csv", index=False)
    second = inspect_data(data).problems
    still = second[[KINDS[kind].left_out for kind in second["problem"]]]
    assert still["file"].tolist() == ["Test/Image/test_0000.jpg"]  # a submission needs every test image
    assert len(list_samples(data)) == len(inspect_data(data).samples)


def test_an_image_goes_with_its_mask_and_what_needs_only_a_look_stays(copy):
    samples = list_samples(copy)
    open(samples["mask_path"][3], "wb").close()
    write(samples["mask_path"][5], 0 * read_mask(samples["mask_path"][5]))
    left_out = list_left_out(inspect_data(copy).problems, copy)
    stem = samples["sample_id"][3]
    assert left_out["problem"].tolist() == ["empty file"] * 2
    assert sorted(file.split("/")[1] for file in left_out["file"]) == ["Image", "Mask"]
    assert all(stem in file for file in left_out["file"])


def test_a_note_is_what_many_masks_have(tmp_path):
    found = [Problem(tmp_path / f"{n}.png", "touches the border", "touches", "nothing") for n in range(3)]
    assert set(make_table(found, tmp_path, images=31)["severity"]) == {"warning"}
    assert set(make_table(found, tmp_path, images=29)["severity"]) == {"note"}
    errors = [Problem(tmp_path / f"{n}.png", "no mask", "has no mask", "add it") for n in range(9)]
    assert set(make_table(errors, tmp_path, images=9)["severity"]) == {"error"}


def test_files_are_named_as_seen_from_the_folder(copy):
    path = list_samples(copy)["mask_path"][0]
    write(path, 0 * read_mask(path))
    row = rows_of(copy, "empty mask").iloc[0]
    assert (copy / row["file"]).samefile(path)


def test_copies_with_other_masks_are_told_so(copy):
    samples = list_samples(copy)
    image, mask = read_image(samples["image_path"][2], channels=3), read_mask(samples["mask_path"][2])
    for name, pixels in (("zy", mask), ("zz", cv2.erode(mask, np.ones((9, 9), np.uint8)))):
        write(copy / "Train" / "Image" / f"{name}.png", image)
        write(copy / "Train" / "Mask" / f"{name}.png", 255 * pixels)
    facts = rows_of(copy, "exact duplicate").set_index("file")["fact"]
    assert "masks differ (Dice 0." in facts["Train/Image/zz.png"]
    assert "differ" not in facts["Train/Image/zy.png"]
    assert all(samples["sample_id"][2] in fact for fact in facts)


def test_a_copy_of_a_test_image_is_told_of_rather_than_one_in_training(copy):
    source = sorted((copy / "Test" / "Image").iterdir())[0]
    image = read_image(source, channels=3)
    for name in ("zy", "zz"):
        write(copy / "Train" / "Image" / f"{name}.png", image)
        write(copy / "Train" / "Mask" / f"{name}.png", 255 * np.eye(*image.shape[:2], dtype=np.uint8))
    table = inspect_data(copy).problems
    told = table[table["file"].str.contains("Image/z")]
    assert told["problem"].tolist() == ["in train and test"] * 2


def test_two_copies_among_the_test_images_are_no_problem(copy):
    source, target = sorted((copy / "Test" / "Image").iterdir())[:2]
    shutil.copy(source, target.with_name(f"copy{source.suffix}"))
    assert set(inspect_data(copy).problems["severity"]) == {"note"}


def test_near_duplicates_in_different_folds_are_a_leak(copy, tmp_path):
    samples = list_samples(copy)
    for column in ("image_path", "mask_path"):
        write(samples[column][7], np.rot90(cv2.imread(samples[column][2], cv2.IMREAD_UNCHANGED)))
    samples = list_samples(copy)
    folds = assign_folds(samples, np.zeros(len(samples)), n_folds=5, seed=0)
    for fold, leaks in ((3, 1), (int(folds.loc[2, "fold"]), 0)):
        folds.loc[7, "fold"] = fold if leaks == 0 else (folds.loc[2, "fold"] + 1) % 5
        folds.to_csv(tmp_path / "folds.csv", index=False)
        table = inspect_data(copy, folds=tmp_path / "folds.csv").problems
        leak = table[table["problem"] == "leak across folds"]
        assert len(leak) == leaks
    folds.loc[7, "fold"] = (folds.loc[2, "fold"] + 1) % 5
    folds.to_csv(tmp_path / "folds.csv", index=False)
    leak = inspect_data(copy, folds=tmp_path / "folds.csv").problems.iloc[0]
    assert leak["severity"] == "error"
    assert samples["sample_id"][7] in leak["file"]
    assert samples["sample_id"][2] in leak["fact"]


def test_groups_that_cannot_be_read_are_an_error(copy):
    (copy / "groups.csv").write_text("sample_id,group\nnobody,1\n")
    row = inspect_data(copy).problems.iloc[0]
    assert (row["file"], row["problem"], row["severity"]) == ("groups.csv", "groups", "error")
    assert "gives no group for" in row["fact"]


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


def test_the_words_count_and_name_a_few(tmp_path):
    found = [Problem(tmp_path / f"{n}.png", "no mask", "has no mask", f"add {n}") for n in range(7)]
    words = describe_problems(make_table(found, tmp_path, images=7)).splitlines()
    assert words[0] == "error: no mask (7)"
    assert words[1] == "  0.png has no mask; add 0"
    assert words[-2:] == ["  and 2 more (--json lists all)", "7 errors"]
    assert describe_problems(make_table([], tmp_path, images=7)) == "no problems found"


def test_test_images_are_never_left_out(copy):
    path = sorted((copy / "Test" / "Image").iterdir())[0]
    open(path, "wb").close()
    table = inspect_data(copy).problems
    assert table["file"][0] == f"Test/Image/{path.name}"
    assert list_left_out(table, copy).empty


def test_a_rescaled_copy_is_told_of_once(tmp_path):
    data = write_grays(tmp_path / "set", 30)
    image, mask = (data / "Train" / part / "04.png" for part in ("Image", "Mask"))
    for path in (image, mask):
        small = cv2.resize(cv2.imread(str(path)), (72, 48), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(path.with_name("zz.png")), small if path is image else 255 * (small > 127))
    table = inspect_data(data).problems
    assert table.loc[table["file"] == "Train/Image/zz.png", "problem"].tolist() == ["near-duplicate"]


def test_a_colour_image_among_gray_ones_is_told_in_words(tmp_path):
    data = write_grays(tmp_path / "set", 30)
    path = data / "Train" / "Image" / "04.png"
    image = read_image(path, channels=3)
    tinted = (image * np.array([1.0, 0.97, 0.94])).astype(np.uint8)  # too little for its saturation to be far
    assert odd_fact(data, path, tinted) == "is in colour, 96.7 % of the images are gray"


def write_grays(data, count):
    rng = np.random.default_rng(1)
    for folder in ("Image", "Mask"):
        (data / "Train" / folder).mkdir(parents=True)
    for number in range(count):
        gray = cv2.resize(rng.integers(40, 200, (12, 16), dtype=np.uint8), (96, 64))
        write(data / "Train" / "Image" / f"{number:02}.png", gray)
        mask = cv2.circle(np.zeros((64, 96), np.uint8), (48, 32), int(rng.integers(8, 20)), 255, -1)
        write(data / "Train" / "Mask" / f"{number:02}.png", mask)
    return data


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


def test_images_of_equal_bytes_and_other_shapes_are_not_the_same(tmp_path):
    data = write_grays(tmp_path / "set", 4)
    for name, shape in (("zy", (24, 96)), ("zz", (96, 24))):
        write(data / "Train" / "Image" / f"{name}.png", np.full(shape, 90, np.uint8))
        write(data / "Train" / "Mask" / f"{name}.png", np.full(shape, 255, np.uint8))
    assert "exact duplicate" not in set(inspect_data(data).problems["problem"])


def test_of_many_copies_each_is_told_once_by_its_best_twin_however_the_pairs_come(monkeypatch):
    noise = np.random.default_rng(0).uniform(0, 255, (3, 64, 64))
    thumbnails = [noise[0], noise[1], noise[0], noise[0] + 40 * noise[2] / 255, noise[0], noise[1]]
    images = pd.DataFrame(
        {
            "image_path": [f"Train/Image/{name}.png" for name in "abcde"] + ["Test/Image/f.png"],
            "mask_path": "none.png",
            "thumbnail": thumbnails,
            "digest": ["1", "2", "1", "3", "4", "2"],
            "is_test": [False] * 5 + [True],
        }
    )
    told = []
    for piece in (2**20, 1):
        monkeypatch.setattr("seglib.checks.duplicates.PIECE", piece)
        told.append([(found.file.stem, found.problem, found.fact) for found in problems._find_duplicates(images)])
    assert told[0] == told[1]
    assert [one[:2] for one in told[0]] == [
        ("b", "in train and test"),
        ("c", "exact duplicate"),
        ("e", "near-duplicate"),
        ("d", "near-duplicate"),
    ]
    assert all("/a.png" in fact for name, _, fact in told[0] if name != "b")


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
