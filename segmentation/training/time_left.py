"""How long a training takes, by the time that its first steps took."""

import time
from datetime import timedelta


class TimeLeft:
    """An estimate of the time that is left, by the time since the first step, which prepares kernels."""

    def __init__(self) -> None:
        self._start: tuple[float, float] | None = None  # end of the first step, work left then

    def of(self, work_left: float) -> timedelta | None:
        """Return the estimate for the work that is left, in any unit; None as long as nothing was done."""
        now = time.perf_counter()
        self._start = self._start or (now, work_left)
        start, work_then = self._start
        if work_left >= work_then:
            return None
        return timedelta(seconds=round((now - start) / (work_then - work_left) * work_left))
