"""Near-duplicate images: the same scene twice, a copy in another size, a frame and the next one."""

from collections.abc import Mapping

import numpy as np
from PIL import Image
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

SIDE = 16
BITS = SIDE * SIDE
# On 7,349 pets at 128x128 the pairs of at most 20 bits are 42, of 31 bits 45: few are near the limit.
MAX_DISTANCE = 20
BLOCK = 512  # images compared with all others at once, to bound the memory


def difference_hash(image: Image.Image) -> bytes:
    """Return 256 bits: whether each of 16x16 grey cells is brighter than its left neighbour.

    Krawetz 2013, "Kind of Like That" (hackerfactor.com), who takes 8x8: too few to tell pets apart.
    """
    grey = np.asarray(image.convert("L").resize((SIDE + 1, SIDE), Image.Resampling.LANCZOS))
    return np.packbits(grey[:, 1:] > grey[:, :-1]).tobytes()


def shows_little(image_hash: bytes) -> bool:
    """Whether a difference hash is as near to that of an even surface or gradient as duplicates are.

    Such images, as cells on black, would all be near-duplicates of each other.
    """
    bits = int.from_bytes(image_hash).bit_count()
    return min(bits, BITS - bits) <= MAX_DISTANCE


def near_duplicates(hashes: Mapping[str, bytes]) -> list[list[str]]:
    """Group the images whose difference hashes are at most 20 bits apart, directly or through others.

    Images that show little are left out. The time grows with the square of the number of images.
    """
    hashes = {image_id: bits for image_id, bits in hashes.items() if not shows_little(bits)}
    ids, count = list(hashes), len(hashes)
    packed = np.frombuffer(b"".join(hashes.values()), np.uint8).reshape(count, BITS // 8)
    signs = 2 * np.unpackbits(packed, axis=1).astype(np.float32) - 1
    group = np.arange(count)
    for start in range(0, count, BLOCK):
        agreement = signs[start : start + BLOCK] @ signs[start:].T  # bits that agree minus those that do not
        rows, columns = np.nonzero(agreement >= BITS - 2 * MAX_DISTANCE)
        links = np.ones(len(rows), np.float32), (group[start + rows], group[start + columns])
        _, merged = connected_components(csr_matrix(links, shape=(count, count)), directed=False)
        group = merged[group]
    groups: dict[int, list[str]] = {}
    for image_id, number in zip(ids, group.tolist(), strict=True):
        groups.setdefault(number, []).append(image_id)
    return [members for members in groups.values() if len(members) > 1]
