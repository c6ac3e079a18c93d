"""Fetching a big file over a network that may break, once per machine.

What was fetched is kept in a cache and found there by its md5. An interrupted transfer resumes where it
stopped (RFC 9110, section 14: Range requests), in a later process too.
"""

import os
import re
import time
from pathlib import Path
from typing import NamedTuple
from urllib.request import url2pathname

import requests
import urllib3
from filelock import FileLock
from requests.adapters import HTTPAdapter

from segmentation.common.errors import Fault, InputError
from segmentation.common.files import md5_of
from segmentation.common.progress import progress


class Patience(NamedTuple):
    """Limits for a bad network; times in seconds."""

    connect: float = 10.0
    read: float = 60.0  # without a single byte, or with fewer than `slowest` a second
    slowest: int = 1000
    tries: int = 5  # in a row without any progress
    total: int = 500  # transfers of one file that were interrupted after some progress
    backoff: float = 1.0  # doubled after each try without progress


PATIENCE = Patience()
_LONGEST_PAUSE = 60
_CHUNK = 1 << 18


class _Broken(Exception):
    """A transfer stopped before its end; asking again may help."""


class _Slow(_Broken):
    """A transfer too slow to finish."""


def fetch(url: str, md5: str, cache: Path, patience: Patience = PATIENCE) -> Path:
    """Return a local archive whose md5 is `md5`, from `cache` if it is there, else from `url`.

    A `file://` address is checked where it is and never copied. An `http(s)://` one is kept as
    `cache/MD5.tar.gz`, beside `MD5.part` while it is incomplete, and `MD5.lock`, which keeps two processes
    from fetching it at once.

    Raises InputError for a bad address or md5, for a network that does not recover, for an error that the
    server reports, and for a file with another md5; Fault if the cache cannot be written.
    """
    md5 = md5.lower()
    if not re.fullmatch("[0-9a-f]{32}", md5):
        raise InputError(f"{url}: its md5 must be 32 hexadecimal digits, got {md5!r}")
    scheme, _, rest = url.partition("://")
    if scheme.lower() == "file":
        return _local(url, rest, md5)
    if scheme.lower() not in ("http", "https"):
        raise InputError(f"{url}: the address must start with https://, http:// or file://")
    kept, part = cache / f"{md5}.tar.gz", cache / f"{md5}.part"
    try:
        if md5_of(kept) == md5:  # needs no lock: the name is only given to whole files
            return kept
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / f"{md5}.lock"):
            if md5_of(kept) != md5:  # another process may have fetched it meanwhile
                _fetch_checked(url, md5, part, patience)
                part.replace(kept)
    except OSError as error:
        raise Fault(f"{error.filename or cache}: {error.strerror or error}, while fetching {url}") from error
    return kept


def _local(url: str, rest: str, md5: str) -> Path:
    host, _, name = rest.partition("/")
    path = Path(url2pathname(f"/{name}"))
    actual = md5_of(path) if host in ("", "localhost") else None
    if actual is None:
        raise InputError(f"{url}: there is no file {path}; write it as in file:///folder/file.tar.gz")
    if actual != md5:
        raise InputError(f"{url}: expected md5 {md5}, found {actual}; correct the address or the md5")
    return path


def _fetch_checked(url: str, md5: str, part: Path, patience: Patience) -> None:
    for _ in range(2):
        resumed = _fetch_whole(url, part, patience)
        actual, size = md5_of(part), part.stat().st_size
        if actual == md5:
            return
        part.unlink()
        if not resumed:
            break  # else the file may have changed between the pieces: once more, from zero
    found = f"expected md5 {md5}, found {actual} ({size} bytes)"
    raise InputError(f"{url}: {found}; correct the address or the md5")


def _fetch_whole(url: str, part: Path, patience: Patience) -> bool:
    """Ask until `part` is complete; whether its last piece was added to earlier ones."""
    longest, fruitless = _size(part), 0
    retry = urllib3.Retry(  # until a response's body begins
        total=patience.tries - 1,
        status_forcelist=(429, 500, 502, 503, 504),
        raise_on_status=False,  # the last response is more telling than an exception
        backoff_factor=patience.backoff,
        backoff_max=_LONGEST_PAUSE,
        retry_after_max=_LONGEST_PAUSE,
    )
    with requests.Session() as session:
        session.mount("https://", HTTPAdapter(max_retries=retry))
        session.mount("http://", HTTPAdapter(max_retries=retry))
        # Servers that take .gz for an encoding would have it decoded on the way, and its md5 changed.
        session.headers["Accept-Encoding"] = "identity"
        for _ in range(patience.total):
            try:
                return _fetch_rest(session, url, part, patience)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:  # tried again already
                reason = f"{_root_cause(error)}; check the address or the network, then run again"
                raise InputError(f"{url}: {reason}") from error
            except _Broken as error:
                problem, slow = str(error), isinstance(error, _Slow)
            fruitless = 0 if _size(part) > longest and not slow else fruitless + 1
            longest = max(longest, _size(part))
            if fruitless >= patience.tries:
                break
            time.sleep(min(patience.backoff * 2**fruitless, _LONGEST_PAUSE))
    raise InputError(f"{url}: {problem}, repeatedly; check the network, then run again to resume")


def _fetch_rest(session: requests.Session, url: str, part: Path, patience: Patience) -> bool:
    """Ask once for what `part` lacks; whether what it had was kept."""
    size = _size(part)
    headers = {"Range": f"bytes={size}-"} if size else {}
    timeout = (patience.connect, patience.read)
    with session.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416 and size:
            return True  # nothing is missing, or what is there is wrong: its md5 will tell
        if response.status_code == 200:
            _save(response, part, 0, response.raw.length_remaining, patience)
            return False
        if response.status_code != 206:
            status = f"{response.status_code} {response.reason}"
            raise InputError(f"{url}: the server answered {status}; check the address, or try again later")
        content_range = response.headers.get("Content-Range", "")
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range)
        if match is None or int(match[1]) != size:
            part.unlink(missing_ok=True)  # so that the next request asks for everything
            raise _Broken("the server sent a different part of the file than requested")
        _save(response, part, size, None if match[2] == "*" else int(match[2]), patience)
        return True


def _save(response: requests.Response, part: Path, size: int, total: int | None, patience: Patience) -> None:
    """Append the body to the first `size` bytes of `part`, the whole of which has `total`, if known."""
    name = response.url.partition("?")[0].rpartition("/")[2]
    bar = progress(None, name, total, initial=size, unit="B", unit_scale=True)
    checked, had = time.monotonic(), size
    with bar, part.open("ab" if size else "wb") as file:
        try:
            # read1, because read would throw away what came before the connection broke
            while piece := response.raw.read1(_CHUNK, decode_content=False):
                file.write(piece)
                size += len(piece)
                bar.update(len(piece))
                if (seconds := time.monotonic() - checked) > patience.read:
                    if size - had < patience.slowest * seconds:
                        raise _Slow(f"received only {size - had} bytes in {seconds:.0f} s")
                    checked, had = time.monotonic(), size
        except urllib3.exceptions.HTTPError as error:
            cause = _root_cause(error)
            raise _Broken(f"interrupted after {size} of {total or '?'} bytes ({cause})") from error
        file.flush()
        os.fsync(file.fileno())
    if total is not None and size < total:
        raise _Broken(f"the server sent only {size} of {total} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _root_cause(error: BaseException) -> str:
    while inner := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
