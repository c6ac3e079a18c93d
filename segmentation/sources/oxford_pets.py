"""Oxford-IIIT Pet from its two archives, which already have the layout of `common/dataset_layout.py`.

Source: https://www.robots.ox.ac.uk/~vgg/data/pets/
"""

from pathlib import Path

from platformdirs import user_cache_path

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.sources.fetch import fetch
from segmentation.sources.unpack import unpack


def default_cache() -> Path:
    """The folder of this user in which fetched archives are kept for all runs and clones."""
    return user_cache_path("binary-segmentation-pipeline", appauthor=False)


def write_pets(
    folder: Path, images_url: str, images_md5: str, annotations_url: str, annotations_md5: str, cache: Path
) -> None:
    """Fetch both archives through `cache` and unpack them into the existing, empty `folder`.

    On an error the caller discards `folder`. Raises InputError and Fault as `fetch` and `unpack` do,
    and InputError where an archive lacks a part of the dataset.
    """
    images = fetch(images_url, images_md5, cache)
    annotations = fetch(annotations_url, annotations_md5, cache)
    unpack(images, folder)
    unpack(annotations, folder)
    for path in (layout.IMAGES, layout.TRIMAPS, layout.LIST, layout.TRAINVAL, layout.TEST):
        part, url = folder / path, images_url if path == layout.IMAGES else annotations_url
        if not (part.is_file() if path.suffix else part.is_dir()):
            remedy = "use the official one, or one with the same layout"
            raise InputError(f"{url}: the archive has no {path}; {remedy}")
