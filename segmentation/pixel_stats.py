"""Mean and standard deviation of the pixels of many images, in one pass."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ImageStat

from segmentation.common.artifacts import Stats
from segmentation.common.cores import usable_cores
from segmentation.common.errors import InputError
from segmentation.common.image_io import open_rgb
from segmentation.common.progress import progress


def compute_stats(paths: Sequence[Path]) -> Stats:
    """Return the pixel-weighted mean and (population) standard deviation of the images at `paths`.

    Every pixel counts once. Histograms are integers, so the result is the same to the last bit in any order.
    Memory does not grow with the number of pixels. Raises `InputError` if there is no image, or one does not
    decode.
    """
    if not paths:
        raise InputError("no images to compute the mean and standard deviation of")
    total = np.zeros(3 * 256, np.int64)
    # Threads: decoding releases the interpreter's lock, and processes take longer to start than they save.
    with ThreadPoolExecutor(usable_cores()) as pool:
        histograms = pool.map(lambda path: open_rgb(path).histogram(), paths)
        for histogram in progress(histograms, "pixels", len(paths)):
            total += np.array(histogram)
    moments = ImageStat.Stat(total.tolist())
    return Stats(
        mean=[mean / 255 for mean in moments.mean],
        std=[std / 255 for std in moments.stddev],
        images=len(paths),
        pixels=moments.count[0],
    )
