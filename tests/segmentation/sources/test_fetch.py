import hashlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from misbehaving_site import BODY, Site

from segmentation.common import progress
from segmentation.common.errors import Fault, InputError
from segmentation.sources.fetch import Patience, fetch

pytestmark = pytest.mark.fault("a download: dropped, refused, stalled, lied to")

MD5 = hashlib.md5(BODY).hexdigest()
QUICK = Patience(connect=2.0, read=0.5, tries=3, total=8, backoff=0.01)
ROOT = Path(__file__).parents[3]
FETCH = f"""
import sys; from pathlib import Path; from segmentation.sources.fetch import fetch
print(fetch(sys.argv[1], {MD5!r}, Path(sys.argv[2])))
"""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.ended.set()
        server.shutdown()
        thread.join()


def fetched(site: Site, cache: Path, md5: str = MD5) -> bytes:
    path = fetch(site.url, md5, cache, QUICK)
    assert path == cache / f"{md5}.tar.gz"
    assert not (cache / f"{md5}.part").exists()
    return path.read_bytes()


def files(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if path.suffix != ".lock")


def test_second_call_makes_no_request(site: Site, tmp_path: Path) -> None:
    cache = tmp_path / "not" / "yet"
    assert fetched(site, cache) == BODY
    assert fetched(site, cache, MD5) == BODY
    assert site.ranges == [None]


def test_md5_may_be_upper_case(site: Site, tmp_path: Path) -> None:
    assert fetch(site.url, MD5.upper(), tmp_path, QUICK).name == f"{MD5}.tar.gz"


def test_a_damaged_cached_file_is_fetched_again(site: Site, tmp_path: Path) -> None:
    (tmp_path / f"{MD5}.tar.gz").write_bytes(BODY[:-1])
    assert fetched(site, tmp_path) == BODY


def test_progress_goes_to_stderr(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0)
    fetched(site, tmp_path)
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"^images.tar.gz: \S+ of 2.00M, .* left$", err, re.M)


@pytest.mark.parametrize("how", ["drop", "stall", "chunked drop"])
def test_resumes_a_broken_transfer(site: Site, tmp_path: Path, how: str) -> None:
    site.plan = [how, how]
    assert fetched(site, tmp_path) == BODY
    assert len(site.ranges) == 3
    assert site.served < 1.1 * len(BODY)


