import gzip
import io
import tarfile
from pathlib import Path

import pytest

from segmentation.common.errors import Fault, InputError
from segmentation.sources.unpack import MAX_BYTES, unpack


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
    "absolute": entry("/tmp/binary-segmentation-escaped"),
    "parent": entry("../evil"),
    "parent inside": entry("images/../../evil"),
    "parent folder": entry("../evil", tarfile.DIRTYPE),
    "parent companion": entry("../._evil"),
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
    assert f"{archive}: {bad.name!r} " in str(caught.value)
    assert unpacked(destination) == ["first"]
    assert escaped(destination) == []
    assert not Path("/tmp/binary-segmentation-escaped").exists()


@pytest.mark.fault("an archive that is hostile or broken")
def test_writing_through_a_link(tmp_path: Path, destination: Path) -> None:
    archive = write(tmp_path / "a", entry("evil", tarfile.SYMTYPE, ".."), entry("evil/b"))
    with pytest.raises(InputError, match="'evil' is a link"):
        unpack(archive, destination)
    assert escaped(destination) == []


@pytest.mark.parametrize("second", ["b/c", "b/c/d"])
def test_names_that_clash(tmp_path: Path, destination: Path, second: str) -> None:
    entries = [entry("b/c/d"), entry("b/c")] if second == "b/c" else [entry("b/c"), entry("b/c/d")]
    with pytest.raises(InputError, match="damaged"):
        unpack(write(tmp_path / "a", *entries), destination)


@pytest.mark.fault("an archive that is hostile or broken")
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_truncated_anywhere(tmp_path: Path, destination: Path, mode: str) -> None:
    whole = write(
        tmp_path / "a", entry("b"), entry("c"), content=bytes(range(256)) * 5, mode=mode
    ).read_bytes()
    lengths = [512, 2048, 2049, 4096] if mode == "w" else [*range(0, len(whole), 10), len(whole) - 1]
    for length in lengths:
        archive = tmp_path / f"{length}"
        archive.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"/{length}: damaged, or not a tar archive"):
            unpack(archive, destination)
    assert escaped(destination) == []


@pytest.mark.fault("an archive that is hostile or broken")
def test_damaged_header_is_not_the_end(tmp_path: Path, destination: Path) -> None:
    data = bytearray(write(tmp_path / "a", entry("b"), entry("c"), entry("d"), mode="w").read_bytes())
    data[1024] ^= 1  # the header of c
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="a header is damaged"):
        unpack(tmp_path / "a", destination)


@pytest.mark.fault("an archive that is hostile or broken")
def test_wrong_checksum(tmp_path: Path, destination: Path) -> None:
    data = bytearray(write(tmp_path / "a", entry("b")).read_bytes())
    data[-5] ^= 1
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="CRC"):
        unpack(tmp_path / "a", destination)


@pytest.mark.fault("an archive that is hostile or broken")
@pytest.mark.parametrize(
    "data",
    [b"", b"<html>sorry</html>", gzip.compress(b"no tar", mtime=0), b"PK\3\4" * 1000],
    ids=["empty", "html", "gzip", "zip"],
)
def test_not_an_archive(tmp_path: Path, destination: Path, data: bytes) -> None:
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(InputError, match="not a tar archive") as caught:
        unpack(tmp_path / "a", destination)
    assert "\n" not in str(caught.value)
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
    with pytest.raises(
        InputError, match=r"claims to hold [\d,]+ bytes in 2 members or more; use another archive"
    ):
        unpack(claiming(tmp_path / "a", tarfile.REGTYPE, size), destination)
    assert unpacked(destination) == ["first"]


@pytest.mark.fault("an archive that is hostile or broken")
@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_huge_header(tmp_path: Path, destination: Path, kind: bytes) -> None:
    with pytest.raises(
        InputError, match=r"damaged, or not a tar archive \(a header of 8,589,934,592 bytes\)"
    ):
        unpack(claiming(tmp_path / "a", kind, 2**33), destination)


@pytest.mark.fault("an archive that is hostile or broken")
def test_small_files_that_are_too_much_together(tmp_path: Path, destination: Path) -> None:
    archive = write(tmp_path / "a", *(entry(str(i)) for i in range(100)), content=bytes(1000))
    unpack(archive, destination, max_bytes=100_000)
    with pytest.raises(InputError, match=r"claims to hold 100,000 bytes in 100 members or more"):
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
