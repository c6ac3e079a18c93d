"""Seeds of random streams: one for each purpose and place, so that no two things share a stream."""

import numpy as np

# `SeedSequence` pads with zeros: [3, 2] and [3, 2, 0] are one stream, so the purpose, never 0, comes first.
DROPOUT = 1


def derived_seed(purpose: int, *place: int) -> int:
    """Return the seed, below 2^63, of the stream for `purpose` at `place`, such as (seed, epoch, step)."""
    state = np.random.SeedSequence([purpose, *place]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))
