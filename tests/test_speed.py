import ast
import dataclasses
import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from seglib.batches import cache
from seglib.batches.augmentation import make_transform
from seglib.errors import InputError
from seglib.models.networks import build_model
from seglib.scores.metrics import dice_score

FOLDER = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(FOLDER))

import speed  # noqa: E402
import speed_table  # noqa: E402
from contenders import augmentation, chip, imports, job, network, ours, plain, run_lengths, seed  # noqa: E402

TRAINERS = ("ours", "plain", "monai_cached", "seed")
OTHERS = ("plain", "monai_cached", "seed", "network", "augmentation", "job")


@pytest.fixture
def tiny_job(phantoms, tmp_path):
    row = speed.Row("epoch", {}, "plain", images=8, epochs=2)
    made = speed.make_job(row, phantoms, speed.list_pairs(phantoms), quick=True, threads=1, where="here")
    return dataclasses.replace(made, workers=0, scratch=str(tmp_path))


def contender(name):
    return importlib.import_module(f"contenders.{name}")


# what the contenders do


def batches_of(name, a_job, folder):
    """Float images in [0, 1] and masks, as the contender's own loader hands them out."""
    if name == "ours":
        loader, _ = ours.make_job_loaders(a_job, folder)
        return [(batch["image"] / 255, batch["mask"].float()) for batch in loader]
    batches = list(contender(name).make_loader(a_job))
    if name == "monai_cached":
        return [(batch["image"], batch["mask"]) for batch in batches]
    if name == "plain":
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        return [(images * std + mean, masks) for images, masks in batches]
    return batches


@pytest.mark.parametrize("name", TRAINERS)
def test_every_contender_sees_the_same_images_and_masks_once_an_epoch(name, tiny_job, tmp_path):
    own = dataclasses.replace(tiny_job, augment=False)
    images, masks = (torch.cat(parts) for parts in zip(*batches_of(name, own, tmp_path / "cache"), strict=True))
    assert images.shape == (8, 3, 32, 32)
    assert masks.shape == (8, 1, 32, 32)
    assert set(masks.unique().tolist()) == {0, 1}
    found = torch.cat([images.mean((2, 3)), masks.mean((2, 3))], dim=1)
    expected = []
    for image_path, mask_path in tiny_job.pairs[:8]:
        image, mask = plain.cv2.imread(image_path)[..., ::-1] / 255, plain.cv2.imread(mask_path, 0) > 127
        expected.append([*image.mean((0, 1)), mask.mean()])
    for row in torch.tensor(np.array(expected)):
        assert (found - row).abs().max(dim=1).values.min() < 0.03
    assert len({tuple(row) for row in found.mul(1000).round().tolist()}) == 8


@pytest.mark.parametrize("name", TRAINERS)
def test_every_contender_trains_on_and_counts_every_image_in_every_epoch(name, tiny_job):
    result = contender(name).train(tiny_job)
    assert result["images"] == [8, 8]
    assert len(result["seconds"]) == 2
    assert min(result["seconds"]) > 0


@pytest.mark.parametrize("name", ["ours", "plain", "monai_cached"])
def test_a_loader_alone_counts_the_same_images(name, tiny_job):
    """Also those that seglib validates by: else it would decode more images than the others do."""
    assert contender(name).load(tiny_job)["images"] == [8 + speed.VALIDATION] * 2


@pytest.mark.parametrize("name", ["ours", "plain", "monai_cached"])
def test_augmentation_changes_what_a_loader_hands_out(name, tiny_job, tmp_path):
    means = []
    for augment in (False, True):
        own = dataclasses.replace(tiny_job, augment=augment)
        images = torch.cat([images for images, _ in batches_of(name, own, tmp_path / "cache")])
        means.append(sorted(images.mean((1, 2, 3)).tolist()))
    assert not np.allclose(*means, atol=1e-3)


