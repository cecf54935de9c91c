import gc
import multiprocessing
import os
import signal
import tempfile

import numpy as np
import pandas as pd
import pytest
import torch

from seglib.batches import loaders
from seglib.batches.loaders import SeededSampler, make_loaders
from seglib.config import make_config
from seglib.data.folds import assign_folds
from seglib.data.samples import list_samples
from seglib.errors import InputError
from seglib.machine.ranks import ALONE
from seglib.models.checkpoints import load_checkpoint, load_members, member_dir
from seglib.models.networks import build_model, scale_images
from seglib.paths import is_unfinished
from seglib.scores.metrics import dice_score
from seglib.training import callbacks, loop, members, segmenter
from seglib.training.callbacks import HISTORY_COLUMNS, HistoryWriter
from seglib.training.history import NEEDED, find_best_epoch
from seglib.training.loop import fit
from seglib.training.losses import combine_losses
from seglib.training.members import fit_members
from seglib.training.segmenter import Segmenter
from seglib.training.waiting import WaitMeter
from seglib.training.whole import WholeCheckpoints

BCE_DICE = combine_losses([(0.5, "bce"), (0.5, "dice")])


@pytest.fixture
def run(phantoms, tmp_path, tiny):
    """Train on 16 phantoms, validate on 4; give the history, the folder and the configuration."""
    samples = list_samples(phantoms)

    def run_(name="run", **settings):
        config = make_config(**{**vars(tiny), **settings})
        folder = tmp_path / name
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        loaders = make_loaders(samples[:16], samples[16:].reset_index(drop=True), config, tmp_path / "cache")
        return fit(build_model(config), *loaders, config, folder), folder, config, loaders

    return run_


def without_times(history):
    return history.drop(columns=["seconds", "images_per_second", "wait_share"])


def test_it_learns(run):
    settings = {
        "epochs": 25,
        "image_size": 48,
        "norm": "batch",
        "augment": "none",
        "learning_rate": 5e-3,
        "stop_patience": 0,
    }
    history, *_ = run(**settings)
    assert history["train_loss"].iloc[-1] < 0.6 * history["train_loss"].iloc[0]
    assert history["val_dice"].max() > 0.8


def test_the_history_has_a_row_per_epoch_and_the_promised_columns(run):
    history, folder, *_ = run()
    assert list(history) == list(HISTORY_COLUMNS)
    assert set(NEEDED) <= set(history)
    assert history["epoch"].tolist() == [1, 2]
    assert history.notna().all().all()
    assert (history[["seconds", "images_per_second"]] > 0).all().all()
    assert pd.read_csv(folder / "history.csv").equals(history)


def test_an_earlier_fold_holds_nothing_when_the_workers_of_the_next_one_are_forked(run, monkeypatch):
    """What a forked process shares with this one is copied as soon as it is written, and held twice."""
    seen = []

    def look():
        kept = sum(isinstance(thing, Segmenter) for thing in gc.get_objects())
        seen.append((kept, len(multiprocessing.active_children())))

    monkeypatch.setattr(loop, "give_back_memory", look)
    for name in ("one", "two"):
        run(name, num_workers=1, epochs=1)
    assert seen == [(0, 0), (0, 0)]


def test_an_epoch_that_is_run_again_replaces_its_own_row(tmp_path):
    """A run killed between the row and the checkpoint of epoch 3 does epoch 3 once more."""
    rows = pd.DataFrame({"epoch": [1, 2, 3], "val_loss": [0.3, 0.2, 0.1]})
    rows.to_csv(tmp_path / "history.csv", index=False)
    writer = HistoryWriter(tmp_path / "history.csv", None)
    assert writer._earlier(3)["epoch"].tolist() == [1, 2]
    assert len(writer._earlier(1)) == 0


def test_one_line_is_printed_per_epoch_where_nobody_watches(run, capsys):
    run()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]


@pytest.mark.parametrize("settings", [{}, {"ema_decay": 0.9, "norm": "batch", "learning_rate": 0.02}])
def test_a_reloaded_checkpoint_gives_the_score_it_was_kept_for(run, settings):
    history, folder, config, (_, val_loader) = run(epochs=4, monitor="val_dice", **settings)
    network, loaded = load_checkpoint(folder / "checkpoints" / "best.ckpt")
    assert loaded == config
    with torch.inference_mode():
        scores = [dice_score(network(scale_images(b["image"])) > 0, b["mask"]) for b in val_loader]
    assert torch.cat(scores).mean().item() == pytest.approx(history["val_dice"].max(), abs=2e-6)