def test_drops_at_random_places(site: Site, tmp_path: Path) -> None:
    drops = 40
    for round_ in range(drops // 5):
        site.plan, site.served = ["drop anywhere"] * 5, 0
        assert fetched(site, tmp_path / str(round_)) == BODY
        assert site.served < 1.1 * len(BODY)


def test_a_drip_is_given_up_in_time(site: Site, tmp_path: Path) -> None:
    """A byte now and then is never silence long enough; 2 MB would take a day."""
    site.plan = ["drip"] * 100
    with pytest.raises(InputError, match=r"received only \d+ bytes in \d+ s, repeatedly; check the network"):
        fetched(site, tmp_path)
    assert len(site.ranges) == QUICK.tries


def test_progress_resets_the_count_of_tries(site: Site, tmp_path: Path) -> None:
    site.plan = ["drop"] * (QUICK.tries + 3)
    assert fetched(site, tmp_path) == BODY


def test_tries_are_bounded_in_spite_of_progress(site: Site, tmp_path: Path) -> None:
    site.plan = ["drop"] * 100
    with pytest.raises(InputError, match=r"interrupted after \d+ of 2000000 bytes"):
        fetched(site, tmp_path)
    assert len(site.ranges) == QUICK.total
    assert files(tmp_path) == [f"{MD5}.part"]  # from which the next run resumes


def test_too_few_bytes_are_never_taken_for_the_file(site: Site, tmp_path: Path) -> None:
    site.plan = ["nothing"] * 100
    with pytest.raises(InputError, match="interrupted after 0 of 2000000 bytes"):
        fetched(site, tmp_path)
    assert len(site.ranges) == QUICK.tries


def test_resumes_what_an_earlier_process_left(site: Site, tmp_path: Path) -> None:
    (tmp_path / f"{MD5}.part").write_bytes(BODY[:1_500_000])
    assert fetched(site, tmp_path) == BODY
    assert site.ranges == ["bytes=1500000-"]
    assert site.served == 500_000


def start_process(site: Site, cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", FETCH, site.url, str(cache)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def test_resumes_after_kill(site: Site, tmp_path: Path) -> None:
    site.plan = ["stall"]
    part = tmp_path / f"{MD5}.part"
    with start_process(site, tmp_path) as process:
        for _ in range(1000):
            if part.exists() and part.stat().st_size > 900_000:
                break
            time.sleep(0.01)
        process.kill()
    assert fetched(site, tmp_path) == BODY
    assert len(site.ranges) == 2
    assert site.served < 1.1 * len(BODY)


def test_two_processes_at_once_fetch_it_once(site: Site, tmp_path: Path) -> None:
    site.plan = ["drop"]  # and a pause of a second, in which the other one comes
    processes = [start_process(site, tmp_path) for _ in range(2)]
    printed = [process.communicate(timeout=30)[0].strip() for process in processes]
    assert printed == [str(tmp_path / f"{MD5}.tar.gz")] * 2
    assert Path(printed[0]).read_bytes() == BODY
    assert len(site.ranges) == 2
    assert site.served < 1.1 * len(BODY)


@pytest.mark.parametrize("how", ["good", "chunked"])
def test_a_complete_part_is_used(site: Site, tmp_path: Path, how: str) -> None:
    (tmp_path / f"{MD5}.part").write_bytes(BODY)
    site.plan = [how]
    assert fetched(site, tmp_path) == BODY
    assert site.served == 0


@pytest.mark.parametrize("left", [BODY + b"more", b"x" * len(BODY), b"wrong"])
def test_a_part_of_another_file_is_fetched_again(site: Site, tmp_path: Path, left: bytes) -> None:
    (tmp_path / f"{MD5}.part").write_bytes(left)
    assert fetched(site, tmp_path) == BODY
    assert site.ranges == [f"bytes={len(left)}-", None]


@pytest.mark.parametrize("how", ["ignore range", "wrong start"])
def test_servers_with_bad_range_support(site: Site, tmp_path: Path, how: str) -> None:
    site.plan = ["drop", how]
    assert fetched(site, tmp_path) == BODY


@pytest.mark.parametrize("how", ["ignore range, drop", "wrong start"])
def test_servers_that_never_bring_more_are_given_up(site: Site, tmp_path: Path, how: str) -> None:
    site.plan = ["drop", *[how, "drop"] * 10]
    with pytest.raises(InputError, match="repeatedly; check the network"):
        fetched(site, tmp_path)
    assert len(site.ranges) <= 2 * QUICK.tries


def test_redirects_keep_the_range(site: Site, tmp_path: Path) -> None:
    site.plan, site.headers = ["drop", "302"], {"Location": "/elsewhere"}
    assert fetched(site, tmp_path) == BODY
    assert site.ranges == [None, *["bytes=1000000-"] * 2]


def test_gzip_is_not_taken_for_an_encoding(site: Site, tmp_path: Path) -> None:
    site.headers = {"Content-Encoding": "gzip"}
    assert fetched(site, tmp_path) == BODY


def test_chunked(site: Site, tmp_path: Path) -> None:
    site.plan = ["chunked"]
    assert fetched(site, tmp_path) == BODY


@pytest.mark.parametrize("status", ["429", "500", "503"])
def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path, status: str) -> None:
    site.plan = [status, status]
    assert fetched(site, tmp_path) == BODY


def test_a_server_that_stays_busy(site: Site, tmp_path: Path) -> None:
    site.plan = ["503"] * 100
    with pytest.raises(InputError, match="503 Service Unavailable"):
        fetched(site, tmp_path)
    assert len(site.ranges) == QUICK.tries


@pytest.mark.parametrize("status", ["403", "404", "410"])
def test_a_refusal_is_final(site: Site, tmp_path: Path, status: str) -> None:
    site.plan = [status]
    with pytest.raises(
        InputError, match=rf"images\.tar\.gz: the server answered {status} .*check the address"
    ):
        fetched(site, tmp_path)
    assert len(site.ranges) == 1
    assert files(tmp_path) == []


def test_wrong_md5(site: Site, tmp_path: Path) -> None:
    site.body = b"something else"
    found = hashlib.md5(site.body).hexdigest()
    with pytest.raises(InputError, match=rf"{site.url}: expected md5 {MD5}, found {found}"):
        fetched(site, tmp_path)
    assert len(site.ranges) == 1
    assert files(tmp_path) == []


def test_wrong_md5_after_resuming_starts_over_once(site: Site, tmp_path: Path) -> None:
    site.body, site.plan = BODY[::-1], ["drop"]
    with pytest.raises(InputError, match="expected md5"):
        fetched(site, tmp_path)
    assert [wanted is None for wanted in site.ranges] == [True, False, True]
    assert files(tmp_path) == []


def test_nobody_listens(site: Site, tmp_path: Path) -> None:
    with Site() as closed:
        url = closed.url
    with pytest.raises(
        InputError, match=r"^http://127.*: Connection refused; check the address or the network"
    ):
        fetch(url, MD5, tmp_path, QUICK)


def test_cache_that_cannot_be_written(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fault, match=rf"{tmp_path}/file: File exists, while fetching http"):
        fetched(site, tmp_path / "file")
