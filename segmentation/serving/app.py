"""The server: a page to try the networks on photos, and the same for programs (docs/serving.md)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from segmentation.common.errors import InputError
from segmentation.prediction.kinds import KINDS
from segmentation.serving.examples import Part, example_png
from segmentation.serving.networks import Network
from segmentation.serving.requests import MAX_BODY, read_file, refuse_other_sites
from segmentation.serving.worker import Answer, Full, Worker

PAGE = Path(__file__).with_name("page.html")
PAGE_HEADERS = {  # nothing from anywhere else, whatever the page may come to hold
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src 'self' blob: data:;"
    " script-src 'unsafe-inline'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-cache",
}
RETRY_AFTER = 1  # seconds

Threshold = Annotated[float | None, Query(gt=0, lt=1)]
White = Annotated[int | None, Query(ge=1, le=2**32)]


def create_app(networks: Mapping[str, Network], hosts: Sequence[str], examples: Sequence[str]) -> FastAPI:
    """Return the server of some networks, of which the first one answers where a request names none.

    It answers requests to one of `hosts`; `examples` are ids of test images.
    """
    app = FastAPI(title="Binary segmentation", docs_url=None, redoc_url=None)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    _answer_errors_in_one_line(app)
    worker = Worker()

    @app.get("/", include_in_schema=False)
    def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8"), headers=PAGE_HEADERS)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/models")
    async def models() -> list[dict[str, Any]]:
        return [network.describe(name) for name, network in networks.items()]

    @app.get("/examples")
    async def list_examples() -> list[str]:
        return list(examples)

    @app.get("/examples/{number}/{part}")
    async def example(number: int, part: Part) -> Response:
        if not 0 <= number < len(examples):
            raise HTTPException(404, f"there are {len(examples)} examples, from 0")
        foreground = next(iter(networks.values())).meta.foreground
        content = await worker.do(example_png, examples[number], part, foreground)
        return Response(content, media_type="image/png")

    @app.post("/predict", dependencies=[Depends(refuse_other_sites)])
    async def predict(
        request: Request,
        model: str | None = None,
        kind: str = "mask",
        threshold: Threshold = None,
        white: White = None,
    ) -> Response:
        if kind not in KINDS:
            raise InputError(f"kind {kind[:40]!r}: allowed: {', '.join(KINDS)}")
        answer = await answered(request, model, kind, threshold, white)
        return Response(answer.content, headers=_times(answer), media_type="image/png")

    @app.post("/probabilities", dependencies=[Depends(refuse_other_sites)])
    async def probabilities(request: Request, model: str | None = None, white: White = None) -> Response:
        answer = await answered(request, model, None, None, white)
        size = {"X-Height": str(answer.height), "X-Width": str(answer.width)}
        return Response(answer.content, headers=_times(answer) | size, media_type="application/octet-stream")

    async def answered(
        request: Request, model: str | None, kind: str | None, threshold: float | None, white: int | None
    ) -> Answer:
        name = next(iter(networks)) if model is None else model
        if name not in networks:
            raise InputError(f"model {name[:40]!r}: there are {', '.join(networks)}")
        network = networks[name]
        with worker.place():
            file = await read_file(request)
            return await worker.do(
                worker.predict, network, file, kind, threshold or network.meta.threshold, white
            )

    return app


def _times(answer: Answer) -> dict[str, str]:
    return {"Server-Timing": ", ".join(f"{name};dur={value:.1f}" for name, value in answer.times.items())}


def _answer_errors_in_one_line(app: FastAPI) -> None:
    """Answer what a client can cause as FastAPI answers `HTTPException`: JSON with one line as `detail`."""

    def line(status: int, text: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
        return JSONResponse({"detail": " ".join(text.split())[:300]}, status, headers)

    @app.exception_handler(InputError)
    async def bad_input(_: Request, error: InputError) -> JSONResponse:
        return line(422, str(error))

    @app.exception_handler(RequestValidationError)
    async def bad_query(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return line(422, f"{first['loc'][-1]}: {first['msg']}")

    @app.exception_handler(Full)
    async def full(_: Request, __: Full) -> JSONResponse:
        return line(503, "too many requests wait; try again", {"Retry-After": str(RETRY_AFTER)})

    @app.exception_handler(ClientDisconnect)
    async def gone(_: Request, __: ClientDisconnect) -> JSONResponse:
        return line(400, "the client closed the connection")