def test_the_best_weights_are_not_the_last_ones(run, monkeypatch):
    """A state_dict kept without a copy would follow the training; here it goes astray after the first epoch."""
    step = Segmenter.training_step

    def go_astray(self, *batch):
        if self.current_epoch > 0:
            self.network.head.bias.data.fill_(4.0 * self.current_epoch)  # foreground everywhere
        return step(self, *batch)

    monkeypatch.setattr(Segmenter, "training_step", go_astray)
    history, folder, _, (_, val_loader) = run(epochs=3, norm="batch")
    assert history["val_loss"].idxmin() == 0
    losses = []
    for name in ("best", "last"):
        network, _ = load_checkpoint(folder / "checkpoints" / f"{name}.ckpt")
        with torch.inference_mode():
            losses.append(np.mean([BCE_DICE(network(scale_images(b["image"])), b["mask"]) for b in val_loader]))
    assert losses == pytest.approx([history["val_loss"].iloc[0], history["val_loss"].iloc[-1]], rel=1e-4)


@pytest.mark.parametrize(
    "settings",
    [
        {"lr_patience": 0},
        {"schedule": "onecycle", "optimizer": "adamw", "num_workers": 1},
        {"schedule": "cosine", "ema_decay": 0.8, "gradient_clip": 0.5},
    ],
)
def test_a_run_that_was_cut_off_ends_like_one_that_was_not(run, monkeypatch, settings):
    settings = {"epochs": 5, "norm": "batch", "learning_rate": 0.02, **settings}
    whole, *_ = run("whole", **settings)
    step, calls = Segmenter.training_step, []

    def cut_off(self, *batch):
        calls.append(1)
        if len(calls) == 10:  # in the middle of the third epoch of 4 steps
            raise KeyboardInterrupt
        return step(self, *batch)

    monkeypatch.setattr(Segmenter, "training_step", cut_off)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="run the same again"):
        run("cut", **settings)
    assert signal.getsignal(signal.SIGINT) is handler  # a notebook can be interrupted a second time
    monkeypatch.setattr(Segmenter, "training_step", step)
    resumed, *_ = run("cut", **settings)
    pd.testing.assert_frame_equal(without_times(resumed), without_times(whole))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_a_network_leaves_out_is_the_same_where_a_run_goes_on(run, monkeypatch, workers):
    def build(config, **how):
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.Conv2d(config.in_channels, 8, 1), torch.nn.Dropout(), torch.nn.Conv2d(8, 1, 1)
        )

    monkeypatch.setitem(globals(), "build_model", build)
    monkeypatch.setattr("seglib.models.checkpoints.build_model", build)
    settings = {"epochs": 3, "learning_rate": 0.02, "num_workers": workers}
    whole, *_ = run("whole", **settings)
    assert without_times(run("twin", **settings)[0]).equals(without_times(whole))
    monkeypatch.setattr(callbacks, "is_time_up", lambda hours, _: hours > 0)
    run("cut", max_hours=9, **settings)
    torch.manual_seed(7)
    pd.testing.assert_frame_equal(without_times(run("cut", **settings)[0]), without_times(whole))


@pytest.mark.parametrize(
    "settings",
    [{"lr_patience": 0, "num_workers": 2}, {"schedule": "cosine", "ema_decay": 0.8, "monitor": "val_dice"}],
)
def test_a_run_stopped_by_its_time_goes_on_elsewhere_and_ends_like_one_that_was_not(run, monkeypatch, settings, capsys):
    settings = {"epochs": 5, "norm": "batch", "learning_rate": 0.02, **settings}
    whole, there, *_ = run("whole", **settings)
    monkeypatch.setattr(callbacks, "is_time_up", lambda hours, _: hours > 0)
    for epoch in (1, 2, 3):  # three kernels with time for one epoch each
        history, folder, *_ = run(f"part {epoch}", max_hours=9, **settings)
        assert history["epoch"].tolist() == list(range(1, epoch + 1))
        assert "max_hours=9 leaves no time for another epoch" in capsys.readouterr().out
        assert is_unfinished(folder)
        folder.rename(folder.with_name(f"part {epoch + 1}"))
    resumed, here, *_ = run("part 4", **settings)
    assert not is_unfinished(here)
    pd.testing.assert_frame_equal(without_times(resumed), without_times(whole))
    best = [torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True) for folder in (there, here)]
    assert best[0]["epoch"] == best[1]["epoch"]
    assert all(torch.equal(value, best[1]["state_dict"][name]) for name, value in best[0]["state_dict"].items())


