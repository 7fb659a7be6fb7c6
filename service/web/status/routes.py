"""The status page for operators: charts of the current metrics. Enabled by setting a token."""

import hmac
from pathlib import Path

from sanic import HTTPResponse, Request
from sanic.response import json

from service.common.errors import NotFound, TokenInvalid, TokenMissing
from service.http.asset import Asset
from service.http.authentication import bearer
from service.http.blueprint import Blueprint
from service.http.limits import SIGN_IN_ADDRESS, RateLimits, address
from service.telemetry.metrics import Metrics
from service.web.routes import CONTENT_TYPES, HEADERS

PAGE = Path(__file__).parent / "page"
NO_STORE = {"Cache-Control": "no-store"}
EXCLUDED_METRICS = frozenset({"loa_http_request_seconds"})
"""Not shown on the page, and about a thousand series."""


def blueprint(metrics: Metrics, limits: RateLimits, token: str) -> Blueprint:
    """Build the blueprint for `/status`. The page is public; the metrics require `token` as bearer token."""
    assets = {
        file.name: Asset(CONTENT_TYPES[file.suffix], file.read_bytes(), HEADERS)
        for file in PAGE.iterdir()
        if file.suffix in CONTENT_TYPES
    }
    bp = Blueprint("status", url_prefix="/status")

    @bp.get("")
    async def page(request: Request) -> HTTPResponse:
        return await assets["index.html"].respond(request)

    @bp.get("/<name:str>")
    async def file(request: Request, name: str) -> HTTPResponse:
        if name not in assets or name == "index.html":
            raise NotFound
        return await assets[name].respond(request)

    @bp.get("/metrics.json")
    async def metrics_json(request: Request) -> HTTPResponse:
        given = bearer(request)
        if given is None:
            raise TokenMissing
        # Compare bytes: `compare_digest` raises TypeError for non-ASCII strings.
        if not hmac.compare_digest(given.encode(), token.encode()):
            await limits.check(SIGN_IN_ADDRESS, address(request))
            raise TokenInvalid
        samples = [sample._asdict() for sample in await metrics.samples() if sample.metric not in EXCLUDED_METRICS]
        return json({"samples": samples}, headers=NO_STORE)

    return bp
