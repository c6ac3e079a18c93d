"""One annotated image of a person's folder, brought into `data/raw/` with its shapes as a trimap."""

from pathlib import Path

from PIL import Image

from segmentation.common.errors import InputError
from segmentation.sources.annotations.raster import rasterize
from segmentation.sources.annotations.shapes import AnnotatedImage
from segmentation.sources.own_files import Remark, Rules, sizes, write_image
from segmentation.sources.own_masks import mask_to_trimap


def write_annotated(
    image: Path, annotated: AnnotatedImage, destination: Path, trimap: Path, rules: Rules
) -> dict[Remark, int]:
    """Write an image as `write_image` does, and its shapes as a trimap of the size in the annotations.

    Without such a size, an image that EXIF turns is `UNDECIDED`. Raises `InputError` where the image has the
    size neither as it is stored nor upright, and for shapes that cannot be used.
    """
    own, size = sizes(image), annotated.size
    if own:
        stored, upright, tag = own
        if size is None and stored != upright and rules.orientation is None:
            return {Remark.UNDECIDED: tag}
        size = size or (upright if rules.orientation == "upright" else stored)
        if size not in (stored, upright):
            raise InputError(
                f"{image}: has {_pixels(stored)} pixels, but {annotated.file} says {_pixels(size)}; export"
                " again, with the images that were annotated"
            )
    remarks = write_image(image, destination, size, rules)
    if own and size:  # of what cannot be read, the annotations may say any size
        chosen = [shape for shape in annotated.shapes if not rules.classes or shape.label in rules.classes]
        Image.fromarray(mask_to_trimap(rasterize(chosen, size), None)).save(trimap, "PNG")
    return remarks


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