@pytest.mark.parametrize("workers", [0, 2])
def test_a_head_start_changes_nothing_and_is_given_for_every_epoch_but_the_first(run, monkeypatch, workers):
    settings = {"epochs": 3, "num_workers": workers}
    plain, *_ = run("plain", **settings)
    make, begun = loop.make_callbacks, []
    monkeypatch.setattr(loop, "make_callbacks", lambda *given: [*make(*given), callbacks.HeadStart()])
    begin = loaders.EpochLoader.begin
    monkeypatch.setattr(loaders.EpochLoader, "begin", lambda self, epoch: (begun.append(epoch), begin(self, epoch))[1])
    early, *_ = run("early", **settings)
    pd.testing.assert_frame_equal(without_times(early), without_times(plain))
    assert begun == [1, 2]


def test_a_gpu_gives_the_head_start(tiny, tmp_path, monkeypatch):
    for gpu in (False, True):
        monkeypatch.setattr(callbacks.torch.cuda, "is_available", lambda gpu=gpu: gpu)
        made = callbacks.make_callbacks(tiny, tmp_path, ALONE, WaitMeter())
        assert any(isinstance(one, callbacks.HeadStart) for one in made) == gpu


def test_a_run_that_was_moved_remembers_its_best_epoch(run, monkeypatch):
    settings, step = {"epochs": 3, "norm": "batch"}, Segmenter.training_step

    def go_astray(self, *batch):
        if self.current_epoch > 0:
            self.network.head.bias.data.fill_(4.0 * self.current_epoch)  # foreground everywhere
        return step(self, *batch)

    monkeypatch.setattr(Segmenter, "training_step", go_astray)
    monkeypatch.setattr(callbacks, "is_time_up", lambda hours, _: hours > 0)
    _, folder, *_ = run("here", max_hours=9, **settings)
    before = (folder / "checkpoints" / "best.ckpt").read_bytes()
    folder.rename(folder.with_name("there"))
    history, folder, *_ = run("there", **settings)
    assert history["val_loss"].idxmin() == 0
    assert (folder / "checkpoints" / "best.ckpt").read_bytes() == before


def test_a_run_that_is_gone_on_with_fetches_no_pretrained_weights(folded, monkeypatch):
    train, *_ = folded
    asked, build = [], members.build_model
    monkeypatch.setattr(members, "build_model", lambda config, *, pretrained: asked.append(pretrained) or build(config))
    train()
    train()
    assert asked == [True] * 3 + [False] * 3


def test_a_run_that_ended_early_is_not_trained_again(run):
    settings = {"epochs": 9, "learning_rate": 1e-8, "monitor": "val_dice", "stop_patience": 2}
    first, *_ = run(**settings)
    assert len(first) == 3
    again, *_ = run(**settings)
    assert again.equals(first)


def test_a_validation_loss_that_is_no_number_once_ends_nothing_and_is_no_best_epoch(run, monkeypatch):
    """Before its batch statistics have settled, a network in half precision may overflow where it does not train."""
    step = Segmenter.validation_step

    def overflow(self, *batch):
        step(self, *batch)
        if self.current_epoch == 1:
            self.val_batches[-1]["val_loss"] *= float("nan")

    monkeypatch.setattr(Segmenter, "validation_step", overflow)
    history, folder, *_ = run(epochs=4, norm="batch", stop_patience=3)
    assert history["val_loss"].isna().tolist() == [False, True, False, False]
    kept = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["epoch"]
    assert kept + 1 == find_best_epoch(history)


