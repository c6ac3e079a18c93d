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
    """How long the rest of a training takes, by its pace since the first look at images of this size.

    What a step costs beside its images (Muon's products) counts as if it grew with them, so the estimate is
    too long while images have half the side. With whole ones the pace is taken anew. `announce` gets the
    seconds that are left, once for each size, when there is enough to judge by.
    """

    def __init__(self, work: Work, announce: Callable[[float], None] | None = None) -> None:
        self.work, self.announce, self.announced = work, announce, False
        self._first: tuple[bool, float, float] | None = None

    @property
    def seconds(self) -> float:
        """Return for how long the pace has been taken."""
        return time.monotonic() - self._first[1] if self._first else 0.0

    def left(self, epoch: int, share: float) -> float | None:
        """Return the seconds left after this `share` of `epoch`; None before the second call of a size."""
        small, done = epoch <= self.work.small_epochs, self.work.done(epoch, share)
        # After a size's first step: that prepares kernels and memory.
        if self._first is None or self._first[0] != small:
            self._first, self.announced = (small, time.monotonic(), done), False
        before = self._first[2]
        return self.seconds / (done - before) * (self.work.total - done) if done > before else None

    def look(self, epoch: int, share: float) -> dict[str, str]:
        """Return the time left, for a progress bar; announce it if it is time to."""
        left = self.left(epoch, share)
        if left is None:
            return {}
        enough = self.seconds >= ANNOUNCE_AFTER_S or share == 1
        if self.announce and not self.announced and left > 0 and enough:
            self.announce(left)
            self.announced = True
        return {"training left": str(timedelta(seconds=round(left)))}
