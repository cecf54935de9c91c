"""What holds on a GPU only: ``SEGLIB_TEST_GPU=1 pytest tests/test_gpu.py``; elsewhere these tests are passed over."""

import numpy as np
import pytest
import torch
from pictures import disc, picture, tensors
from torch._dynamo.utils import counters

from seglib.batches.augmentation import Drawer, make_strong_transform
from seglib.batches.warps import augment_batch, merge_draws
from seglib.images.masks import read_mask
from seglib.models.checkpoints import load_checkpoint
from seglib.prediction.probabilities import predict_probabilities
from seglib.training.averaging import MovingAverage
from seglib.training.segmenter import Segmenter

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def move(thing):
    return {name: move(value) for name, value in thing.items()} if isinstance(thing, dict) else thing.cuda()


def test_a_gpu_augments_as_a_cpu_does():
    drawer = Drawer(make_strong_transform(3))
    batch = tensors([picture()] * 24, [disc()] * 24)
    batch["draws"] = merge_draws([drawer.draw(picture(), seed) for seed in range(24)])
    ours, theirs = augment_batch(move(batch)), augment_batch(batch)
    difference = (ours["image"].cpu().float() - theirs["image"].float()).abs()
    assert difference.mean() < 0.05
    assert (ours["mask"].cpu() != theirs["mask"]).float().mean() < 1e-3


@pytest.mark.parametrize("precision", ["auto", "16", "32"])
def test_training_learns_in_every_precision_and_its_checkpoint_predicts(train, data, precision):
    how = {"epochs": 40, "norm": "batch", "ema_decay": 0.5, "gradient_clip": 1.0, "optimizer": "adamw"}
    how |= {"augment": "none", "monitor": "val_dice", "stop_patience": 0, "learning_rate": 3e-3, "image_size": 64}
    history, folder = train("run", precision=precision, **how)
    assert history["val_dice"].max() > 0.8
    kept = load_checkpoint(folder / "checkpoints" / "best.ckpt")
    held_out = data[0][data[1]["fold"].to_numpy() == 0]
    pairs = zip(predict_probabilities([kept], held_out["image_path"]), held_out["mask_path"], strict=True)
    scores = [2 * ((map_ > 0.5) & mask).sum() / ((map_ > 0.5).sum() + mask.sum()) for map_, mask in read(pairs)]
    assert abs(np.mean(scores) - history["val_dice"].max()) < 0.05  # at the size of the files, not of the network


def read(pairs):
    return [(map_, read_mask(path) > 0) for map_, path in pairs]


def test_the_loop_waits_for_the_gpu_in_no_step(train, monkeypatch):
    """Once the first steps have set everything up, nothing in a step asks the GPU for a number."""
    real, ended = Segmenter.training_step, MovingAverage.on_train_batch_end
    steps = []

    def watched(self, batch, step):
        steps.append(step)
        torch.cuda.set_sync_debug_mode("error" if len(steps) > 4 else "default")
        return real(self, batch, step)

    def end(self, *given):
        ended(self, *given)
        torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Segmenter, "training_step", watched)
    monkeypatch.setattr(MovingAverage, "on_train_batch_end", end)
    train("run", batch_size=1, epochs=1, ema_decay=0.9, gradient_clip=1.0, precision="auto", augment="strong")
    assert len(steps) > 10


@pytest.mark.parametrize(
    ("settings", "graphs"), [({"folds": 3}, True), ({"accumulate": 2}, False), ({"ema_decay": 0.0}, True)]
)
def test_a_compiled_run_learns_as_one_that_is_not(train, settings, graphs):
    """With CUDA graphs where there may be some: torch counts what it passed over."""
    how = {"epochs": 5, "norm": "batch", "ema_decay": 0.5, "gradient_clip": 1.0, "augment": "standard"} | settings
    plain, _ = train("plain", **how)
    torch.compiler.reset()
    counters.clear()
    compiled, _ = train("compiled", **how, compile=True)
    torch.compiler.reset()
    names = ["train_loss", "val_loss"]
    np.testing.assert_allclose(compiled[names], plain[names], rtol=0.01)
    assert plain["train_loss"].iloc[4] < 0.9 * plain["train_loss"].iloc[0]
    assert counters["inductor"]["cudagraph_skips"] == 0
    assert bool(counters["inductor"]["cudagraph_recorded_non_static_inputs"]) == graphs


def test_a_batch_that_does_not_fit_goes_through_in_parts(train, capsys):
    torch.cuda.set_per_process_memory_fraction(3e9 / torch.cuda.get_device_properties(0).total_memory)
    try:
        history, _ = train("run", epochs=1, image_size=512, width=64, batch_size=8)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "at once, 8 per step as before" in capsys.readouterr().out
    assert np.isfinite(history["train_loss"]).all()


def test_a_gpu_and_a_cpu_predict_the_same(train, data, monkeypatch):
    _, folder = train("run", epochs=2)
    kept = load_checkpoint(folder / "checkpoints" / "best.ckpt")
    paths = list(data[0]["image_path"][:5])
    ours = list(predict_probabilities([kept], paths))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    theirs = list(predict_probabilities([kept], paths))
    assert max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)) < 5e-3