def test_every_epoch_of_the_loop_is_told_its_number_also_after_a_stop(run, monkeypatch):
    """Without it each epoch would repeat the order and the augmentation of the first."""
    told = []
    monkeypatch.setattr(SeededSampler, "set_epoch", lambda self, epoch: told.append((self.shuffle, epoch)))
    run(epochs=3)
    assert [epoch for shuffled, epoch in told if shuffled] == [0, 1, 2]


def test_an_error_before_the_first_epoch_comes_through_as_it_is(run, monkeypatch):
    def fail(_):
        raise OSError("no such device")

    monkeypatch.setattr(Segmenter, "configure_optimizers", fail)
    with pytest.raises(OSError, match="no such device"):
        run()


def test_a_finished_run_is_not_trained_again(run):
    first, folder, *_ = run()
    before = (folder / "checkpoints" / "best.ckpt").read_bytes()
    again, *_ = run()
    assert again.equals(first)
    assert (folder / "checkpoints" / "best.ckpt").read_bytes() == before


def test_a_run_does_not_go_on_with_other_numbers(run):
    run()
    with pytest.raises(InputError, match=r"epochs=2, not 3"):
        run(epochs=3)


def test_two_runs_agree_to_the_last_bit(run):
    assert without_times(run("a")[0]).equals(without_times(run("b")[0]))


def test_the_rate_is_halved_after_patience_epochs_without_a_better_loss(run):
    history, *_ = run(epochs=6, learning_rate=1e-8, lr_patience=1, stop_patience=0)
    rates = history["lr"] / 1e-8
    assert rates.iloc[0] == 1
    assert set(np.round(np.log2(rates), 6)) <= {0, -1, -2, -3}


def test_training_stops_when_the_loss_has_not_improved_for_long_enough(run):
    history, *_ = run(epochs=40, learning_rate=0.5, stop_patience=2)
    assert len(history) < 40
    assert len(history) - 1 - history["val_loss"].idxmin() == 2


def test_a_loss_that_is_no_number_stops_with_a_cure(run, monkeypatch):
    monkeypatch.setattr(segmenter, "combine_losses", lambda _: lambda logits, _: logits.sum() * float("nan"))
    with pytest.raises(InputError, match=r"the loss is nan in epoch 1; lower learning_rate"):
        run()


def test_the_encoder_learns_at_its_own_rate():
    pytest.importorskip("segmentation_models_pytorch")
    config = make_config("quick", in_channels=3, encoder_weights="none", encoder_lr_factor=0.25, schedule="plateau")
    network = build_model(config)
    optimizer = Segmenter(network, config, total_steps=10).configure_optimizers()["optimizer"]
    assert [group["lr"] for group in optimizer.param_groups] == [2e-3, 5e-4]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_the_average_is_what_is_validated_and_kept_and_it_moves_slower_than_the_weights(run):
    settings = {"epochs": 3, "learning_rate": 0.02, "stop_patience": 0}
    plain, averaged = run("plain", **settings), run("averaged", **settings, ema_decay=0.999)
    assert plain[0]["train_loss"].iloc[0] == averaged[0]["train_loss"].iloc[0]  # the average does not steer
    start = build_model(plain[2]).state_dict()
    moved = []
    for _, folder, *_ in (plain, averaged):
        weights = load_checkpoint(folder / "checkpoints" / "last.ckpt")[0].state_dict()
        moved.append(sum((weights[name] - start[name]).norm().item() for name in start))
    assert moved[1] < 0.5 * moved[0]


def test_the_best_checkpoint_holds_weights_only(run):
    _, folder, *_ = run(ema_decay=0.9)
    kept = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    assert not {"optimizer_states", "current_model_state", "averaging_state"} & set(kept)


def rates_of(config, steps=100):
    made = Segmenter(build_model(config), config, total_steps=steps).configure_optimizers()
    rates = []
    for _ in range(steps - 1):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    return np.array(rates) / config.learning_rate


def test_the_history_has_the_rate_of_the_last_step_of_each_epoch(run):
    """And not that of the step after it, which the schedule has set by then and the last epoch never takes."""
    history, _, config, (loader, _) = run(epochs=3, schedule="onecycle", optimizer="adamw", stop_patience=0)
    steps = len(loader)
    assert steps > 1
    rates = rates_of(config, 3 * steps) * config.learning_rate  # of all steps but the last
    assert history["lr"][:2].tolist() == pytest.approx([rates[steps - 1], rates[2 * steps - 1]], rel=1e-4)
    assert 0 < history["lr"][2] < rates[-1]


