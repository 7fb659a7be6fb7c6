"""The FastAPI app: `uvicorn market.app:app`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from . import accounts, messages, orders, posts, webhooks
from .database import create_tables
from .outbox import outbox
from .settings import LOA_URL
from .templates import HERE

POLICY = (
    f"default-src 'self'; script-src 'self' {LOA_URL}; connect-src 'self' {LOA_URL} {LOA_URL.replace('http', 'ws', 1)};"
    f" img-src 'self' https: {LOA_URL}; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)

MAX_BODY_BYTES = 64 * 1024


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    create_tables()
    outbox.start()
    yield
    outbox.stop()


app = FastAPI(lifespan=lifespan, openapi_url=None)
app.mount("/static", StaticFiles(directory=HERE / "static"))
for part in (accounts, messages, orders, posts, webhooks):
    app.include_router(part.router)


@app.middleware("http")
async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Refuse large bodies and forms of other sites' pages, and let pages load scripts from here and from Loa only."""
    origin = request.headers.get("origin")
    if request.method != "GET":
        if origin and urlsplit(origin).netloc != request.headers.get("host"):
            return Response("This form is not ours.", 403)
        if int(request.headers.get("content-length", MAX_BODY_BYTES + 1)) > MAX_BODY_BYTES:
            return Response("This is too large.", 413)
    response = await call_next(request)
    response.headers["Content-Security-Policy"] = POLICY
    return response


@app.exception_handler(HTTPException)
async def explain(request: Request, error: HTTPException) -> Response:
    """Send those who are not signed in to the page for it, and show other errors as text."""
    if error.status_code == 401 and request.method == "GET":
        return RedirectResponse("/login", 303)
    return PlainTextResponse(f"{error.status_code} {error.detail}", error.status_code, error.headers)
