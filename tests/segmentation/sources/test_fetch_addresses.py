"""Which addresses and md5s `fetch` takes; what it does with a file that is here already."""

from pathlib import Path

import pytest
from misbehaving_site import BODY
from test_fetch import MD5, QUICK

from segmentation.common.errors import InputError
from segmentation.sources.fetch import fetch

pytestmark = pytest.mark.fault("a download: dropped, refused, stalled, lied to")


@pytest.mark.parametrize(
    "url",
    ["ftp://127.0.0.1/a", "a.tar.gz", "http://[", "", "http://", "http://a..b/", "file://a/b", "file://"],
)
def test_bad_addresses(tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError):
        fetch(url, MD5, tmp_path, QUICK)


@pytest.mark.parametrize("md5", ["", "0" * 31, "../" + "0" * 29, "g" * 32, "0" * 32 + "\n"])
def test_bad_md5s(tmp_path: Path, md5: str) -> None:
    with pytest.raises(InputError, match="32 hexadecimal digits"):
        fetch("http://127.0.0.1/a", md5, tmp_path, QUICK)


def test_file_is_used_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "my images#1.tar.gz"
    path.write_bytes(BODY)
    for url in (path.as_uri(), f"file://{path}", f"FILE://localhost{path}"):
        assert fetch(url, MD5, tmp_path / "cache") == path
    assert not (tmp_path / "cache").exists()


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"there is no file {tmp_path}/a\.tar\.gz"):
        fetch(f"file://{tmp_path}/a.tar.gz", MD5, tmp_path)


def test_file_with_another_md5(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(InputError, match=f"expected md5 {MD5}, found d41d8cd98f00b204e9800998ecf8427e"):
        fetch(f"file://{tmp_path}/a", MD5, tmp_path)
