import torch
from torch import nn

from seglib.training.averaging import AveragedWeights, MovingAverage, move_average


def test_the_average_moves_by_its_decay_and_a_count_is_the_newest():
    weights = [torch.tensor([1.0, 4.0]), torch.tensor(9), torch.tensor([0.0])]
    averages = [torch.tensor([3.0, 0.0]), torch.tensor(3), torch.tensor([8.0])]
    move_average(averages, weights, decay=0.75)
    assert [average.tolist() for average in averages] == [[2.5, 1.0], 9, [6.0]]
    assert weights[0].tolist() == [1.0, 4.0]


def test_the_first_average_is_a_copy_and_the_count_is_kept():
    average = AveragedWeights(nn.Linear(2, 2), torch.device("cpu"), 0.5)
    first, second = nn.Linear(2, 2), nn.Linear(2, 2)
    average.update_parameters(first)
    assert torch.equal(average.module.weight, first.weight)
    average.update_parameters(second)
    assert torch.allclose(average.module.weight, (first.weight + second.weight) / 2)
    assert average.state_dict()["n_averaged"].item() == 2


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
