"""Training images: windows cut from the images of a dataset, and changed at random."""

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from segmentation.common.geometry import IGNORED, Mask, cut
from segmentation.common.seeds import Purpose, stream
from segmentation.loading.dataset import Item, Key, SegmentationDataset, to_item
from segmentation.training.augmentation import Augmentation

MOST_CROPS = 100  # of an image in an epoch
# Every third crop holds foreground where there is any: nnU-Net's share (Isensee et al. 2021).
FOREGROUND_EVERY = 3
KNOWN_PLACES = 1000  # pixels of foreground that are kept in mind of each image


def crops_per_epoch(height: int, width: int, size: int) -> int:
    """Return how many windows an epoch takes of an image of this shape in network pixels."""
    pixels = max(height, size) * max(width, size)  # filled up to a window
    return min(MOST_CROPS, round(pixels / size**2))


class TrainingCrops(Dataset[Item]):
    """Windows of `images`, at random places where an image is larger, each changed at random by `augment`.

    An epoch has as many windows as cover the pixels of all images once, at least one and at most `MOST_CROPS`
    of each. The random streams of an item depend on `seed`, the epoch and the index alone: not on the number
    of workers, nor on what was drawn before.
    """

    def __init__(self, images: SegmentationDataset, augment: Augmentation, seed: int = 0) -> None:
        self.images, self.augment, self.seed = images, augment, seed
        self.geometry = images.geometry
        self.crops = [crops_per_epoch(*shape, self.geometry.size) for shape in images.shapes]
        self._owners = np.repeat(np.arange(len(images)), self.crops)
        self._places: dict[int, NDArray[np.int64]] = {}

    def __len__(self) -> int:
        return len(self._owners)

    def __getitem__(self, key: Key) -> Item:
        epoch, index = key
        owner, margin = int(self._owners[index]), self.augment.margin
        image, mask = self.images.read(owner)
        top, left = self._corner(owner, mask, epoch, index)
        # With surroundings, so that random changes bring in what is really there.
        top, left, side = top - margin, left - margin, self.geometry.size + 2 * margin
        image = cut(image, top, left, side, side, self.geometry.fill)
        mask = cut(mask, top, left, side, side, IGNORED)
        image, mask = self.augment(image, mask, stream(Purpose.AUGMENTATION, self.seed, epoch, index))
        return to_item(image, mask, index)

    def _corner(self, owner: int, mask: Mask, epoch: int, index: int) -> tuple[int, int]:
        """Return row and column of the window's corner: below 0 where the image is smaller, in its middle."""
        size = self.geometry.size
        free = [side - size for side in mask.shape]
        if max(free) <= 0:
            return free[0] // 2, free[1] // 2
        rng = np.random.default_rng(stream(Purpose.CROP, self.seed, epoch, index))
        lowest, highest = [0, 0], free
        places = self._foreground(owner, mask) if (index + epoch) % FOREGROUND_EVERY == 0 else None
        if places is not None and len(places):
            place = np.divmod(rng.choice(places), mask.shape[1])
            lowest = [max(0, int(at) - size + 1) for at in place]
            highest = [min(most, int(at)) for most, at in zip(free, place, strict=True)]
        top, left = (
            int(rng.integers(low, high, endpoint=True)) if most > 0 else most // 2
            for low, high, most in zip(lowest, highest, free, strict=True)
        )
        return top, left

    def _foreground(self, owner: int, mask: Mask) -> NDArray[np.int64]:
        """Return the places of pixels of foreground, evenly spaced, as indices of the flattened mask."""
        if owner not in self._places:
            foreground = np.flatnonzero(mask)
            step = -(-len(foreground) // KNOWN_PLACES) or 1
            self._places[owner] = foreground[::step].copy()  # not a view of all
        return self._places[owner]
