"""The server: a page to try the networks on photos, and the same for programs (docs/serving.md)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect

from segmentation.common.errors import Fault, InputError
from segmentation.serving.examples import View, example_png
from segmentation.serving.limits import Addresses, Limits
from segmentation.serving.networks import Network
from segmentation.serving.requests import (
    MAX_BODY,
    PredictOptions,
    PreviewOptions,
    ProbabilityOptions,
    read_request,
    refuse_other_hosts,
    refuse_other_sites,
)
from segmentation.serving.worker import Worker, predict_photo, preview_photo

PAGE = {"": "text/html", "page.css": "text/css"}
PAGE |= {file.name: "text/javascript" for file in Path(__file__).parent.glob("*.js")}
PAGE_HEADERS = {  # nothing from anywhere else, whatever the page may come to hold
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none';"
    " style-src 'self' 'unsafe-inline'; base-uri 'none'",
    "Cache-Control": "no-cache",
}

ERRORS: dict[type[Exception], int] = {  # and the status of their answers
    InputError: 422,
    RequestValidationError: 422,
    Fault: 503,
    ClientDisconnect: 400,
}
OWN_PAGE = [Depends(refuse_other_sites)]


def create_app(
    networks: Mapping[str, Network],
    names: Sequence[str],
    any_address: bool,
    examples: Sequence[str],
    root_path: str = "",
) -> FastAPI:
    """Return the server of some networks, of which the first one answers where a request names none.

    It answers to `names` and, with `any_address`, to any IP address; `examples` are ids of test images. A
    proxy may show it under the prefix `root_path`, which it takes off the addresses or not.
    """

    async def own_host(request: Request) -> None:
        refuse_other_hosts(request, names, any_address)

    app = FastAPI(
        title="Binary segmentation",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the redirect would lack the prefix
        servers=[{"url": root_path}] if root_path else None,
        dependencies=[Depends(own_host)],
        exception_handlers=dict.fromkeys(ERRORS, _answer_in_one_line),
    )
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY)
    app.add_middleware(Limits)
    app.add_middleware(Addresses, prefix=root_path)  # the last one added is the first to answer
    for name, media_type in PAGE.items():
        _add_page(app, name, media_type)
    worker = Worker()

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/models")
    async def models() -> list[dict[str, Any]]:
        return [network.describe(name) for name, network in networks.items()]

    @app.get("/examples")
    async def list_examples() -> list[str]:
        return list(examples)

    @app.get("/examples/{number}/{part}", dependencies=OWN_PAGE)
    async def example(number: int, part: View) -> Response:
        if not 0 <= number < len(examples):
            raise HTTPException(404, f"there are {len(examples)} examples, from 0")
        content = await worker.do(partial(example_png, examples[number], part, chosen(None).meta.foreground))
        return Response(content, media_type="image/png")

    @app.post("/predict", dependencies=OWN_PAGE)
    async def predict(request: Request, query: Annotated[PredictOptions, Query()]) -> Response:
        return await predicted(request, query, "image/png")

    @app.post("/probabilities", dependencies=OWN_PAGE)
    async def probabilities(request: Request, query: Annotated[ProbabilityOptions, Query()]) -> Response:
        return await predicted(request, query, "application/octet-stream")

    async def predicted(request: Request, query: ProbabilityOptions, media_type: str) -> Response:
        file, options = await read_request(request, query)
        network = chosen(options.model)
        work = partial(predict_photo, network, file, options)
        content, headers = await worker.do_with_photo(request, file, network, work)
        return Response(content, headers=headers, media_type=media_type)

    @app.post("/preview", dependencies=OWN_PAGE)
    async def preview(request: Request, query: Annotated[PreviewOptions, Query()]) -> Response:
        file, options = await read_request(request, query)
        content = await worker.do_with_photo(
            request, file, None, lambda _: preview_photo(file, options.white, options.side)
        )
        return Response(content, media_type="image/jpeg")

    @app.get("/progress/{request_id}")
    async def progress(request_id: str) -> dict[str, int] | None:
        job = worker.jobs.get(request_id)
        return {"done": job.done, "windows": job.windows} if job else None

    def chosen(model: str | None) -> Network:
        name = next(iter(networks)) if model is None else model
        if name not in networks:
            raise InputError(f"model {name[:40]!r}: there are {', '.join(networks)}")
        return networks[name]

    return app


def _add_page(app: FastAPI, name: str, media_type: str) -> None:
    content = Path(__file__).with_name(name or "page.html").read_bytes()

    @app.get(f"/{name}", include_in_schema=False)
    async def file() -> Response:
        return Response(content, headers=PAGE_HEADERS, media_type=media_type)


async def _answer_in_one_line(_: Request, error: Exception) -> JSONResponse:
    """Answer what a client can cause as FastAPI answers `HTTPException`: JSON with one line as `detail`."""
    text = str(error)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        name = first["loc"][-1]
        text = f"{name}: {first['msg']}{' (allowed: above 0 and below 1)' * (name == 'threshold')}"
    status = next(status for kind, status in ERRORS.items() if isinstance(error, kind))
    return JSONResponse({"detail": " ".join(text.split())[:300]}, status)