@pytest.mark.parametrize(("schedule", "peak"), [("onecycle", 19), ("cosine", 4)])
def test_the_rate_climbs_for_its_share_of_the_steps_and_then_falls_to_nothing(tiny, schedule, peak):
    rates = rates_of(make_config(**{**vars(tiny), "schedule": schedule, "optimizer": "adamw"}))
    assert rates.argmax() == peak
    assert rates.max() == pytest.approx(1)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 0.01


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 20, 21])
@pytest.mark.parametrize("schedule", ["onecycle", "cosine"])
def test_the_shortest_runs_have_a_rate_too(tiny, schedule, steps):
    config = make_config(**{**vars(tiny), "schedule": schedule})
    made, rates = Segmenter(build_model(config), config, total_steps=steps).configure_optimizers(), []
    for _ in range(steps):
        rates.append(made["optimizer"].param_groups[0]["lr"])
        made["optimizer"].step()
        made["lr_scheduler"]["scheduler"].step()
    assert 0 <= min(rates)
    assert config.learning_rate / 2 < max(rates) <= config.learning_rate


@pytest.mark.parametrize("loss", ["bce", "dice", "focal", "tversky", "lovasz", "0.5*bce + 0.5*lovasz"])
def test_every_loss_can_be_trained_with(run, loss):
    history, *_ = run(epochs=1, loss=loss)
    assert np.isfinite(history[["train_loss", "val_loss"]]).all().all()


def test_a_network_that_ends_in_a_sigmoid_is_refused_before_it_learns_anything(run, monkeypatch):
    monkeypatch.setattr(Segmenter, "forward", lambda self, images: self.network(scale_images(images)).sigmoid())
    with pytest.raises(ValueError, match="hand over the raw logits, without the sigmoid"):
        run()


def test_a_gradient_longer_than_allowed_is_cut(run, monkeypatch):
    norms, clip = [], Segmenter.configure_gradient_clipping

    def look(self, *words, **more):
        clip(self, *words, **more)
        norms.append(torch.cat([p.grad.ravel() for p in self.parameters() if p.grad is not None]).norm().item())

    monkeypatch.setattr(Segmenter, "configure_gradient_clipping", look)
    run("free", epochs=1)
    limit, norms[:] = min(norms) / 2, []
    run("cut", epochs=1, gradient_clip=limit)
    assert norms == pytest.approx([limit] * len(norms), rel=1e-3)


@pytest.mark.parametrize(
    ("device", "settings", "fused"),
    [
        ("cpu", {}, True),
        ("mps", {}, False),
        ("cuda", {}, True),
        ("cuda", {"gradient_clip": 1.0, "precision": "bf16"}, True),
        ("cuda", {"gradient_clip": 1.0, "precision": "16"}, False),
        ("cuda", {"precision": "16"}, True),
    ],
)
def test_the_optimizer_steps_in_one_kernel_where_it_can(device, settings, fused):
    assert segmenter.may_fuse(torch.device(device), make_config(**settings)) is fused


def test_a_fused_optimizer_learns_the_same_and_cuts_its_gradients(run, monkeypatch):
    """In bfloat16, where Lightning refuses to cut the gradients of any fused optimizer."""
    settings = {"gradient_clip": 0.01, "precision": "bf16", "ema_decay": 0.8}
    with monkeypatch.context() as patch:
        patch.setattr(segmenter, "may_fuse", lambda *_: False)
        plain, *_ = run("plain", **settings)
    norms, clip = [], Segmenter.configure_gradient_clipping

    def look(self, optimizer, *words, **more):
        assert all(group["fused"] for group in optimizer.param_groups)
        clip(self, optimizer, *words, **more)
        norms.append(torch.cat([p.grad.ravel() for p in self.parameters()]).norm().item())

    monkeypatch.setattr(Segmenter, "configure_gradient_clipping", look)
    fused, *_ = run("fused", **settings)
    assert max(norms) < 0.0101
    losses = ["train_loss", "val_loss"]
    pd.testing.assert_frame_equal(plain[losses], fused[losses], rtol=1e-3)


