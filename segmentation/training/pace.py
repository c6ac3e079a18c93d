"""How long a training takes, judged by the part that is done."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

ANNOUNCE_AFTER_S = 5.0  # of steps, behind the announced estimate
SCORING = 1 / 3  # of the cost of training on an image: there is no backward pass
SMALL = 1 / 4  # likewise, of an image of half the side


class Work(NamedTuple):
    """The work of a training, in the cost of training on one image of full size.

    `images` and `val_images` are those of an epoch; in the first `small_epochs` images have half the side.
    """

    epochs: int
    small_epochs: int
    images: int
    val_images: int

    def done(self, epoch: int, share: float) -> float:
        """Return what is done after this `share` of the steps of `epoch`, which counts from 1."""
        finished = epoch - 1
        small = min(finished, self.small_epochs)
        now = share * (SMALL if epoch <= self.small_epochs else 1)
        return self.images * (finished - small + SMALL * small + now) + SCORING * self.val_images * finished

    @property
    def total(self) -> float:
        """Return the whole."""
        return self.done(self.epochs + 1, 0)


class Pace:
    """How long the rest of a training takes, by its pace since the first look.

    `announce` gets the seconds that are left, once, when there is enough to judge by.
    """

    def __init__(self, work: Work, announce: Callable[[float], None] | None = None) -> None:
        self.work, self.announce = work, announce
        self._first: tuple[float, float] | None = None

    @property
    def seconds(self) -> float:
        """Return for how long the pace has been taken."""
        return time.monotonic() - self._first[0] if self._first else 0.0

    def left(self, epoch: int, share: float) -> float | None:
        """Return the seconds left after this `share` of `epoch`; None before the second call."""
        done = self.work.done(epoch, share)
        if self._first is None:  # after the first step: it prepares kernels and memory
            self._first = time.monotonic(), done
        before = self._first[1]
        return self.seconds / (done - before) * (self.work.total - done) if done > before else None

    def look(self, epoch: int, share: float) -> dict[str, str]:
        """Return the time left, for a progress bar; announce it if it is time to."""
        left = self.left(epoch, share)
        if left is None:
            return {}
        if self.announce and left > 0 and (self.seconds >= ANNOUNCE_AFTER_S or share == 1):
            self.announce(left)
            self.announce = None
        return {"training left": str(timedelta(seconds=round(left)))}
