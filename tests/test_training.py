import signal

import numpy as np
import pandas as pd
import pytest
import torch

from seglib import training
from seglib.batches import SeededSampler, make_loaders
from seglib.config import make_config
from seglib.errors import InputError
from seglib.history import NEEDED
from seglib.losses import bce_dice_loss
from seglib.metrics import dice_score
from seglib.models import UNet, build_model, scale_images
from seglib.samples import list_samples
from seglib.training import (
    HISTORY_COLUMNS,
    HistoryWriter,
    Segmenter,
    fit,
    load_checkpoint,
)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """The whole U-Net has 31 million parameters; the same one with narrow levels learns these phantoms in seconds."""
    monkeypatch.setattr(UNet.__init__, "__kwdefaults__", {"norm": "none", "widths": (8, 12, 16)})


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
    return history.drop(columns=["seconds", "images_per_second"])


def test_it_learns(run):
    settings = {
        "epochs": 25,
        "image_size": 48,
        "norm": "batch",
        "augment": False,
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


def test_an_epoch_that_is_run_again_replaces_its_own_row(tmp_path):
    """A run killed between the row and the checkpoint of epoch 3 does epoch 3 once more."""
    rows = pd.DataFrame({"epoch": [1, 2, 3], "val_loss": [0.3, 0.2, 0.1]})
    rows.to_csv(tmp_path / "history.csv", index=False)
    assert HistoryWriter(tmp_path / "history.csv")._earlier(3)["epoch"].tolist() == [1, 2]
    assert len(HistoryWriter(tmp_path / "history.csv")._earlier(1)) == 0


def test_one_line_is_printed_per_epoch_where_nobody_watches(run, capsys):
    run()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch")]
    assert [line.split()[1] for line in lines] == ["1/2", "2/2"]


def test_a_reloaded_checkpoint_gives_the_score_it_was_kept_for(run):
    history, folder, config, (_, val_loader) = run(epochs=4, monitor="val_dice")
    network, loaded = load_checkpoint(folder / "checkpoints" / "best.ckpt")
    assert loaded == config
    with torch.inference_mode():
        scores = [dice_score(network(scale_images(b["image"])) > 0, b["mask"]) for b in val_loader]
    assert torch.cat(scores).mean().item() == pytest.approx(history["val_dice"].max(), abs=2e-6)


def test_the_best_weights_are_not_the_last_ones(run, monkeypatch):
    """A state_dict kept without a copy would follow the training; here it climbs the loss after the first epoch."""
    step = Segmenter.training_step
    climb = lambda self, *batch: step(self, *batch) * (1 if self.current_epoch == 0 else -1)  # noqa: E731
    monkeypatch.setattr(Segmenter, "training_step", climb)
    history, folder, _, (_, val_loader) = run(epochs=3, learning_rate=0.01)
    assert history["val_loss"].idxmin() == 0
    losses = []
    for name in ("best", "last"):
        network, _ = load_checkpoint(folder / "checkpoints" / f"{name}.ckpt")
        with torch.inference_mode():
            losses.append(np.mean([bce_dice_loss(network(scale_images(b["image"])), b["mask"]) for b in val_loader]))
    assert losses == pytest.approx([history["val_loss"].iloc[0], history["val_loss"].iloc[-1]], rel=1e-4)


@pytest.mark.parametrize("settings", [{"lr_patience": 0}, {"schedule": "onecycle", "optimizer": "adamw"}])
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
    monkeypatch.setattr(training, "bce_dice_loss", lambda logits, *_, **__: logits.sum() * float("nan"))
    with pytest.raises(InputError, match=r"the loss is nan in epoch 1; lower learning_rate"):
        run()


def test_the_encoder_learns_at_its_own_rate():
    pytest.importorskip("segmentation_models_pytorch")
    config = make_config("quick", in_channels=3, encoder_weights="none", encoder_lr_factor=0.25, schedule="plateau")
    network = build_model(config)
    optimizer = Segmenter(network, config, total_steps=10).configure_optimizers()["optimizer"]
    assert [group["lr"] for group in optimizer.param_groups] == [2e-3, 5e-4]
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(network.parameters()))


def test_validation_losses_are_means_over_images_whatever_the_batches_are(run):
    one, other = run("one", batch_size=4, epochs=1)[2:], run("other", batch_size=3, epochs=1)[2:]
    config, (_, val_loader) = one
    network = build_model(config)
    values = []
    for loader in (val_loader, other[1][1]):
        module = Segmenter(network, config, total_steps=1).eval()
        losses = [(len(b["mask"]), bce_dice_loss(module(b["image"]), b["mask"]).item()) for b in loader]
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
