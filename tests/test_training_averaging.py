import torch

from seglib.training.averaging import MovingAverage, move_average


def test_the_average_moves_by_its_decay_and_a_count_is_the_newest():
    weights, averages = [torch.tensor([1.0, 4.0]), torch.tensor([0.0])], [torch.tensor([3.0, 0.0]), torch.tensor([8.0])]
    move_average(averages, weights, torch.tensor(7), decay=0.75)
    assert [average.tolist() for average in averages] == [[2.5, 1.0], [6.0]]
    counts = [torch.tensor(3)]
    move_average(counts, [torch.tensor(9)], torch.tensor(7), decay=0.75)
    assert counts[0].item() == 9


def test_a_training_keeps_the_average_that_a_loop_would(train, monkeypatch):
    """Weights after every step, averaged by hand, are those of the checkpoint that validation chose."""
    seen = []
    real = MovingAverage.on_train_batch_end

    def look(self, trainer, module, *step):
        seen.append({name: value.detach().clone() for name, value in module.state_dict().items()})
        real(self, trainer, module, *step)

    monkeypatch.setattr(MovingAverage, "on_train_batch_end", look)
    _, folder = train("run", ema_decay=0.9, epochs=2, norm="batch")
    kept = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    average = seen[0]
    for weights in seen[1:]:
        for name, value in weights.items():
            average[name] = value if not value.is_floating_point() else 0.9 * average[name] + 0.1 * value
    assert kept.keys() == average.keys()
    for name, value in kept.items():
        assert torch.allclose(value, average[name], rtol=1e-5, atol=1e-7), name
