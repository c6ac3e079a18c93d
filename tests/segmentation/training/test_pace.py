import itertools

import pytest

from segmentation.training import pace
from segmentation.training.pace import Pace, Work


def test_the_work_of_an_epoch_counts_pixels_and_scoring() -> None:
    work = Work(epochs=4, small_epochs=1, images=120, val_images=30)
    assert work.done(1, 0) == 0
    assert work.done(1, 0.5) == 15  # a quarter of the pixels
    assert work.done(2, 0) == 30 + 10
    assert work.done(3, 0.5) == 30 + 120 + 60 + 20
    assert work.total == 30 + 3 * 120 + 4 * 10


@pytest.mark.parametrize("small_epochs", [0, 5, 10])
def test_a_steady_training_is_told_how_long_it_takes(
    small_epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that runs at 7 images of full size a second, after a first step that took a minute."""
    work = Work(epochs=10, small_epochs=small_epochs, images=100, val_images=20)
    clock = Pace(work)
    now = 0.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    first = now = 60.0
    assert clock.left(1, 0.1) is None and clock.seconds == 0
    for epoch, share in itertools.product([1, 4, 8, 10], [0.2, 0.7, 1.0]):
        now = 60 + (work.done(epoch, share) - work.done(1, 0.1)) / 7
        if small_epochs == 5 and (epoch, share) == (8, 0.2):  # the first look at whole images
            first = now
            assert clock.left(epoch, share) is None
            continue
        expected = (work.total - work.done(epoch, share)) / 7
        assert clock.left(epoch, share) == pytest.approx(expected)
    assert clock.seconds == pytest.approx(now - first)


def test_the_pace_of_half_size_images_says_nothing_of_whole_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second an image, whatever its size: as if the optimizer took all of the time."""
    work = Work(epochs=4, small_epochs=2, images=100, val_images=0)
    announced: list[float] = []
    clock = Pace(work, announced.append)
    now = 0.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    for epoch in (1, 2, 3, 4):
        for share in (0.1, 0.3, 0.6, 1.0):
            now = 100 * (epoch - 1 + share)
            clock.look(epoch, share)
    assert announced[0] > 400 - 30  # at 0.3 of the first epoch: too long
    assert announced[1:] == [pytest.approx(200 - 30)]  # at 0.3 of the third
