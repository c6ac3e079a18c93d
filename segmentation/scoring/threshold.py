"""From probabilities to masks."""

from typing import overload

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

DEFAULT_THRESHOLD = 0.5


@overload
def is_foreground(probabilities: Tensor, threshold: float) -> Tensor: ...
@overload
def is_foreground(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.bool_]: ...
def is_foreground(
    probabilities: Tensor | NDArray[np.float32], threshold: float
) -> Tensor | NDArray[np.bool_]:
    """Return, for each pixel, whether its probability is at least `threshold`."""
    return probabilities >= threshold
