"""What a prediction is written as."""

import glob
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from segmentation.common.errors import InputError
from segmentation.common.geometry import Image, Probabilities
from segmentation.common.image_io import Source, on_white, open_image
from segmentation.prediction.cutout import cut_out
from segmentation.scoring.threshold import is_foreground

OUTLINE = 255, 210, 0  # RGB
DIMMED = 3  # the background of an overlay has a third of its brightness


class Photo(NamedTuple):
    """An upright photo, with its alpha `(H, W)` and its ICC profile for RGB if it has them."""

    image: Image  # as networks see it: on white where it is transparent
    colors: Image  # without its alpha
    alpha: NDArray[np.uint8] | None
    profile: bytes | None


def read_photo(source: Source, white: int | None = None) -> Photo:
    """Read a photo, with EXIF orientation applied; `white` and errors as in `open_image`."""
    image = open_image(source, upright=True, white=white)
    alpha = np.asarray(image.getchannel("A")) if image.mode == "RGBA" else None
    profile = image.info.get("icc_profile")
    if profile and profile[16:20] != b"RGB ":  # of what it describes the colours; ICC.1:2022, 7.2.6
        profile = None
    pixels = np.asarray(on_white(image))
    return Photo(pixels, pixels if alpha is None else np.asarray(image.convert("RGB")), alpha, profile)


def write_kind(
    kind: str, photo: Photo, probabilities: Probabilities, threshold: float, file: IO[bytes]
) -> None:
    """Write a PNG of the photo's size; `kind` is one of `KINDS`."""
    pixels = KINDS[kind](photo, probabilities, threshold)
    PIL.Image.fromarray(pixels).save(file, "PNG", icc_profile=photo.profile if pixels.ndim == 3 else None)


def mask(_: Photo, probabilities: Probabilities, threshold: float) -> NDArray[np.uint8]:
    """Return 255 where there is foreground, 0 elsewhere."""
    return is_foreground(probabilities, threshold).astype(np.uint8) * np.uint8(255)


def cutout(photo: Photo, probabilities: Probabilities, _: float) -> NDArray[np.uint8]:
    """Return the foreground as RGBA; its alpha is the probability, and never above that of the photo."""
    alpha = cv2.convertScaleAbs(probabilities, alpha=255).astype(np.uint8, copy=False)
    return cut_out(photo.colors, alpha if photo.alpha is None else np.minimum(alpha, photo.alpha))


def overlay(photo: Photo, probabilities: Probabilities, threshold: float) -> NDArray[np.uint8]:
    """Return the photo with its background dimmed and its foreground outlined."""
    foreground = is_foreground(probabilities, threshold)
    result = np.where(foreground[..., None], photo.image, photo.image // DIMMED)
    contours, _ = cv2.findContours(foreground.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    thickness = max(1, round(max(foreground.shape) / 300))
    cv2.drawContours(result, contours, -1, OUTLINE, thickness, cv2.LINE_AA)
    return result


def probability(_: Photo, probabilities: Probabilities, __: float) -> NDArray[np.uint16]:
    """Return the probability times 65535."""
    return np.rint(probabilities * np.float32(65535)).astype(np.uint16)


KINDS: dict[str, Callable[[Photo, Probabilities, float], NDArray[np.generic]]] = {
    "mask": mask,
    "cutout": cutout,
    "overlay": overlay,
    "probability": probability,
}


def split_kinds(values: Sequence[str], paths: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the kinds, each once, and the paths of `--kind KIND… PATH…`: argparse cannot tell them apart.

    Raises `InputError` for a word that is neither.
    """
    kinds = list(dict.fromkeys(word for word in values if word in KINDS))
    others = [word for word in values if word not in KINDS]
    for word in others:
        if not (Path(word).exists() or glob.has_magic(word) or word == "-"):
            raise InputError(f"--kind {word}: no such kind ({', '.join(KINDS)}), file or folder")
    return kinds or ["mask"], [*paths, *others]
