import numpy as np
import pandas as pd
import pytest
import torch
from torch._inductor import config as inductor

from seglib.batches.loaders import make_loaders
from seglib.errors import InputError
from seglib.machine.ranks import ALONE, Rank
from seglib.models.checkpoints import load_checkpoint
from seglib.models.networks import scale_images
from seglib.training import callbacks, loop

TIMES = ["seconds", "images_per_second", "wait_share"]
LOSSES = ["train_loss", "val_loss", "val_loss_seed"]


@pytest.fixture
def graphs(monkeypatch):
    """Compile to the very operations that are traced, in a moment; the graphs that were asked for."""
    made, compile_ = [], torch.nn.Module.compile

    def trace(graph, inputs):
        made.append(graph)
        return graph.forward

    torch.compiler.reset()
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: compile_(self, backend=trace))
    yield made
    torch.compiler.reset()


def state_of(folder, name):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["state_dict"]


def test_a_compiled_run_is_the_run_and_its_checkpoints_know_nothing_of_it(train, graphs):
    settings = {"norm": "batch", "ema_decay": 0.8, "schedule": "cosine", "gradient_clip": 1.0}
    plain, one = train("plain", **settings)
    assert not graphs
    compiled, other = train("compiled", **settings, compile=True)
    assert graphs
    pd.testing.assert_frame_equal(plain.drop(columns=TIMES), compiled.drop(columns=TIMES), rtol=1e-4, atol=1e-6)
    for name in ("best", "last"):
        assert list(state_of(one, name)) == list(state_of(other, name))
        assert load_checkpoint(other / "checkpoints" / f"{name}.ckpt")[1].compile


def test_a_ragged_last_batch_is_compiled_once_and_not_in_every_epoch(train, graphs):
    history, _ = train("run", epochs=6, compile=True, stop_patience=0)
    assert len(history) == 6
    assert 1 <= len(graphs) <= 4  # a step, a validation batch, and a smaller one as a batch of any size


def test_all_folds_share_what_was_compiled_for_the_first_and_each_learns_its_own_weights(train, graphs):
    """Were it compiled anew for each, torch would give up after some without a word, and go on uncompiled."""
    settings = {"folds": 3, "norm": "batch"}
    plain, _ = train("plain", **settings)
    compiled, _ = train("compiled", **settings, compile=True)
    assert 1 <= len(graphs) <= 4
    pd.testing.assert_frame_equal(plain.drop(columns=TIMES), compiled.drop(columns=TIMES), rtol=1e-4, atol=1e-6)


def test_a_run_may_be_gone_on_with_compiled_and_then_without(train, graphs, monkeypatch):
    settings = {"epochs": 3, "norm": "batch", "ema_decay": 0.8}
    whole, _ = train("whole", **settings)
    with monkeypatch.context() as patched:
        patched.setattr(callbacks, "is_time_up", lambda hours, _: hours > 0)
        for compiled in (False, True):
            train("run", **settings, compile=compiled, max_hours=9)
            assert bool(graphs) is compiled
    history, _ = train("run", **settings)
    pd.testing.assert_frame_equal(whole.drop(columns=TIMES), history.drop(columns=TIMES), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("gpu", "parts", "rank", "expected"),
    [
        (False, 1, ALONE, None),
        (True, 1, ALONE, "reduce-overhead"),
        (True, 2, ALONE, None),  # the gradients of the first part would lie where those of the second are written
        (True, 1, Rank(0, 2), None),
        (True, 1, Rank(1, 2), None),
    ],
)
def test_kernels_are_launched_as_one_graph_where_no_gradient_outlives_a_pass(monkeypatch, gpu, parts, rank, expected):
    monkeypatch.setattr(loop.torch.cuda, "is_available", lambda: gpu)
    assert loop.choose_compile_mode(parts, rank) == expected


def test_the_parts_that_really_come_decide_on_the_graph(train, monkeypatch):
    asked = []
    monkeypatch.setattr(loop, "choose_compile_mode", lambda parts, rank: asked.append((parts, rank)))
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: asked.append(mode))
    for parts in (1, 2):
        train(f"{parts}", epochs=1, compile=True, accumulate=parts)
    assert asked == [(1, ALONE), None, (2, ALONE), None]


@pytest.mark.parametrize(("settings", "times"), [({"folds": 3, "compile": True}, 3), ({"folds": 3}, 0)])
def test_a_graph_is_forgotten_before_another_network_lies_where_its_weights_lay(train, monkeypatch, settings, times):
    forgotten = []
    monkeypatch.setattr(loop, "choose_compile_mode", lambda parts, rank: "reduce-overhead")
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: None)
    monkeypatch.setattr(loop.torch.compiler, "reset", lambda: forgotten.append(1))
    train("run", epochs=1, **settings)
    assert len(forgotten) == times


def test_a_graph_is_forgotten_where_a_run_breaks_off(train, monkeypatch):
    forgotten = []
    monkeypatch.setattr(loop, "choose_compile_mode", lambda parts, rank: "reduce-overhead")
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self, mode: None)
    monkeypatch.setattr(loop.torch.compiler, "reset", lambda: forgotten.append(1))
    monkeypatch.setattr(loop.pl.Trainer, "fit", lambda *given, **how: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train("run", compile=True)
    assert forgotten == [1]


def test_without_a_compiler_the_run_ends_with_a_cure(train, tmp_path):
    torch.compiler.reset()
    settings = {"cpp.cxx": (None, str(tmp_path / "no-compiler")), "force_disable_caches": True}
    cure = r"^compile=true needs a C\+\+ compiler, .*; install one, .*, or set compile=false$"
    with inductor.patch(settings), pytest.raises(InputError, match=cure):
        train("run", compile=True)


@pytest.mark.slow
def test_a_network_of_smp_is_compiled_too_with_the_layers_that_stay_in_float32(train, graphs):
    pytest.importorskip("segmentation_models_pytorch")
    network = {"architecture": "Unet", "encoder": "tu-tf_efficientnet_lite0", "precision": "bf16"}
    history, _ = train("run", epochs=1, compile=True, **network)
    assert 1 <= len(graphs) <= 4
    assert np.isfinite(history[LOSSES]).all().all()


@pytest.mark.slow
def test_the_checkpoint_of_a_network_that_was_really_compiled_gives_the_logits_of_one_that_was_not(
    train, data, tmp_path, tiny
):
    settings = {"epochs": 2, "learning_rate": 1e-4, "ema_decay": 0.5, "norm": "batch"}
    plain, one = train("plain", **settings)
    compiled, other = train("compiled", **settings, compile=True)
    pd.testing.assert_frame_equal(plain[LOSSES], compiled[LOSSES], rtol=1e-3)
    batch = next(iter(make_loaders(data[0][:13], data[0][13:].reset_index(drop=True), tiny, tmp_path / "cache")[1]))
    with torch.inference_mode():
        logits = [
            load_checkpoint(folder / "checkpoints" / "last.ckpt")[0](scale_images(batch["image"]))
            for folder in (one, other)
        ]
    assert (logits[0] - logits[1]).norm() < 1e-2 * logits[0].norm()
    network = load_checkpoint(other / "checkpoints" / "last.ckpt")[0]
    with torch.inference_mode():
        before = network(scale_images(batch["image"]))
        network.compile()
        assert (network(scale_images(batch["image"])) - before).abs().max() < 1e-4