@pytest.mark.parametrize("before", [True, False])
def test_a_run_goes_on_where_the_optimizer_cannot_be_fused_and_the_other_way_round(run, monkeypatch, before):
    monkeypatch.setattr(callbacks, "is_time_up", lambda hours, _: hours > 0)
    monkeypatch.setattr(segmenter, "may_fuse", lambda *_: before)
    run(max_hours=9)
    monkeypatch.setattr(segmenter, "may_fuse", lambda *_: not before)
    _, folder, *_ = run()
    kept = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]
    assert [group["fused"] for group in kept["param_groups"]] == [None if before else True]
    assert {state["step"].item() for state in kept["state"].values()} == {8.0}


@pytest.fixture
def folded(phantoms, tmp_path, tiny):
    """Train on the phantoms in three folds; give the history, the folder, the samples and their folds."""
    samples = list_samples(phantoms)
    folds = assign_folds(samples, np.linspace(0, 1, len(samples)), n_folds=3, seed=0)

    def run_(**settings):
        config = make_config(**{**vars(tiny), "folds": 3, **settings})
        return fit_members(samples, folds, config, tmp_path / "run", tmp_path / "cache")

    return run_, tmp_path / "run", samples, folds


def test_each_fold_trains_a_network_of_its_own_and_one_history_tells_of_all(folded):
    train, folder, _, _ = folded
    history = train()
    assert list(history) == ["fold", *HISTORY_COLUMNS]
    assert history[["fold", "epoch"]].to_numpy().tolist() == [[f, e] for f in range(3) for e in (1, 2)]
    assert pd.read_csv(folder / "history.csv").equals(history)
    members = load_members(folder)
    assert [config.fold for _, config in members] == [0, 1, 2]
    first = [next(iter(network.parameters())) for network, _ in members]
    assert not torch.equal(first[0], first[1])


def test_a_file_with_another_number_of_folds_is_refused(folded):
    train, *_ = folded
    with pytest.raises(InputError, match="in 3 folds, not 4; set folds=3"):
        train(folds=4)


@pytest.mark.parametrize(("first", "then"), [(3, 1), (1, 3)])
def test_one_network_and_those_of_folds_are_never_mixed_in_a_folder(folded, first, then):
    """Their checkpoints have other places, and prediction would take those of the folds whatever was trained last."""
    train, folder, *_ = folded
    folder.mkdir()
    train(folds=first, epochs=1)
    before = (folder / "history.csv").read_bytes()
    with pytest.raises(InputError, match=f"run holds a run with folds={first}, not {then}; choose another output"):
        train(folds=then, epochs=1)
    assert (folder / "history.csv").read_bytes() == before
    assert {config.folds for _, config in load_members(folder)} == {first}


def test_folds_that_were_cut_off_go_on_where_they_stopped(folded, monkeypatch):
    train, folder, _, _ = folded
    fit_one, calls = members.fit_member, []

    def cut_off(samples, folds, config, *places):
        calls.append(config.fold)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return fit_one(samples, folds, config, *places)

    monkeypatch.setattr(members, "fit_member", cut_off)
    with pytest.raises(KeyboardInterrupt):
        train()
    assert pd.read_csv(folder / "history.csv")["fold"].unique().tolist() == [0]
    with pytest.raises(InputError, match="holds 1 of 3 folds; run 02_training"):
        load_members(folder)
    before = (member_dir(folder, 0) / "checkpoints" / "best.ckpt").read_bytes()
    assert train()["fold"].unique().tolist() == [0, 1, 2]
    assert (member_dir(folder, 0) / "checkpoints" / "best.ckpt").read_bytes() == before


def test_folds_for_which_no_time_is_left_are_trained_another_time(folded, monkeypatch, capsys):
    train, *_ = folded
    monkeypatch.setattr(members, "is_time_up", lambda hours, seconds: hours > 0 and seconds > 0)
    monkeypatch.setattr(callbacks, "is_time_up", lambda hours, seconds: hours > 0 and seconds > 0)
    assert train(max_hours=9)["fold"].tolist() == [0]
    assert is_unfinished(folded[1])
    assert "2 more folds are left for another time" in capsys.readouterr().out
    assert train()["fold"].tolist() == [0, 0, 1, 1, 2, 2]
    assert not is_unfinished(folded[1])


