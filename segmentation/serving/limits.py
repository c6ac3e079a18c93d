"""How much the server takes on at once; requests beyond that are told to try again."""

import asyncio

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_REQUESTS = 24  # requests: each may hold a photo as it was sent, and its result until it has been received
MAX_WAITING = 512 * 2**20  # bytes of results that clients have not received yet
PATHS = ("/predict", "/probabilities", "/preview", "/examples/")
RETRY_AFTER = 1  # seconds
CHUNK = 64 * 1024  # bytes
RECEIVE_S = 60  # seconds in which a client must receive its result, and
BYTES_PER_SECOND = 1_000_000  # ... one more second for so many bytes of it


class _Gone(Exception):
    """A client does not take its result."""


class Limits:
    """Middleware for requests to `PATHS`: at most `count` at once, each until its result has been received.

    Results that wait for their clients have at most `waiting` bytes in all, or are a single one. A client has
    `seconds`, and more for a large result, to receive it.
    """

    def __init__(
        self, app: ASGIApp, count: int = MAX_REQUESTS, waiting: int = MAX_WAITING, seconds: float = RECEIVE_S
    ) -> None:
        self._app, self._seconds = app, seconds
        self._free, self._max_waiting, self._waiting = count, waiting, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with status 503."""
        if scope["type"] != "http" or not scope["path"].startswith(PATHS):
            await self._app(scope, receive, send)
        elif not self._free:
            await _refusal("too many requests wait")(scope, receive, send)
        else:
            self._free -= 1
            try:
                await self._app(scope, receive, self._bounded(scope, receive, send))
            except _Gone:
                pass  # the server closes a connection whose result is not complete
            finally:
                self._free += 1

    def _bounded(self, scope: Scope, receive: Receive, send: Send) -> Send:
        start: list[Message] = []  # held back until it is known that the result may wait

        async def bounded(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.append(message)
                return
            size = len(message.get("body", b""))
            if self._waiting and self._waiting + size > self._max_waiting:
                await _refusal("too many results wait for their clients")(scope, receive, send)
                return
            self._waiting += size
            try:
                async with asyncio.timeout(self._seconds + size / BYTES_PER_SECOND):
                    await send(start.pop())
                    await _send_in_chunks(message, send)
            except TimeoutError:
                raise _Gone from None
            finally:
                self._waiting -= size

        return bounded


async def _send_in_chunks(message: Message, send: Send) -> None:
    """Send a body in chunks: the server waits for the client between them, but accepts any body at once."""
    body = message.get("body", b"")
    last = max(0, (len(body) - 1) // CHUNK * CHUNK)
    for start in range(0, last, CHUNK):
        await send({**message, "body": body[start : start + CHUNK], "more_body": True})
    await send({**message, "body": body[last:]} if body else message)


def _refusal(reason: str) -> JSONResponse:
    return JSONResponse({"detail": f"{reason}; try again"}, 503, {"Retry-After": str(RETRY_AFTER)})


class Addresses:
    """Middleware that answers HEAD wherever GET is, and takes a proxy's prefix off addresses that have it.

    The server itself leaves the body of HEAD out.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, f"/{prefix.strip('/')}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http":
            path, method = scope["path"], scope["method"].replace("HEAD", "GET")
            if path.startswith(f"{self._prefix}/"):
                path = path.removeprefix(self._prefix)
            scope = {**scope, "path": path, "method": method}
        await self._app(scope, receive, send)
