import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from seglib.config import make_config
from seglib.data.unseen import list_images
from seglib.errors import InputError
from seglib.images.masks import read_mask
from seglib.images.reading import Scale, image_size, read_image, resize_image
from seglib.machine.ranks import Rank
from seglib.models.checkpoints import load_members
from seglib.models.networks import build_model, scale_images
from seglib.prediction import folders, probabilities
from seglib.prediction.folders import predict_images
from seglib.prediction.probabilities import average_maps, predict_member_maps
from seglib.prediction.reruns import list_requested, predict_requested
from seglib.prediction.rules import MaskRules, make_mask
from seglib.prediction.uncertainty import describe_maps
from seglib.submission.files import read_submission, write_submission
from seglib.submission.run_lengths import decode_rle, encode_rle

RULES = MaskRules(threshold=0.45, fill_holes=True, smallest_area=0.002)


@pytest.fixture
def images(phantoms):
    """Twenty images, of several sizes."""
    return list_images(phantoms / "Train" / "Image")


@pytest.fixture
def members(tiny, images):
    """Two networks that mark about half of every image."""
    configs = [dataclasses.replace(tiny, norm="batch", tta=2, folds=2, fold=fold) for fold in range(2)]
    return [(centre(build_model(config), images["image_path"][:4]), config) for config in configs]


def centre(network, paths):
    """Move and widen the logits, which are nearly the same everywhere before any training."""
    pixels = np.stack([resize_image(read_image(path, channels=3), 32) for path in paths])
    with torch.no_grad():
        logits = network.eval()(scale_images(torch.from_numpy(pixels).permute(0, 3, 1, 2)))
        network.head.weight.div_(logits.std())
        network.head.bias.sub_(logits.median()).div_(logits.std())
    return network


def save_run(folder, members):
    """A run as far as prediction needs one."""
    for network, config in members:
        place = folder / (f"fold_{config.fold}" if config.folds > 1 else ".") / "checkpoints"
        place.mkdir(parents=True)
        weights = {f"network.{name}": values for name, values in network.state_dict().items()}
        facts = {"hyper_parameters": {"config": dataclasses.asdict(config)}, "state_dict": weights}
        torch.save(facts, place / "best.ckpt")
    (folder / "masks.json").write_text(json.dumps({"rules": dataclasses.asdict(RULES)}))
    return folder


def read_table(out):
    return pd.read_csv(out / "predictions.csv", dtype={"sample_id": str})


def read_files(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}


