"""Random streams: one for each purpose and place, so that no two things share one."""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What is drawn. Never 0: `SeedSequence` pads with zeros, so that [3, 2] and [3, 2, 0] are one stream."""

    WEIGHTS = 1
    ORDER = 2
    AUGMENTATION = 3
    DROPOUT = 4
    SPLIT = 5
    BOOTSTRAP = 6
    SAMPLE = 7
    CROP = 8


def stream(purpose: Purpose, *place: int) -> np.random.SeedSequence:
    """Return the stream for `purpose` at `place`, such as (seed, epoch, step)."""
    return np.random.SeedSequence([purpose, *place])


def torch_seed(purpose: Purpose, *place: int) -> int:
    """Return the seed, below 2^63, with which torch starts a stream."""
    return int(stream(purpose, *place).generate_state(1, np.uint64)[0] >> np.uint64(1))
