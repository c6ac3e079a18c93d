from math import cos, pi

import pytest
import torch
from projects import DEFAULTS

from segmentation.models.build import build_model, network_names
from segmentation.params import Train
from segmentation.training.optimizer import Optimization, make_optimizers, make_schedule


def settings(**changes: object) -> Train:
    return DEFAULTS.train.model_copy(update=changes)


def rates(steps: int, **changes: object) -> list[float]:
    """The learning rate of each step, as a share of its peak."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimizer, settings(**changes), steps)
    found = []
    for _ in range(steps):
        found.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return found


def test_the_learning_rate() -> None:
    cosine = rates(100, schedule="cosine", warmup=0.1)
    assert cosine[:10] == pytest.approx([(i + 1) / 11 for i in range(10)])
    assert cosine[10:] == pytest.approx([(1 + cos(pi * step / 90)) / 2 for step in range(90)])
    assert rates(100, schedule="constant", warmup=0.0) == [1.0] * 100
    constant = rates(10, schedule="constant", warmup=0.2)
    assert constant == pytest.approx([1 / 3, 2 / 3, *[1.0] * 8])
    assert all(rate > 0 for steps in (1, 2, 3) for rate in rates(steps, schedule="cosine", warmup=0.9))


@pytest.mark.parametrize(("name", "decoupled"), [("adam", False), ("adamw", True), ("muon", True)])
def test_weight_decay_is_l2_or_decoupled(name: str, decoupled: bool) -> None:
    model = torch.nn.Linear(1, 2)
    for each in model.parameters():
        torch.nn.init.ones_(each)
        each.grad = torch.zeros_like(each)
    for optimizer in make_optimizers(
        model.parameters(), settings(optimizer=name, lr=0.01, weight_decay=0.5), "float32"
    ):
        optimizer.step()
    # Decoupled: w - lr * decay * w. In the gradient: Adam turns any first gradient into a step of lr.
    expected = 1 - 0.01 * 0.5 if decoupled else 1 - 0.01
    for each in model.parameters():
        assert each.flatten().tolist() == pytest.approx([expected] * 2, abs=1e-6)


@pytest.mark.parametrize("name", network_names())
def test_muon_takes_all_kernels_but_the_head(name: str) -> None:
    weights = dict(build_model(name, width=4).named_parameters())
    of_muon, of_adamw = (
        {id(each) for each in optimizer.param_groups[0]["params"]}
        for optimizer in make_optimizers(weights.values(), settings(optimizer="muon"), "float32")
    )
    kernels = {id(each) for key, each in weights.items() if each.dim() == 4 and key != "head.weight"}
    assert of_muon == kernels and of_adamw == {id(each) for each in weights.values()} - kernels


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "muon"])
@pytest.mark.parametrize("name", network_names())
def test_the_order_of_memory_changes_no_weight(name: str, optimizer: str) -> None:
    """Steps on views give the weights that optimizers give on the weights themselves."""
    # Muon sees the columns in another order, and rounds otherwise.
    tolerance = 1e-9 if optimizer == "muon" else 0.0
    steps, trained = 3, []
    for by_views in (True, False):
        torch.manual_seed(0)
        model = build_model(name, width=4, dropout=0.0).double().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        how = settings(optimizer=optimizer, lr=0.01, schedule="constant", warmup=0.0)
        optimization, plain = (
            Optimization(model, how, steps, "float32"),
            make_optimizers(model.parameters(), how, "float32"),
        )
        for _ in range(steps):
            model(torch.rand(2, 3, 64, 64, dtype=torch.float64)).square().mean().backward()
            if by_views:
                optimization.step()
                continue
            for each in plain:
                each.step()
                each.zero_grad()
        trained.append(model.state_dict())
    for key, found in trained[0].items():
        assert torch.allclose(found, trained[1][key], atol=tolerance, rtol=0), key


def test_the_steps_follow_the_schedule() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    optimization = Optimization(
        model, settings(optimizer="adamw", lr=0.1, schedule="cosine", warmup=0.5), 4, "float32"
    )
    found = []
    for _ in range(4):
        found.append(optimization.lr)
        model.weight.grad = torch.ones(1, 1)
        optimization.step()
    assert model.weight.grad is None
    assert found == pytest.approx([0.1 * rate for rate in rates(4, schedule="cosine", warmup=0.5)])