def test_no_network_learns_from_the_fold_it_holds_out(folded, monkeypatch):
    train, _, samples, folds = folded
    seen = {}

    def spy(train, val, config, *rest):
        seen[config.fold] = (set(train["sample_id"]), set(val["sample_id"]))
        return make_loaders(train, val, config, *rest)

    monkeypatch.setattr(members, "make_loaders", spy)
    train(epochs=1)
    for fold, (learnt, held_out) in seen.items():
        assert held_out == set(folds.loc[folds["fold"] == fold, "sample_id"])
        assert learnt == set(samples["sample_id"]) - held_out


def test_validation_losses_are_means_over_images_whatever_the_batches_are(run):
    one, other = run("one", batch_size=4, epochs=1)[2:], run("other", batch_size=3, epochs=1)[2:]
    config, (_, val_loader) = one
    network = build_model(config)
    values = []
    for loader in (val_loader, other[1][1]):
        module = Segmenter(network, config, total_steps=1).eval()
        losses = [(len(b["mask"]), BCE_DICE(module(b["image"]), b["mask"]).item()) for b in loader]
        values.append(sum(n * loss for n, loss in losses) / sum(n for n, _ in losses))
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_epochs_longer_than_all_steps_are_cut(run):
    history, *_ = run(max_steps=2)
    assert len(history) == 1


@pytest.mark.parametrize("name", ["absent.ckpt", "text.ckpt"])
def test_what_is_no_checkpoint_is_named(tmp_path, name):
    (tmp_path / "text.ckpt").write_text("not a checkpoint")
    with pytest.raises(InputError, match=name):
        load_checkpoint(tmp_path / name)


def test_the_network_sees_the_same_changes_wherever_images_are_augmented(train, monkeypatch):
    seen = {}
    real = Segmenter.training_step

    def look(module, batch, step):
        seen.setdefault(module.config.augment_on, []).append(batch)
        return real(module, batch, step)

    monkeypatch.setattr(Segmenter, "training_step", look)
    for place in ("loader", "device"):
        train(place, augment_on=place, augment="strong", epochs=1, image_size=64)
    assert len(seen["loader"]) == len(seen["device"]) > 1
    for theirs, ours in zip(*seen.values(), strict=True):
        assert "draws" not in ours
        assert ours["row"].tolist() == theirs["row"].tolist()
        assert (ours["image"].float() - theirs["image"].float()).abs().mean() < 2
        assert (ours["mask"] != theirs["mask"]).float().mean() < 0.01


def test_a_checkpoint_is_written_beside_its_place_and_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    place, seen = tmp_path / "checkpoints" / "last.ckpt", []
    WholeCheckpoints().save_checkpoint({"epoch": 1}, place)
    assert torch.load(place, weights_only=True) == {"epoch": 1}
    os.link(place, tmp_path / "before")
    WholeCheckpoints().save_checkpoint({"epoch": 1, "again": True}, place)
    assert torch.load(tmp_path / "before", weights_only=True) == {"epoch": 1}  # another file was put in its place
    os.replace(tmp_path / "before", place)
    save = torch.save

    def break_off(checkpoint, part):
        save(checkpoint, part)
        seen.extend(path.name for path in place.parent.iterdir())
        assert torch.load(place, weights_only=True) == {"epoch": 1}
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", break_off)
    with pytest.raises(InputError, match=r"last\.ckpt cannot be written \(No space left on device\); free some room"):
        WholeCheckpoints().save_checkpoint({"epoch": 2}, place)
    assert len(seen) == 2
    assert [path.name for path in place.parent.iterdir()] == ["last.ckpt"]
    assert torch.load(place, weights_only=True) == {"epoch": 1}


def test_what_a_killed_process_left_of_a_checkpoint_is_removed_at_the_next_start(run, tmp_path, monkeypatch):
    parts = tmp_path / "run" / "checkpoints"
    parts.mkdir(parents=True)
    (parts / ".last.ckpt.12345.part").touch()
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")  # it plays no part
    run()
    assert sorted(path.name for path in parts.iterdir()) == ["best.ckpt", "last.ckpt"]
