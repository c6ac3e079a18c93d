"""What clients send: an image as the body of a request, or as the file of a form."""

import asyncio
import logging

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from segmentation.common.errors import InputError

MAX_BODY = 50 * 1024 * 1024  # bytes
SECONDS = 60  # in which a body must have arrived

# It warns about broken forms in the console too; the client is told.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class _InMemory(MultiPartParser):
    """A parser that writes nothing to disk."""

    spool_max_size = MAX_BODY


async def read_file(request: Request) -> bytes:
    """Return the image that a request carries, as it was sent.

    Raises `InputError` if there is none, and status 408 if it takes too long. A body above the limit is
    refused while it is read.
    """
    try:
        async with asyncio.timeout(SECONDS):
            file = await (_form_file(request) if _is_form(request) else request.body())
    except TimeoutError:
        raise HTTPException(408, f"the image did not arrive within {SECONDS} s") from None
    if not file:
        raise InputError("no image was sent; send it as the body, or as the file of a multipart form")
    return file


def refuse_other_sites(request: Request) -> None:
    """Refuse a request that a page of another site makes in a person's browser.

    Browsers say where a request comes from (Fetch Metadata, W3C); older ones send `Origin` alone. Programs
    send neither.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host')}"
    if site not in (None, "same-origin", "none") or origin not in (None, own):
        raise HTTPException(403, "requests from pages of other sites are refused")


def _is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


async def _form_file(request: Request) -> bytes:
    try:
        form = await _InMemory(request.headers, request.stream(), max_files=1, max_fields=8).parse()
    except MultiPartException as error:
        raise InputError(f"the form cannot be read: {error.message}") from None
    files = [value for value in form.values() if isinstance(value, UploadFile)]
    return await files[0].read() if files else b""
