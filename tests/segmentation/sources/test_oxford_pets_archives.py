import gzip
import io
import tarfile
from pathlib import Path

import pytest

from segmentation.common.errors import Fault, InputError
from segmentation.sources.oxford_pets import MAX_BYTES, unpack


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, mode
    return info


def write(path: Path, *entries: tarfile.TarInfo, content: bytes = b"content", mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for info in entries:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    """A folder inside an else empty one, so that whatever escapes is seen."""
    path = tmp_path / "around" / "destination"
    path.mkdir(parents=True)
    return path


def escaped(destination: Path) -> list[Path]:
    return [path for path in destination.parent.iterdir() if path != destination]


def unpacked(destination: Path) -> list[str]:
    return sorted(str(path.relative_to(destination)) for path in destination.rglob("*") if path.is_file())


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 16384, 100_000])
def test_files_and_folders(tmp_path: Path, destination: Path, mode: str, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    entries = [
        entry("./", tarfile.DIRTYPE, mode=0),
        entry("./images", tarfile.DIRTYPE),
        entry("./images/a.jpg"),
    ]
    archive = write(tmp_path / "a.tar", *entries, entry("b/c/d.png"), content=content[:size], mode=mode)
    unpack(archive, destination)
    assert unpacked(destination) == ["b/c/d.png", "images/a.jpg"]
    assert (destination / "images/a.jpg").read_bytes() == content[:size]
    assert escaped(destination) == []


def test_macos_companions_are_skipped(tmp_path: Path, destination: Path) -> None:
    unpack(write(tmp_path / "a", entry("._b"), entry("b"), entry("c/._b"), entry("c/._")), destination)
    assert unpacked(destination) == ["b"]


def test_modes_of_the_archive_are_not_taken(tmp_path: Path, destination: Path) -> None:
    unpack(write(tmp_path / "a", entry("b", tarfile.DIRTYPE, mode=0), entry("b/c", mode=0o6000)), destination)
    (tmp_path / "new").touch()
    assert (destination / "b/c").stat().st_mode == (tmp_path / "new").stat().st_mode
    assert (destination / "b").stat().st_mode == destination.stat().st_mode


HOSTILE = {
    "parent": entry("../evil"),
    "parent inside": entry("images/../../evil"),
    "parent folder": entry("../evil", tarfile.DIRTYPE),
    "symbolic link": entry("evil", tarfile.SYMTYPE, ".."),
    "harmless symbolic link": entry("evil", tarfile.SYMTYPE, "first"),
    "hard link": entry("evil", tarfile.LNKTYPE, "first"),
    "hard link outside": entry("evil", tarfile.LNKTYPE, "../../a.tar.gz"),
    "companion link": entry("._evil", tarfile.SYMTYPE, "first"),
    "character device": entry("evil", tarfile.CHRTYPE),
    "block device": entry("evil", tarfile.BLKTYPE),
    "pipe": entry("evil", tarfile.FIFOTYPE),
}


@pytest.mark.fault("an archive that is hostile or broken")
@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_members(tmp_path: Path, destination: Path, bad: tarfile.TarInfo) -> None:
    archive = write(tmp_path / "a.tar.gz", entry("first"), bad)
    with pytest.raises(InputError) as caught:
        unpack(archive, destination)
    assert str(archive) in str(caught.value) and bad.name in str(caught.value)
    assert unpacked(destination) == ["first"]
    assert escaped(destination) == []


def test_an_absolute_name_is_unpacked_inside(tmp_path: Path, destination: Path) -> None:
    unpack(write(tmp_path / "a", entry("/binary-segmentation-escaped")), destination)
    assert unpacked(destination) == ["binary-segmentation-escaped"]
    assert not Path("/binary-segmentation-escaped").exists()


@pytest.mark.fault("an archive that is hostile or broken")
def test_writing_through_a_link(tmp_path: Path, destination: Path) -> None:
    archive = write(tmp_path / "a", entry("evil", tarfile.SYMTYPE, ".."), entry("evil/b"))
    with pytest.raises(InputError, match="'evil' is neither a file nor a folder"):
        unpack(archive, destination)
    assert escaped(destination) == []


@pytest.mark.fault("an archive that is hostile or broken")
@pytest.mark.parametrize(
    "data",
    [b"", b"<html>sorry</html>", gzip.compress(b"no tar", mtime=0), b"PK\3\4" * 1000],
    ids=["empty", "html", "gzip", "zip"],
)
def test_not_an_archive(tmp_path: Path, destination: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(tmp_path / "a", destination)
    assert unpacked(destination) == []


@pytest.mark.fault("an archive that is hostile or broken")
def test_no_archive_at_all(tmp_path: Path, destination: Path) -> None:
    with pytest.raises(Fault, match=rf"{tmp_path}/a: No such file"):
        unpack(tmp_path / "a", destination)


def claiming(path: Path, kind: bytes, size: int) -> Path:
    """An archive of an empty file and a header that claims `size` bytes, of which there are few."""
    info = entry("claim", kind)
    info.size = size
    headers = entry("first").tobuf() + info.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(gzip.compress(headers + bytes(10_000)))
    return path


@pytest.mark.fault("an archive that is hostile or broken")
@pytest.mark.parametrize("size", [MAX_BYTES + 1, 2**62])
def test_a_huge_claim(tmp_path: Path, destination: Path, size: int) -> None:
    with pytest.raises(InputError, match=r"claims to hold [\d,]+ bytes or more; use another archive"):
        unpack(claiming(tmp_path / "a", tarfile.REGTYPE, size), destination)
    assert unpacked(destination) == ["first"]


@pytest.mark.fault("an archive that is hostile or broken")
def test_small_files_that_are_too_much_together(tmp_path: Path, destination: Path) -> None:
    archive = write(tmp_path / "a", *(entry(str(i)) for i in range(100)), content=bytes(1000))
    unpack(archive, destination, max_bytes=100_000)
    with pytest.raises(InputError, match=r"claims to hold 100,000 bytes or more"):
        unpack(archive, destination, max_bytes=99_999)


@pytest.mark.fault("an archive that is hostile or broken")
def test_a_sparse_file_counts_with_its_holes(tmp_path: Path, destination: Path) -> None:
    info = entry("hole", tarfile.GNUTYPE_SPARSE)
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o " % (2**40 // 1024)  # the real size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:512])
    (tmp_path / "a").write_bytes(bytes(block) + bytes(10_240))
    with pytest.raises(InputError):
        unpack(tmp_path / "a", destination, max_bytes=2**20)
    assert sum(path.stat().st_size for path in destination.rglob("*")) == 0
