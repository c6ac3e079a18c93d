"""What clients send: an image as the body of a request, or as the file of a form."""

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from segmentation.common.errors import InputError

MAX_BODY = 50 * 1024 * 1024  # bytes
ARRIVAL_S = 60  # seconds, in which a body must have arrived

# It warns about broken forms in the console too; the client is told.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class _InMemory(MultiPartParser):
    """A parser that writes nothing to disk."""

    spool_max_size = MAX_BODY


class Options(BaseModel):
    """What a request may say about its image, in its address or in the fields of its form."""

    model_config = ConfigDict(extra="allow")  # `read_request` refuses what is unknown, in both places
    white: Annotated[int | None, Field(ge=1, le=2**32)] = None


class ProbabilityOptions(Options):
    """Options of /probabilities."""

    model: str | None = None


class PredictOptions(ProbabilityOptions):
    """Options of /predict."""

    kind: Literal["mask", "cutout", "overlay", "probability"] = "mask"
    threshold: Annotated[float | None, Field(gt=0, lt=1)] = None


class PreviewOptions(Options):
    """Options of /preview."""

    side: Annotated[int, Field(ge=1, le=4096)] = 1000


AnyOptions = TypeVar("AnyOptions", bound=Options)


async def read_request(request: Request, query: AnyOptions) -> tuple[bytes, AnyOptions]:
    """Return the image that a request carries, as it was sent, and its options: `query` and form fields.

    Raises `InputError` if there is no image, or for unknown or contradicting options; status 408 if it takes
    too long. A body above the limit is refused while it is read.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    try:
        async with asyncio.timeout(ARRIVAL_S):
            if kind == b"multipart/form-data":
                file, fields = await _form(request, options.get(b"boundary", b""))
            else:
                file, fields = await request.body(), []
    except TimeoutError:
        raise HTTPException(408, f"the image did not arrive within {ARRIVAL_S} s") from None
    if not file:
        raise InputError("no image was sent: the body, or the file of the multipart form, is empty")
    names = [name for name, _ in (*request.query_params.multi_items(), *fields)]
    known = list(type(query).model_fields)
    for name in names:
        if name not in known:
            raise InputError(f"{name[:40]!r} is not a known parameter ({', '.join(known)})")
        if names.count(name) > 1:
            raise InputError(f"{name}: is given more than once, in the address or in the form")
    try:
        return file, type(query).model_validate(query.model_dump(exclude_unset=True) | dict(fields))
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from None


async def _form(request: Request, boundary: bytes) -> tuple[bytes, list[tuple[str, str]]]:
    """Return the file of a form, empty if there is none, and its other fields."""
    if not boundary:
        raise InputError("the form cannot be read: its Content-Type names no boundary")
    # Nothing else of the header: Starlette looks a client's charset up, and fails with some.
    headers = Headers(raw=[(b"content-type", b'multipart/form-data; boundary="' + boundary + b'"')])
    try:
        form = await _InMemory(headers, request.stream(), max_files=1, max_fields=8).parse()
    except MultiPartException as error:
        raise InputError(f"the form cannot be read: {error.message}") from None
    files = [value for value in form.values() if isinstance(value, UploadFile)]
    fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
    if not files and fields:
        raise InputError("no image was sent: the form holds text alone; a file is, with curl, -F image=@FILE")
    return await files[0].read() if files else b"", fields


def refuse_other_hosts(request: Request, names: Sequence[str], any_address: bool) -> None:
    """Refuse a request to a host that is none of `names`, nor, with `any_address`, any IP address.

    A page of another site can make its own name point here (DNS rebinding); its requests carry that name.
    """
    with suppress(ValueError):  # brackets that do not close, or not an address
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
        if host in names or (any_address and ipaddress.ip_address(host)):
            return
    raise HTTPException(400, "the Host header names another machine")


async def refuse_other_sites(request: Request) -> None:
    """Refuse a request that a page of another site makes in a person's browser.

    Browsers say where a request comes from (Fetch Metadata, W3C); old ones send `Origin` alone, and programs
    neither.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is not None:
        site = "same-origin" if origin.partition("//")[2] == request.headers.get("host") else "cross-site"
    if site not in (None, "same-origin", "none"):
        raise HTTPException(403, "requests from pages of other sites are refused")