def test_a_mask_is_what_the_rules_make_of_the_map_at_the_size_of_the_file(images, members, tmp_path):
    found = predict_images(members, RULES, images, tmp_path, say=pytest.fail)
    assert found == (20, 0, [])
    table = read_table(tmp_path)
    assert list(table) == ["sample_id", "height", "width", "mask_share", "expected_dice", "agreement"]
    assert table["sample_id"].tolist() == images["sample_id"].tolist()
    maps = predict_member_maps(members, images["image_path"])
    for row, image, own in zip(table.itertuples(), images.itertuples(), maps, strict=True):
        mask = cv2.imread(str(tmp_path / f"{image.sample_id}.png"), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(mask, 255 * make_mask(average_maps(own), RULES))
        assert mask.dtype == np.uint8
        assert (row.height, row.width) == mask.shape == image_size(image.image_path)
        assert row.mask_share == pytest.approx((mask > 0).mean())
        doubts = describe_maps(own, RULES)
        assert (row.expected_dice, row.agreement) == (doubts["expected_dice"], doubts["agreement"])
    assert 0.05 < table["mask_share"].mean() < 0.95
    assert sorted(path.suffix for path in tmp_path.iterdir()) == ["", ".csv", *[".png"] * 20]


def test_masks_of_test_images_are_those_of_the_submission(phantoms, members, tmp_path):
    test, _ = list_requested(phantoms, scale=Scale(0, 255))
    rles = {
        name: encode_rle(make_mask(average_maps(maps), RULES)) for name, maps in predict_requested(members, test, {})
    }
    write_submission(tmp_path / "submission.csv", rles)
    predict_images(members, RULES, list_images(phantoms / "Test" / "Image"), tmp_path / "masks")
    handed_in = read_submission(tmp_path / "submission.csv")
    assert len(handed_in) == 4
    for name, rle in handed_in.items():
        mask = read_mask(tmp_path / "masks" / f"{name}.png")
        assert np.array_equal(decode_rle(rle, mask.shape), mask)


def test_one_network_agrees_with_nobody_and_the_table_has_no_such_column(images, members, tmp_path):
    predict_images(members[:1], RULES, images[:2], tmp_path)
    assert list(read_table(tmp_path)) == ["sample_id", "height", "width", "mask_share", "expected_dice"]


def test_maps_are_files_of_16_bits_whose_values_over_65535_are_probabilities(images, members, tmp_path):
    predict_images(members, RULES, images[:3], tmp_path, with_maps=True)
    for image, maps in zip(
        images[:3].itertuples(), predict_member_maps(members, images["image_path"][:3]), strict=True
    ):
        levels = cv2.imread(str(tmp_path / "probabilities" / f"{image.sample_id}.png"), cv2.IMREAD_UNCHANGED)
        assert levels.dtype == np.uint16
        assert np.abs(levels / 65535 - average_maps(maps)).max() <= 0.51 / 65535
        assert levels.max() > 20000


# what is there already


@pytest.fixture
def computed(monkeypatch):
    """The files that were given to the networks, in this process."""
    seen = []
    read = probabilities.read_resized

    def watch(path, size, **how):
        seen.append(os.path.basename(path))
        return read(path, size, **how)

    monkeypatch.setattr(probabilities, "read_resized", watch)
    return seen


def test_nothing_is_computed_twice(images, members, tmp_path, computed):
    said = []
    predict_images(members, RULES, images, tmp_path)
    before, _ = read_files(tmp_path), computed.clear()
    found = predict_images(members, RULES, images, tmp_path, say=said.append)
    assert computed == []
    assert (found.images, found.missing) == (20, 0)
    assert said == ["20 of 20 images are done already"]
    assert read_files(tmp_path) == before


def test_an_image_that_was_added_or_changed_or_whose_mask_was_lost_is_computed(images, members, tmp_path, computed):
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    for image in images[:4].itertuples():
        os.symlink(image.image_path, folder / os.path.basename(image.image_path))
    predict_images(members, RULES, list_images(folder), out)
    computed.clear()
    names = [os.path.basename(path) for path in images["image_path"]]
    changed = folder / names[1]
    content = changed.read_bytes()
    changed.unlink()
    changed.write_bytes(content)
    os.symlink(images["image_path"][4], folder / names[4])
    (out / f"{images['sample_id'][2]}.png").unlink()
    predict_images(members, RULES, list_images(folder), out)
    assert sorted(set(computed)) == [names[1], names[2], names[4]]
    assert len(read_table(out)) == 5


def test_maps_that_are_wanted_later_are_computed_then(images, members, tmp_path, computed):
    predict_images(members, RULES, images[:2], tmp_path)
    computed.clear()
    predict_images(members, RULES, images[:2], tmp_path, with_maps=True)
    assert len(set(computed)) == 2
    computed.clear()
    predict_images(members, RULES, images[:2], tmp_path)
    assert computed == []


@pytest.mark.parametrize("with_maps", [False, True])
def test_a_picture_that_came_back_is_not_taken_for_the_one_that_was_there_meanwhile(
    images, members, tmp_path, with_maps
):
    folder, out = tmp_path / "images", tmp_path / "out"
    folder.mkdir()
    picture, other = images["image_path"][:2]
    place = folder / "a.jpg"
    shutil.copy2(picture, place)
    predict_images(members, RULES, list_images(folder), out, with_maps=True)
    first = {name: (out / name).read_bytes() for name in ("a.png", "probabilities/a.png", "predictions.csv")}
    shutil.copy2(other, place)
    os.utime(place, (1, 1))
    predict_images(members, RULES, list_images(folder), out, with_maps=with_maps)
    assert (out / "probabilities" / "a.png").exists() == with_maps
    assert (out / "a.png").read_bytes() != first["a.png"]
    predict_images(members, RULES, list_images(folder), out, with_maps=True)
    assert (out / "probabilities" / "a.png").read_bytes() != first["probabilities/a.png"]
    shutil.copy2(picture, place)
    predict_images(members, RULES, list_images(folder), out, with_maps=True)
    assert {name: (out / name).read_bytes() for name in first} == first
    place.write_bytes(b"no picture")
    predict_images(members, RULES, list_images(folder), out)
    assert not (out / "a.png").exists()
    assert not (out / "probabilities" / "a.png").exists()


def test_of_what_is_known_the_newest_counts(images, members, tmp_path, computed):
    predict_images(members, RULES, images[:1], tmp_path)
    (journal,) = (tmp_path / ".predictions").glob("*.jsonl")
    record = json.loads(journal.read_text())
    computed.clear()
    for when, stamp in ((10, "as it was"), (9, record["stamp"])):
        (tmp_path / ".predictions" / f"0-{when}.jsonl").write_text(json.dumps(record | {"stamp": stamp}) + "\n")
    journal.unlink()
    predict_images(members, RULES, images[:1], tmp_path)
    assert len(computed) > 0


class StopError(Exception):
    pass


def test_what_was_stopped_goes_on_where_it_was_and_ends_as_if_it_had_not_been(
    images, members, tmp_path, computed, monkeypatch
):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    predict_images(members, RULES, images, whole)
    make, calls = folders.make_mask, []

    def stop_at_the_ninth(*given):
        calls.append(given)
        if len(calls) == 9:
            raise StopError
        return make(*given)

    monkeypatch.setattr(folders, "make_mask", stop_at_the_ninth)
    with pytest.raises(StopError):
        predict_images(members, RULES, images, stopped)
    monkeypatch.setattr(folders, "make_mask", make)
    assert not (stopped / "predictions.csv").exists()
    (journal,) = (stopped / ".predictions").glob("*.jsonl")
    done = len(journal.read_text().splitlines())
    assert 1 <= done < 20
    with open(journal, "a") as file:
        file.write('{"sample_id": "train_00')  # as of a process that is killed while it writes
    computed.clear()
    predict_images(members, RULES, images, stopped)
    assert len(set(computed)) == 20 - done
    assert_alike(stopped, whole)


def assert_alike(out, whole):
    """The same files; batches of another size may round otherwise, so that a pixel or two at the threshold differ."""
    assert set(read_files(out)) == set(read_files(whole))
    for path in whole.glob("*.png"):
        differ = cv2.imread(str(path)) != cv2.imread(str(out / path.name))
        assert differ.mean() < 0.002
    numbers = [read_table(place).drop(columns="sample_id") for place in (out, whole)]
    assert np.allclose(*numbers, atol=0.002)
    assert read_table(out)["sample_id"].tolist() == read_table(whole)["sample_id"].tolist()
    assert not list((out / ".predictions").glob("*.part"))


def test_a_file_comes_to_its_place_when_it_is_whole(images, members, tmp_path, monkeypatch):
    written, write = [], folders.Path.write_bytes
    monkeypatch.setattr(folders.Path, "write_bytes", lambda path, data: written.append(path) or write(path, data))
    predict_images(members, RULES, images[:2], tmp_path, with_maps=True)
    assert len(written) == 6  # the claim, two masks, two maps, the table
    assert {path.parent for path in written} == {tmp_path / ".predictions"}


def test_a_file_that_a_full_disk_cut_short_is_not_taken_for_a_mask(images, members, tmp_path, monkeypatch):
    def fill_the_disk(path, data):
        with open(path, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    predict_images(members, RULES, images[:1], tmp_path)
    monkeypatch.setattr(folders.Path, "write_bytes", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        predict_images(members, RULES, images[:4], tmp_path)
    assert [path.stem for path in tmp_path.glob("*.png")] == images["sample_id"][:1].tolist()
    assert not list((tmp_path / ".predictions").glob("*.part"))
    monkeypatch.undo()
    assert predict_images(members, RULES, images[:4], tmp_path) == (4, 0, [])


# what cannot be


def test_files_that_cannot_be_read_are_listed_and_the_rest_is_done(images, members, tmp_path, computed):
    folder, out, said = tmp_path / "images", tmp_path / "out", []
    folder.mkdir()
    for image in images[:4].itertuples():
        os.symlink(image.image_path, folder / os.path.basename(image.image_path))
    for number in range(7):
        (folder / f"broken_{number}.png").write_bytes(b"x")
    os.symlink("nowhere", folder / "gone.tif")
    found = predict_images(members, RULES, list_images(folder), out, say=said.append)
    assert (found.images, found.missing, len(found.unreadable)) == (12, 0, 8)
    assert len(read_table(out)) == 4
    listed = pd.read_csv(out / "unreadable.csv")
    assert listed["file"].tolist() == [*(f"broken_{number}.png" for number in range(7)), "gone.tif"]
    assert "the image cannot be read (it is no image)" in listed["trouble"][0]
    assert len(said) == 5
    assert said[0].startswith(f"passed over: {folder / 'broken_0.png'}: ")

    computed.clear()
    os.replace(folder / os.path.basename(images["image_path"][0]), folder / "broken_3.png")
    found = predict_images(members, RULES, list_images(folder), out)
    assert (len(found.unreadable), len(read_table(out))) == (7, 4)
    assert "broken_3" in set(read_table(out)["sample_id"])
    assert "broken_0.png" in computed  # alone, it is tried again

    for path in folder.glob("broken_*"):
        path.unlink()
    (folder / "gone.tif").unlink()
    predict_images(members, RULES, list_images(folder), out)
    assert not (out / "unreadable.csv").exists()
    assert len(read_table(out)) == 3


def test_an_image_that_memory_does_not_hold_has_no_mask_until_it_does(images, members, tmp_path, monkeypatch):
    def fail(path, size, **how):
        raise MemoryError

    one, rank = images[:1], Rank(2, 3)
    monkeypatch.setattr(probabilities, "read_resized", fail)
    predict_images(members, RULES, one, tmp_path, rank=rank)
    found = predict_images(members, RULES, one, tmp_path)
    assert found.unreadable == [f"{images['image_path'][0]}: memory does not hold it; make it smaller"]
    assert (tmp_path / "predictions.csv").read_text().startswith("sample_id,height,width,")
    monkeypatch.undo()
    assert predict_images(members, RULES, one, tmp_path).unreadable == []
    (tmp_path / ".predictions" / "9-9.jsonl").write_text(
        "".join(path.read_text() for path in sorted((tmp_path / ".predictions").glob("*.jsonl"), reverse=True))
    )
    assert predict_images(members, RULES, one, tmp_path, rank=rank).unreadable == []  # whatever failed before


def test_masks_never_replace_images_nor_files_of_somebody_else(members, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((40, 40, 3), 90, np.uint8))
    with pytest.raises(InputError, match="holds the images"):
        predict_images(members, RULES, list_images(folder), folder)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_text("mine")
    with pytest.raises(InputError, match=re.escape("holds a a.png that is not of a prediction")):
        predict_images(members, RULES, list_images(folder), tmp_path / "out")
    assert read_files(tmp_path / "out") == {"a.png": b"mine"}


def test_predictions_of_two_runs_or_of_two_folders_are_not_mixed(images, members, tmp_path):
    predict_images(members, RULES, images[:2], tmp_path)
    before = read_files(tmp_path)
    other = [(build_model(make_config(**{**vars(config), "seed": 5})), config) for _, config in members]
    with pytest.raises(InputError, match="by another run"):
        predict_images(other, RULES, images[:2], tmp_path)
    with pytest.raises(InputError, match="by another run"):
        predict_images(members, MaskRules(), images[:2], tmp_path)
    moved = images[:2].assign(image_path=["/elsewhere/" + os.path.basename(path) for path in images["image_path"][:2]])
    with pytest.raises(InputError, match=re.escape(f"of the images in {os.path.dirname(images['image_path'][0])}")):
        predict_images(members, RULES, moved, tmp_path)
    assert read_files(tmp_path) == before


# several processes


def test_whoever_finds_that_nothing_is_missing_writes_the_table(images, members, tmp_path, computed):
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    predict_images(members, RULES, images, whole)
    left = []
    for index in (2, 0, 1):
        computed.clear()
        left.append(predict_images(members, RULES, images, shared, rank=Rank(index, 3)).missing)
        assert sorted(set(computed)) == [os.path.basename(path) for path in images["image_path"][index::3]]
        assert (shared / "predictions.csv").exists() == (index == 1)
    assert left == [14, 7, 0]
    assert_alike(shared, whole)


def test_an_unreadable_file_of_one_process_is_known_to_the_last(images, members, tmp_path, computed):
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"x")
    os.symlink(images["image_path"][0], folder / "b.png")
    found = [predict_images(members, RULES, list_images(folder), tmp_path / "out", rank=Rank(i, 2)) for i in (0, 1)]
    assert [(one.missing, len(one.unreadable)) for one in found] == [(1, 1), (0, 1)]
    computed.clear()
    again = predict_images(members, RULES, list_images(folder), tmp_path / "out", rank=Rank(0, 2))
    assert (again.missing, len(again.unreadable), computed) == (0, 1, [])


def start(words, index):
    """One of two processes, as torchrun would start them."""
    command = [sys.executable, "-m", "seglib", "predict", *map(str, words)]
    shape = {"RANK": index, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": index, "OMP_NUM_THREADS": 1}
    environment = {**os.environ, "TORCHELASTIC_RUN_ID": "x", **{name: str(value) for name, value in shape.items()}}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


@pytest.fixture
def whole(members, images, tmp_path):
    """What one process makes, by the networks of a run in the folder beside."""
    run, out = save_run(tmp_path / "run", members), tmp_path / "whole"
    predict_images(load_members(run), RULES, images, out)
    return out


def test_two_processes_share_a_folder(phantoms, whole, tmp_path):
    run, shared = tmp_path / "run", tmp_path / "shared"
    processes = [start([run, phantoms / "Train" / "Image", "--out", shared], index) for index in range(2)]
    said = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert f"table       {shared / 'predictions.csv'}" in "".join(said)
    assert sorted(path.name[:2] for path in (shared / ".predictions").glob("*.jsonl")) == ["0-", "1-"]
    assert_alike(shared, whole)


def test_a_later_run_repairs_what_a_killed_process_left(phantoms, images, whole, tmp_path):
    run, out = tmp_path / "run", tmp_path / "out"
    process = start([run, phantoms / "Train" / "Image", "--out", out], 0)
    while not list(out.glob("*.png")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    members = load_members(run)
    predict_images(members, RULES, images, out, rank=Rank(1, 2))
    predict_images(members, RULES, images, out)
    assert set(read_files(out)) == set(read_files(whole))
    assert read_table(out)["sample_id"].tolist() == read_table(whole)["sample_id"].tolist()
