"""The page that browsers get for an unknown URL; all other clients get a problem document."""

from pathlib import Path
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.exceptions import NotFound

from service.http import error_handler
from service.web.routes import CONTENT_TYPES, HEADERS

PAGE = Path(__file__).parent / "app/not-found.html"
API = "/api/"


def install(app: Sanic[Any, Any]) -> None:
    """Answer requests to paths without a route. Call after `error_handler.install`."""
    page = PAGE.read_bytes()

    def handle(request: Request, exception: NotFound) -> HTTPResponse:
        response = error_handler.handle(request, exception)
        if not _wants_page(request):
            response.headers["Vary"] = "Accept"
            return response
        headers = {**HEADERS, "Vary": "Accept"}
        return HTTPResponse(page, response.status, headers, content_type=CONTENT_TYPES[".html"])

    app.error_handler.add(NotFound, handle)


def _wants_page(request: Request) -> bool:
    """Whether a browser navigates here: only then does `Accept` name HTML. Scripts and images accept `*/*`."""
    if request.method not in ("GET", "HEAD") or request.path.startswith(API):
        return False
    accepted = (part.partition(";") for part in request.headers.get("accept", "").lower().split(","))
    return any(
        media_type.strip() == "text/html" and parameters.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
        for media_type, _, parameters in accepted
    )
