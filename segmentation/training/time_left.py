"""How long a training takes, by the time that its first steps took."""

import time

ENOUGH_S = 5.0  # of steps, to judge by


class TimeLeft:
    """An estimate of the time that is left, given once.

    The first step does not count: it prepares kernels and memory.
    """

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None  # end of the first step, work left then
        self._told = False

    def update(self, work_left: float, epoch_ends: bool) -> float | None:
        """Return the seconds that are left, the first time that enough is known; None otherwise.

        `work_left` is in any unit. The end of an epoch is enough, however short it was.
        """
        now = time.perf_counter()
        if self._start is None:
            self._start = now, work_left
            return None
        start, work_then = self._start
        if self._told or not (epoch_ends or now - start >= ENOUGH_S):
            return None
        self._told = True
        return (now - start) / (work_then - work_left) * work_left
