import pytest
import torch

from segmentation.common.errors import Fault
from segmentation.runtime.memory import enough_memory, fits, step
from segmentation.training.fitting import IN_GENERAL, what_fits


class Device:
    """Holds so many pixels; a step takes all of its batch's."""

    def __init__(self, pixels: int) -> None:
        self.pixels, self.tried = pixels, list[tuple[int, int]]()

    def step(self, batch_size: int, size: int) -> None:
        self.tried.append((batch_size, size))
        if batch_size * size**2 > self.pixels:
            raise torch.OutOfMemoryError("CUDA out of memory")


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (4 * 256**2, "a step with train.batch_size = 4 fits"),
        (256**2, "a step with train.batch_size = 1 fits"),
        (256**2 - 1, "a step with train.batch_size = 1 and image.size = 128 fits"),
        (10, IN_GENERAL),
    ],
)
def test_what_fits_was_tried(pixels: int, said: str) -> None:
    device = Device(pixels)
    assert what_fits(device.step, 16, 256) == said
    assert all(batch_size * size**2 < 16 * 256**2 for batch_size, size in device.tried)


def test_what_a_failed_step_holds_is_let_go_before_the_next_one() -> None:
    """Without that, the smaller step would find the larger one's tensors in memory."""
    held: list[object] = []

    class Large:
        def __del__(self) -> None:
            held.remove(id(self))

    def step() -> None:
        large = Large()
        held.append(id(large))
        raise MemoryError

    assert not fits(step) and held == []


def test_the_remedy_is_looked_for_once_and_nested_contexts_say_it_once() -> None:
    asked = []

    def remedy() -> str:
        asked.append(1)
        return "buy some"

    with (
        pytest.raises(Fault, match="with 8 images of 64x64 pixels a step; buy some"),
        enough_memory(step(1, 1), "outer"),
        enough_memory(step(8, 64), remedy),
    ):
        raise MemoryError
    assert asked == [1]
