"""From probabilities to masks."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

DEFAULT_THRESHOLD = 0.5

Probabilities = TypeVar("Probabilities", Tensor, NDArray[np.float32])


def is_foreground(probabilities: Probabilities, threshold: float) -> Probabilities:
    """Return, for each pixel, whether its probability is at least `threshold`."""
    return probabilities >= threshold  # type: ignore[return-value]
