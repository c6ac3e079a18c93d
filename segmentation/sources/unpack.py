"""Unpacking an archive from somewhere else: files and folders, and nothing outside the destination."""

import lzma
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from segmentation.common.errors import Fault, InputError

# What tarfile and the decompressors raise on damaged input, and opening what a hostile member names.
_DAMAGE = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, ValueError)
_CLASHES = (FileExistsError, IsADirectoryError, NotADirectoryError)


MAX_BYTES = 20_000_000_000  # that an archive may unpack to: Oxford-IIIT Pet has 1 GB
MAX_MEMBERS = 1_000_000
MAX_HEADER = 1_000_000  # bytes of one member's name and attributes, which are read into memory

_HEADERS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME)


class _Member(tarfile.TarInfo):
    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in (*_HEADERS, tarfile.GNUTYPE_LONGLINK) and self.size > MAX_HEADER:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes")
        return super()._proc_member(tar)  # type: ignore[misc]


def unpack(archive: Path, destination: Path, max_bytes: int = MAX_BYTES) -> None:
    """Unpack the tar `archive`, compressed or not, into the existing folder `destination`.

    macOS companions (`._*`) are left out. The archive is read once, so what came before an error has
    been unpacked by then: the caller discards `destination`.

    Raises InputError for an archive that is damaged or not one, that claims more than `max_bytes` in all, and
    for a member that is not a file or folder inside `destination`; Fault if it cannot be read or written.
    Source of the rules: PEP 706, whose `data` filter stays on behind the stricter check made here.
    """
    if not hasattr(tarfile, "data_filter"):
        raise Fault("this Python cannot unpack archives safely; use Python 3.11.4 or newer")
    try:
        total = 0
        with tarfile.open(archive, tarinfo=_Member) as tar:
            for count, member in enumerate(tar):
                _check(archive, member)
                total += member.size
                if total > max_bytes or count >= MAX_MEMBERS:
                    claim = f"{total:,} bytes in {count + 1:,} members"
                    raise InputError(f"{archive}: claims to hold {claim} or more; use another archive")
                if not PurePosixPath(member.name).name.startswith("._"):
                    # No attributes: modes as the user's umask has them, whatever the archive says.
                    tar.extract(member, destination, set_attrs=False, filter="data")
            _check_end(archive, tar)
    except (*_DAMAGE, *_CLASHES) as error:
        raise InputError(_damaged(archive, error)) from error
    except OSError as error:
        if error.errno is None:  # gzip's and bz2's own
            raise InputError(_damaged(archive, error)) from error
        where = error.filename or destination
        raise Fault(f"{where}: {error.strerror}, while unpacking {archive}") from error


def _check(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        problem = "lies outside the archive's folder"
    elif not (member.isfile() or member.isdir()):
        problem = "is a link" if member.issym() or member.islnk() else "is neither a file nor a folder"
    else:
        return
    raise InputError(f"{archive}: {member.name!r} {problem}, which is not allowed; use another archive")


def _check_end(archive: Path, tar: tarfile.TarFile) -> None:
    """Read on to the end, for tarfile takes a damaged or missing header for the end of the archive.

    An archive ends in two blocks of zeros, one of which tarfile has read; behind them a compressed
    one has its checksum, which is compared when its last byte is read.
    """
    assert tar.fileobj is not None
    zeros = 0
    while block := tar.fileobj.read(tarfile.RECORDSIZE):
        if block.count(0) != len(block):
            raise tarfile.ReadError("a header is damaged")
        zeros += len(block)
    if zeros < tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")


def _damaged(archive: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0].rstrip(":") if str(error) else type(error).__name__
    return f"{archive}: damaged, or not a tar archive ({reason}); download it again"
