"""Places for requests that do work: so many at once, the others are told to try again."""

import asyncio
from collections.abc import Awaitable

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COUNT = 24  # each may hold a photo as it was sent, and its result until it has been received
PATHS = ("/predict", "/probabilities", "/preview", "/examples/")
RETRY_AFTER = 1  # seconds
PIECE = 64 * 1024  # bytes
SECONDS = 60  # in which a client must take a piece


class Places:
    """Middleware that holds one of `COUNT` places for each request to `PATHS` until its answer is sent."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._free = COUNT

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with status 503."""
        if scope["type"] != "http" or not scope["path"].startswith(PATHS):
            await self._app(scope, receive, send)
        elif not self._free:
            detail, headers = "too many requests wait; try again", {"Retry-After": str(RETRY_AFTER)}
            await JSONResponse({"detail": detail}, 503, headers)(scope, receive, send)
        else:
            self._free -= 1
            try:
                await self._app(scope, receive, _in_pieces(send))
            except _Gone:
                pass  # the server closes a connection whose answer is not complete
            finally:
                self._free += 1


class _Gone(Exception):
    """A client does not take its answer."""


def _in_pieces(send: Send) -> Send:
    """Send bodies in pieces: the server waits for the client between them, but accepts any body at once."""

    async def send_in_pieces(message: Message) -> None:
        body = message.get("body", b"")
        last = max(0, (len(body) - 1) // PIECE * PIECE)
        for start in range(0, last, PIECE):
            await _taken(send({**message, "body": body[start : start + PIECE], "more_body": True}))
        await _taken(send({**message, "body": body[last:]} if body else message))

    return send_in_pieces


async def _taken(sent: Awaitable[None]) -> None:
    try:
        async with asyncio.timeout(SECONDS):
            await sent
    except TimeoutError:
        raise _Gone from None
