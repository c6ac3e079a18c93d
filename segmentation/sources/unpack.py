"""Unpacking an archive from somewhere else: files and folders, and nothing outside the destination."""

import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from segmentation.common.errors import Fault, InputError

MAX_BYTES = 20_000_000_000  # that an archive may unpack to: Oxford-IIIT Pet has 1 GB

# What tarfile and the decompressors raise on damaged input.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)


def unpack(archive: Path, destination: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack the tar `archive`, compressed or not, into the existing folder `destination`.

    macOS companions (`._*`) are left out. The caller has checked the md5 of the archive, and discards
    `destination` on an error.

    Raises InputError for an archive that is damaged or not one, that claims more than `max_bytes` in all, and
    for a member that is not a file or folder inside `destination` (PEP 706); Fault if it cannot be written.
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
        if isinstance(error, OSError) and error.errno is not None:  # None: gzip's and bz2's own
            where = error.filename or destination
            raise Fault(f"{where}: {error.strerror}, while unpacking {archive}") from error
        raise InputError(f"{archive}: cannot be unpacked ({error}); use another one") from error
