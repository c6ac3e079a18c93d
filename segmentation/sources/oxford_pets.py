"""Oxford-IIIT Pet from its two archives, which already have the layout of `common/dataset_layout.py`.

Source: https://www.robots.ox.ac.uk/~vgg/data/pets/
"""

import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import Fault, InputError
from segmentation.sources.fetch import fetch

MAX_BYTES = 20_000_000_000  # that an archive may unpack to: Oxford-IIIT Pet has 1 GB

# What tarfile and the decompressors raise on damaged input; beside it, an OSError without a number.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)


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


def unpack(archive: Path, destination: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack the tar `archive`, compressed or not, into the existing folder `destination`.

    macOS companions (`._*`) are left out. Raises InputError for an archive that is damaged or not one, that
    claims more than `max_bytes` in all, and for a member that is not a file or folder inside `destination`
    (PEP 706); Fault if it cannot be written.
    """
    total = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                total += member.size
                problem = f"claims to hold {total:,} bytes or more" if total > max_bytes else ""
                if not (member.isfile() or member.isdir()):
                    problem = f"{member.name!r} is neither a file nor a folder"
                if problem:
                    raise InputError(f"{archive}: {problem}; use another archive")
                if not PurePosixPath(member.name).name.startswith("._"):
                    # No attributes: modes as the user's umask has them, whatever the archive says.
                    tar.extract(member, destination, set_attrs=False, filter="data")
    except (*_DAMAGE, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            where = error.filename or destination
            raise Fault(f"{where}: {error.strerror}, while unpacking {archive}") from error
        raise InputError(f"{archive}: cannot be unpacked ({error}); use another one") from error
