import pytest
import torch
from conftest import DEFAULTS

from segmentation.models.build import build_model
from segmentation.params import Train
from segmentation.training.optimizer import Optimization, WeightAverage, lr_factor, make_optimizer


def settings(**changes: object) -> Train:
    return DEFAULTS.train.model_copy(update=changes)


def test_the_learning_rate() -> None:
    cosine = [lr_factor(step, 100, "cosine", 0.1) for step in range(100)]
    assert cosine[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert cosine[10] == 1.0 and cosine[55] == pytest.approx(0.5) and 0 < cosine[99] < 0.001
    assert cosine[10:] == sorted(cosine[10:], reverse=True)
    assert [lr_factor(step, 100, "constant", 0.0) for step in (0, 50, 99)] == [1.0, 1.0, 1.0]
    assert lr_factor(0, 1, "cosine", 0.9) > 0
    assert lr_factor(1, 1, "cosine", 0.9) == 1.0  # read after the last step, and never used


@pytest.mark.parametrize(("name", "decoupled"), [("adam", False), ("adamw", True)])
def test_weight_decay_is_l2_or_decoupled(name: str, decoupled: bool) -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(model.weight)
    optimizer = make_optimizer(model, settings(optimizer=name, lr=0.01, weight_decay=0.5))
    model.weight.grad = torch.zeros(1, 1)
    optimizer.step()
    # Decoupled: w - lr * decay * w. In the gradient: Adam turns any first gradient into a step of lr.
    assert model.weight.item() == pytest.approx(1 - 0.01 * 0.5 if decoupled else 1 - 0.01, abs=1e-6)


def one_weight(value: float = 1.0) -> torch.nn.Linear:
    model = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return model


def test_the_average_by_hand() -> None:
    model = one_weight(1.0)
    average = WeightAverage(model, decay=0.15)
    expected = 1.0
    for step, value in enumerate([2.0, -3.0, 5.0]):
        torch.nn.init.constant_(model.weight, value)
        average.update()
        decay = min(0.15, (1 + step) / (10 + step))  # 0.1, 0.15, 0.15
        expected = decay * expected + (1 - decay) * value
        (found,) = average.model.parameters()
        assert found.item() == pytest.approx(expected, abs=1e-6)


def test_the_average_takes_in_batch_statistics_too() -> None:
    model = build_model("resnet", width=2)
    average = WeightAverage(model, decay=0.5)
    model.train()
    for _ in range(40):
        model(torch.rand(4, 3, 64, 64))
        average.update()
    for name, value in average.model.state_dict().items():
        if name.endswith("running_mean"):
            assert torch.allclose(value, model.state_dict()[name], atol=0.05), name
    assert any(b.abs().max() > 0.1 for name, b in average.model.named_buffers() if "running_mean" in name)


@pytest.mark.parametrize(("clip", "step"), [(None, 8.0), (0.5, 0.5), (100.0, 8.0)])
def test_a_clip_bounds_the_norm_of_the_gradient(
    clip: float | None, step: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Plain gradient descent shows the gradient itself; Adam hides its size.
    descent = "segmentation.training.optimizer.make_optimizer"
    monkeypatch.setattr(descent, lambda model, _: torch.optim.SGD(model.parameters(), lr=1.0))
    model = one_weight()
    optimization = Optimization(model, settings(clip=clip, schedule="constant", warmup=0), 3)
    model.weight.grad = torch.full((1, 1), 8.0)
    optimization.step()
    assert model.weight.item() == pytest.approx(1 - step, rel=1e-5)
    assert model.weight.grad is None


def test_the_steps_follow_the_schedule() -> None:
    model = one_weight()
    optimization = Optimization(model, settings(lr=0.1, schedule="cosine", warmup=0.5), 4)
    found = []
    for _ in range(4):
        found.append(optimization.lr)
        model.weight.grad = torch.ones(1, 1)
        optimization.step()
    assert found == pytest.approx([0.1 * lr_factor(step, 4, "cosine", 0.5) for step in range(4)])
    assert optimization.scored is model  # without an average