def test_the_augmentation_of_the_others_is_that_of_seglib():
    written = augmentation.A.Compose([*augmentation.turn_and_bend(), *augmentation.warp_and_colour()])
    assert written.to_dict() == make_transform(3).to_dict()


@pytest.mark.parametrize("name", ["plain", "lite2"])
def test_the_network_of_the_others_is_that_of_seglib(name, tiny_job):
    config = ours.make_settings(dataclasses.replace(tiny_job, network=name))
    shapes = [
        sorted(tuple(p.shape) for p in made.parameters())
        for made in (build_model(config, pretrained=False), network.make_network(name))
    ]
    assert shapes[0] == shapes[1]


def test_the_others_borrow_nothing_of_seglib_but_the_plain_network_and_the_file_of_weights():
    found = set()
    for name in OTHERS:
        for node in ast.walk(ast.parse((FOLDER / "contenders" / f"{name}.py").read_text())):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            found |= {module for module in modules if module.split(".")[0] == "seglib" or module == "contenders.ours"}
    assert found == {"seglib.models.networks", "seglib.models.weights"}


def test_the_seeds_way_tells_its_preparation_apart(tiny_job, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(seed, "now", lambda: next(clock))
    result = seed.train(tiny_job)
    assert result["preparation"] == 10
    assert max(result["seconds"]) < 10  # timed by the real clock: preparation is not in them


def test_our_epoch_ends_where_its_validation_begins(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(job, "now", lambda: next(clock))
    laps, model = job.Laps(), nn.Identity()
    next(clock)  # what is made for the first epoch counts
    told = []
    loader = type("Loader", (), {})()
    loader.sampler = type("Sampler", (), {"set_epoch": staticmethod(told.append)})()
    model = ours.Timed(model, laps)
    ours._begin_epochs(laps, loader)
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        model.train()
        model(torch.zeros(4, 1))
        model(torch.zeros(3, 1))
        model.eval()
        model(torch.zeros(5, 1))
        model(torch.zeros(5, 1))
        next(clock)  # time goes by in validation
    assert told == [0, 1]
    assert laps.result() == {"seconds": [2, 1], "images": [7, 7]}


def test_a_compiled_training_is_that_of_the_network_alone_and_else_the_same(tiny_job, monkeypatch):
    compiled, compile_ = [], torch.nn.Module.compile

    def trace(self, mode):
        compiled.append(type(self))
        compile_(self, backend="eager")

    torch.compiler.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    assert ours.train_compiled(tiny_job)["images"] == ours.train(tiny_job)["images"] == [8, 8]
    assert len(compiled) == 1
    assert compiled[0] is not ours.Timed
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent == Path(tiny_job.scratch)
    torch.compiler.reset()


def test_the_time_around_a_network_leaves_its_encoder_where_the_optimizer_looks(tiny_job):
    network = build_model(ours.make_settings(dataclasses.replace(tiny_job, network="lite2")), pretrained=False)
    assert ours.Timed(network, job.Laps()).encoder is network.encoder
    assert not hasattr(ours.Timed(nn.Identity(), job.Laps()), "encoder")


def test_a_warm_start_finds_the_cache_and_a_cold_one_does_not(tiny_job, monkeypatch):
    monkeypatch.setenv(job.STARTED, "0")
    decoded, real = [], cache.read_mask
    monkeypatch.setattr(cache, "read_mask", lambda path: decoded.append(path) or real(path))
    counts = []
    for function in (ours.start_cold, ours.fill_cache, ours.start_warm, ours.start_cold):
        decoded.clear()
        function(tiny_job)
        counts.append(len(decoded))
    assert counts == [10, 10, 0, 10]


@pytest.mark.parametrize("name", ["ours", "plain"])
def test_prediction_makes_a_mask_of_every_file(name, tiny_job):
    assert contender(name).predict(tiny_job)["images"] == [8, 8]


@pytest.mark.parametrize("name", ["ours", "plain"])
def test_a_step_is_timed_per_batch_after_warming_up(name, tiny_job, monkeypatch):
    monkeypatch.setattr(contender(name), "now", iter([0.0, 6.0]).__next__)
    assert contender(name).step(tiny_job) == {"seconds": [3.0], "images": [4]}


def test_a_compiled_step_is_timed_apart_from_its_compilation(tiny_job, monkeypatch):
    compiled = []
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compiled.append(mode))
    monkeypatch.setattr(ours, "now", iter([0.0, 50.0, 56.0, 57.0]).__next__)  # two steps take 6 s of the 57
    assert ours.step_compiled(tiny_job) == {"seconds": [3.0], "images": [4], "preparation": 51.0}
    assert compiled == [None]  # on a CPU
    kept = Path(os.environ["TORCHINDUCTOR_CACHE_DIR"])
    assert kept.parent == Path(tiny_job.scratch)  # where nothing of another turn is


@pytest.mark.parametrize(("channels", "groups"), [(6, 1), (6, 3)])
def test_operations_are_those_of_forward_and_twice_that_backward_also_of_channels_apart(monkeypatch, channels, groups):
    monkeypatch.setattr(chip, "make_network", lambda name: nn.Conv2d(3, channels, 3, padding=1, groups=groups))
    assert chip.count_flops("any", 16) == 3 * (2 * 3 // groups * channels * 9 * 16 * 16)


def test_the_peak_is_that_of_the_quickest_product(monkeypatch):
    monkeypatch.setattr(chip, "SIDE", {"cpu": 10})
    monkeypatch.setattr(chip, "now", iter([0, 0.1, 1, 5, 10, 12, 20, 24, 30, 38]).__next__)
    assert chip.measure_peak("cpu", torch.float32) == 2 * 10**3 / 2


@pytest.mark.parametrize(("name", "most"), [("ours", 2), ("plain", 2 * plain.PATIENCE)])
def test_the_way_to_good_masks_ends_with_the_epoch_that_has_them(name, most, tiny_job, monkeypatch):
    way = dataclasses.replace(tiny_job, image_size=32)
    for enough, epochs in ((0.0, 1), (1.1, None)):
        monkeypatch.setattr(job, "ENOUGH", enough)
        monkeypatch.setattr(plain, "ENOUGH", enough)
        found = contender(name).reach(way)
        assert found["epochs"] == epochs
    assert found["seconds"] == [float("inf")]
    assert len(found["dice"]) == most


def test_the_epoch_of_good_masks_is_the_first_one_and_not_the_best():
    assert job.describe_reach([0.5, 0.92, 0.91, 0.95], [1, 3, 6, 9])["seconds"] == [3]
    assert job.describe_reach([0.5, 0.92, 0.91, 0.95], [1, 3, 6, 9])["epochs"] == 2


def test_the_plain_loop_scores_each_image_by_itself(tiny_job):
    trainer = plain.Trainer(tiny_job)
    trainer.network = nn.Sequential(nn.Conv2d(3, 1, 1))
    batches = [(torch.randn(3, 3, 8, 8), torch.randint(2, (3, 1, 8, 8)).float()) for _ in range(2)]
    expected = [dice_score(trainer.network(images) > 0, masks) for images, masks in batches]
    assert trainer.evaluate(batches) == pytest.approx(torch.cat(expected).mean().item())
    assert trainer.network.training


def test_images_to_validate_by_are_no_training_images_and_of_all_kinds(phantoms):
    pairs = speed.list_pairs(phantoms)
    row = speed.Row("reach", {}, "plain", images=10**6, epochs=1, size=128, held_out=0.25)
    made = speed.make_job(row, phantoms, pairs, quick=False, threads=1, where="")
    assert len(made.val_pairs) == round(len(pairs) / 4)
    assert made.images % made.batch_size == 0
    assert not set(made.train_pairs) & set(made.val_pairs)
    places = sorted(pairs.index(pair) for pair in made.val_pairs)
    assert places[0] < len(pairs) / 4
    assert places[-1] > len(pairs) / 2
    assert made.image_size == 128


def test_the_loop_over_pixels_writes_what_seglib_writes(tiny_job):
    from seglib.submission.run_lengths import encode_rle

    rng = np.random.default_rng(0)
    for mask in [*(rng.random((20, 5, 7)) > 0.5).astype(np.uint8), np.zeros((3, 2)), np.ones((3, 2))]:
        assert run_lengths.encode_by_loop(mask) == encode_rle(mask)
        assert np.array_equal(run_lengths.decode_by_loop(encode_rle(mask), mask.shape), mask)
    for function in (run_lengths.ours, run_lengths.coco, run_lengths.loop):
        assert function(tiny_job)["images"] == [8, 8]


def test_a_coder_that_gives_other_masks_back_is_refused(tiny_job):
    with pytest.raises(RuntimeError, match="did not give back"):
        run_lengths._time(tiny_job, lambda mask: mask, lambda mask, shape: 1 - mask)


def test_all_modules_that_notebooks_import_are_found():
    modules = imports.list_modules()
    assert {
        "seglib.training.members",
        "seglib.data.samples",
        "seglib.submission.files",
        "seglib.training.history",
    } <= set(modules)
    assert all(importlib.util.find_spec(name) for name in modules)


# what is measured, and when


def arguments(*words):
    return speed._parser().parse_args(["--data", "phantoms", *words])


def test_contenders_take_turns_and_share_their_images(phantoms):
    jobs = [one for one in speed.plan_jobs(phantoms, None, arguments("--quick")) if one.row == "loader"]
    assert [one.contender for one in jobs] == ["ours", "plain", "monai"] * 2
    assert [one.repeat for one in jobs] == [0, 0, 0, 1, 1, 1]
    assert len({one.pairs for one in jobs}) == 1
    assert len(set(jobs[0].pairs)) == 8 + speed.VALIDATION


def test_a_quick_try_is_small_and_a_whole_bench_is_not(phantoms):
    quick, whole = (
        [one for one in speed.plan_jobs(phantoms, None, arguments("--threads", "3", *words)) if one.row == "epoch"]
        for words in (["--quick"], ["--repeats", "5"])
    )
    assert {(one.threads, one.workers, one.image_size, one.images, one.batch_size) for one in quick} == {
        (1, 1, 32, 8, 4)
    }
    assert {(one.threads, one.workers, one.image_size, one.batch_size) for one in whole} == {
        (3, 3, 128, 9),
        (3, 3, 192, 9),
    }
    assert (len(quick), len(whole)) == (2 * 2 * 4, 5 * 2 * 4)


def test_the_loader_alone_has_as_many_workers_as_that_of_the_others(tiny_job, monkeypatch):
    counts = []
    real = ours.make_loaders
    monkeypatch.setattr(ours, "make_loaders", lambda *given: counts.append(given[2].num_workers) or real(*given))
    ours.load(tiny_job)
    ours.train(tiny_job)
    assert counts == [0, -1]


def test_batches_are_full_whatever_the_size_of_the_set(phantoms):
    pairs, row = speed.list_pairs(phantoms), speed.Row("loader", {}, "plain", images=160, epochs=1)
    for count in range(3, 21):
        made = speed.make_job(row, phantoms, pairs[:count], quick=False, threads=1, where="")
        assert made.images % made.batch_size == 0
        assert made.images > (count - speed.VALIDATION) / 2
        assert len(made.pairs) == made.images + speed.VALIDATION
    with pytest.raises(InputError, match="needs 3"):
        speed.make_job(row, phantoms, pairs[:2], quick=False, threads=1, where="")


def test_the_row_of_camera_images_is_planned_only_where_there_are_some(phantoms):
    counts = [len(speed.plan_jobs(phantoms, native, arguments("--quick"))) for native in (None, phantoms)]
    assert counts[1] - counts[0] == 6


def test_camera_images_are_found_beside_the_data(phantoms, tmp_path):
    for name in ("isic2016", "isic_native"):
        (tmp_path / name / "Train" / "Image").mkdir(parents=True)
    assert speed.find_sets(str(tmp_path / "isic2016"), None, tmp_path)[1] == tmp_path / "isic_native"
    assert speed.find_sets(str(phantoms), None, tmp_path)[1] is None
    with pytest.raises(InputError, match="--native"):
        speed.find_sets(str(phantoms), str(tmp_path), tmp_path)


def test_every_row_has_its_first_turn_before_any_has_its_second(phantoms):
    turns = speed.missing_turns(speed.plan_jobs(phantoms, None, arguments("--quick")), [])
    names = [(turn[0].row, turn[0].network) for turn in turns]
    assert names[: len(names) // 2] == names[len(names) // 2 :]
    assert [turn[0].repeat for turn in turns] == [0] * 12 + [1] * 12
    assert all(
        [job.contender for job in turn] == [job.contender for job in turns[i % 12]] for i, turn in enumerate(turns)
    )


def test_only_rows_that_are_measured_are_prepared_for_and_once(phantoms, tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(speed, "run_job", lambda one: ran.append(one.call))
    turns = speed.missing_turns(speed.plan_jobs(phantoms, None, arguments("--quick")), [])
    speed.prepare_rows(turns, tmp_path)
    speed.prepare_rows([turn for turn in turns if turn[0].row == "rle"], tmp_path)
    assert ran == ["ours:fill_cache"]


def test_an_unknown_row_is_refused_and_known_ones_are_chosen():
    assert speed.choose_rows("rle,epoch") == {"rle", "epoch"}
    assert {"step", "epoch", "loader", "start", "predict", "rle", "imports"} == speed.choose_rows(None)
    assert speed.choose_rows("reach") == {"reach"}  # it takes long, and only who asks for it gets it
    with pytest.raises(InputError, match="no row 'epochs'; choose from"):
        speed.choose_rows("epochs")


def test_a_stopped_bench_goes_on_with_the_turn_in_which_it_stopped(phantoms, tmp_path, monkeypatch):
    jobs = [one for one in speed.plan_jobs(phantoms, None, arguments("--quick")) if one.row == "rle"]
    ran, path = [], tmp_path / "measurements.jsonl"

    def run_job(one):
        if len(ran) == 4:
            raise KeyboardInterrupt
        ran.append((one.repeat, one.contender))
        return {"whole_seconds": 1.0, "seconds": [1.0], "images": [8]}

    monkeypatch.setattr(speed, "run_job", run_job)
    first, second = speed.missing_turns(jobs, [])
    speed.measure_turn(first, path, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        speed.measure_turn(second, path, tmp_path)
    with path.open("a") as file:
        file.write('{"job": {"row"')  # cut off in the middle
    ran.clear()
    for turn in speed.missing_turns(jobs, speed.read_measurements(path)):
        speed.measure_turn(turn, path, tmp_path)
    assert ran == [(1, "ours"), (1, "coco"), (1, "loop")]  # whole, so that the three stand side by side
    assert not list(speed.missing_turns(jobs, speed.read_measurements(path)))
    assert len(speed.keep_planned(jobs, speed.read_measurements(path))) == 6
    assert len(speed.read_measurements(path)) == 7  # none was lost below the line that was cut off


def test_what_another_revision_or_size_measured_is_not_taken_for_this_one(phantoms):
    jobs = [one for one in speed.plan_jobs(phantoms, None, arguments("--quick")) if one.row == "rle"]
    records = [{"job": speed.identify(one), "result": {}} for one in jobs]
    assert len(speed.keep_planned(jobs, records)) == 6
    for change in ({"where": "another revision"}, {"images": 4}, {"threads": 7}):
        others = [dataclasses.replace(one, **change) for one in jobs]
        assert speed.keep_planned(others, records) == []
        assert len(list(speed.missing_turns(others, records))) == 2


def test_a_measurement_is_a_process_of_its_own_with_its_threads_and_memory(tiny_job, monkeypatch):
    own = dataclasses.replace(tiny_job, contender="loop", call="run_lengths:loop", threads=3)
    assert speed._environment(own)["OMP_NUM_THREADS"] == "3"
    monkeypatch.setenv("PYTHONPATH", "somewhere")
    assert speed._environment(own)["PYTHONPATH"].split(os.pathsep) == [str(FOLDER), str(FOLDER.parent), "somewhere"]
    result = speed.run_job(own)
    assert result["images"] == [8, 8]
    assert result["memory"] > 10e6
    assert result["whole_seconds"] > sum(result["seconds"])
    assert result["device"] == "cpu"


def test_a_contender_that_fails_is_named_with_its_last_words(tiny_job):
    own = dataclasses.replace(tiny_job, contender="loop", call="run_lengths:none_such")
    with pytest.raises(RuntimeError, match=r"loop \(run_lengths:none_such\) failed: .*AttributeError"):
        speed.run_job(own)


# what is written


def record(row, contender, repeat, *, network="plain", data="sets/skin", **result):
    shape = {"image_size": 128, "batch_size": 16, "images": 32, "threads": 2, "where": "a machine"}
    made = {"row": row, "contender": contender, "repeat": repeat, "network": network, "data": data}
    defaults = {"images": [32, 32, 32], "memory": 5e8, "device": "cpu"}
    return {"job": made | shape, "result": defaults | result}


def find_line(records, what, against=None):
    lines = [line for line in speed_table.list_lines(records) if line.what == what]
    return next(line for line in lines if against in (None, line.against))


def test_ratios_are_those_of_pairs_and_not_of_medians():
    ours_seconds, theirs = [[9, 1], [9, 2], [9, 4]], [[9, 3], [9, 2], [9, 16]]
    records = [record("epoch", "ours", i, seconds=s) for i, s in enumerate(ours_seconds)]
    records += [record("epoch", "plain", i, seconds=s) for i, s in reversed(list(enumerate(theirs)))]
    line = find_line(records, "later epoch, plain U-Net, width 16", "plain PyTorch and smp")
    assert line.numbers == [3, 1, 4]  # the ratio of the medians would be 1.5
    assert speed_table.describe_numbers(line.numbers, line.unit) == "3.00 (1.00 to 4.00) times"
    assert speed_table.judge(line) == ("at least 1.5 times", "met")
    assert find_line(records, "first epoch, plain U-Net, width 16", "plain PyTorch and smp").numbers == [1, 1, 1]


def test_a_turn_that_only_one_has_finished_is_left_out():
    records = [record("epoch", "ours", i, seconds=[2, 1]) for i in range(3)]
    records.append(record("epoch", "monai", 1, seconds=[2, 1]))
    assert find_line(records, "later epoch, plain U-Net, width 16", "MONAI, cached").numbers == [1]


def test_contenders_that_saw_other_numbers_of_images_are_not_compared():
    records = [record("epoch", "ours", 0, seconds=[2, 1]), record("epoch", "plain", 0, seconds=[2, 1], images=[31, 31])]
    with pytest.raises(ValueError, match="cannot be compared"):
        speed_table.list_lines(records)


def test_a_target_is_met_or_missed_by_the_median_and_at_its_edge():
    def verdict(numbers, target):
        return speed_table.judge(speed_table.Line("", "", numbers, "share", target))[1]

    least, under = speed_table.Target("at least", 2), speed_table.Target("under", 0.05)
    assert verdict([1, 2, 9], least) == "met"
    assert verdict([1.99, 1.99, 9], least) == "missed"
    assert verdict([0.049, 0.049, 0.9], under) == "met"
    assert verdict([0.05], under) == "missed"
    assert verdict([], under) == "not measured"
    assert speed_table.judge(speed_table.Line("", "", [1.0], "share", under))[0] == "under 5 %"


def test_every_target_of_the_project_has_a_line():
    records = [
        record("loader", "ours", 0, data=d, network="lite2", seconds=[1, 1]) for d in ("a/skin", "b/isic_native")
    ]
    found = {
        (line.what, line.against): speed_table.judge(line)[0] for line in speed_table.list_lines(records) if line.target
    }
    single = ["at least 2 times", "at least 1 times", "at least 15 times", "under 3 s"]
    assert sorted(found.values()) == sorted([*single, *["at least 1.5 times"] * 4, *["under 5 %"] * 2])
    others = "plain PyTorch and smp"
    assert found["loader alone, later epoch, skin", others] == "at least 2 times"
    assert found["loader alone, first epoch, isic_native", others] == "at least 1 times"
    assert found["loader alone, later epoch, isic_native", others] == "at least 15 times"


def test_shares_are_those_of_the_ceiling_the_chip_and_the_waiting():
    records = [
        record("epoch", "ours", 0, seconds=[9, 4, 4], wait_share=[0.5, 0.02, 0.04]),
        record("step", "ours", 0, seconds=[1.5], images=[16]),
        record("step", "chip", 0, flops_per_image=30, peak=640),
    ]
    name = "plain U-Net, width 16"
    assert find_line(records, f"later epoch, {name}", "our step without loader (the ceiling)").numbers == [0.75]
    assert find_line(records, f"that step, {name}").numbers == [0.5]  # 30 * 16 / 1.5 of 640
    assert find_line(records, f"waiting for the loader, {name}").numbers == [0.03]
    del records[0]["result"]["wait_share"]
    assert find_line(records, f"waiting for the loader, {name}").numbers == []


def test_preparation_memory_start_and_imports_come_from_their_records():
    records = [
        record("epoch", "seed", 0, seconds=[2, 2], preparation=5, memory=7e8),
        record("start", "ours_warm", 0, seconds=[2.5]),
        record("start", "ours_cold", 0, seconds=[5]),
        record("start", "plain", 0, seconds=[10]),
        record("imports", "ours", 0, seconds=[6]),
        record("imports", "torch", 0, seconds=[3]),
    ]
    assert find_line(records, "preparation of the seed's way, plain U-Net, width 16").numbers == [2.5]
    assert find_line(records, "peak memory of training, plain U-Net, width 16", "the seed's way").numbers == [7e8]
    assert find_line(records, "start to first batch, warm", "plain PyTorch and smp").numbers == [4]
    assert find_line(records, "start to first batch, cold", "plain PyTorch and smp").numbers == [2]
    assert find_line(records, "start to first batch, warm", "the clock").numbers == [2.5]
    assert find_line(records, "all imports of our notebooks").numbers == [2]


def test_compiling_is_held_against_the_same_step_without_it_and_what_it_takes_is_told():
    records = [
        record("compile", "ours", 0, seconds=[3]),
        record("compile", "compiled", 0, seconds=[2], preparation=40),
        record("step", "ours", 0, seconds=[9]),
    ]
    assert find_line(records, "training step with compile=true, plain U-Net, width 16").numbers == [1.5]
    assert find_line(records, "compiling, plain U-Net, width 16").numbers == [40]


def test_the_way_to_good_masks_is_compared_by_the_clock_and_told_in_epochs():
    records = [
        record("reach", "ours", 0, network="lite2", seconds=[60], epochs=5, images=[]),
        record("reach", "plain", 0, network="lite2", seconds=[150], epochs=4, images=[]),
        record("reach", "ours", 1, network="lite2", seconds=[60], epochs=5, images=[]),
        record("reach", "plain", 1, network="lite2", seconds=[float("inf")], epochs=None, images=[]),
    ]
    assert find_line(records, "training to a Dice of 0.92, U-Net with EfficientNet-Lite2").numbers == [
        2.5,
        float("inf"),
    ]
    assert find_line(records, "epochs to it", "plain PyTorch and smp").numbers == [4, float("inf")]


def test_the_page_says_what_was_measured_where_and_what_was_not():
    records = [
        record("loader", who, 0, network="lite2", seconds=[8 if who == "ours" else 20, 1, 1]) for who in speed.LOAD
    ]
    text = speed_table.describe_speed(records, quick=False)
    row = next(line for line in text.splitlines() if "first epoch, skin | plain PyTorch" in line)
    assert "| 2.50 (2.50 to 2.50) times | 1 |" in row
    assert "Measured on a machine, 2 thread(s) each." in text
    assert "isic_native) were at hand: that row is left out" in text
    assert "loader, U-Net with EfficientNet-Lite2: 32 images of skin at 128 px, batch 16" in text
    assert next(line for line in text.splitlines() if "later epoch, plain U-Net, width 16 | MONAI" in line).endswith(
        "| not measured | 0 | at least 1.5 times | not measured |"
    )
    assert "first epoch, plain U-Net, width 16" not in text  # which has no target to be held against
    assert "smoke" not in text
    assert "## On the GPU" not in text
    records.append(record("loader", "ours", 0, network="lite2", data="sets/isic_native", seconds=[1, 1]))
    text = speed_table.describe_speed(records, quick=True)
    assert "were at hand" not in text
    assert "these numbers mean nothing" in text


def test_a_gpu_adds_images_a_second_how_busy_it_was_and_its_memory():
    facts = {"device": "A GPU", "gpu_busy": 0.5, "gpu_memory": 2e9}
    text = speed_table.describe_speed([record("epoch", "plain", 0, seconds=[2, 0.5, 0.5], **facts)], quick=False)
    row = next(line for line in text.splitlines() if line.startswith("| plain U-Net, width 16 | plain PyTorch"))
    assert "64 (64 to 64) images/s | 50.0 (50.0 to 50.0) % | 2000 (2000 to 2000) MB" in row
    assert "A GPU" in text


def test_a_gpu_is_told_what_compiling_gives_in_whole_epochs():
    how = {"network": "resnet34", "images": [640] * 3}
    records = [
        record("epoch", "ours", 0, seconds=[3, 0.5, 0.5], **how),
        record("epoch", "compiled", 0, seconds=[60, 0.4, 0.4], **how),
    ]
    name = "U-Net with ResNet-34"
    eager, compiled = (
        find_line(records, f"later epoch{what}, {name}", "the clock") for what in ("", " with compile=true")
    )
    assert (eager.numbers, eager.target) == ([1280], None)
    assert compiled.numbers == [1600]
    assert speed_table.judge(compiled) == ("at least 1600 images/s", "met")
    assert find_line(records, f"later epoch with compile=true, {name}", "ours without it").numbers == [1.25, 1.25]
    assert find_line(records, f"first epoch with compile=true, {name}").numbers == [60]
    assert speed_table.judge(find_line(records, "later epoch, plain U-Net, width 64", "the clock"))[1] == "not measured"


@pytest.mark.slow
def test_a_quick_bench_writes_the_table_from_its_own_measurements(phantoms, tmp_path):
    words = ["--quick", "--only", "imports,rle", "--out", str(tmp_path / "out")]  # all of them take many minutes
    given = speed._parser().parse_args(["--data", str(phantoms), *words])
    speed.bench(given)
    text = (tmp_path / "out" / "speed.md").read_text()
    records = speed.read_measurements(tmp_path / "out" / "measurements.jsonl")
    assert {one["job"]["contender"] for one in records} == {"ours", "torch", "coco", "loop"}
    assert text == speed_table.describe_speed(records, quick=True)
    assert {cell for cell in text.split("|") if "not measured" in cell} <= {" not measured "}
    assert not list((tmp_path / "out" / "scratch").glob("tmp*"))
    assert json.loads((tmp_path / "out" / "measurements.jsonl").read_text().splitlines()[0])["job"]["row"] == "imports"
