"""The operator's status page: what the metrics say now, as charts. Without a token set it does not exist."""

import hmac
from pathlib import Path

from sanic import Blueprint, HTTPResponse, Request
from sanic.response import json
from sanic_ext import openapi

from service.common.errors import NotFound, TokenInvalid, TokenMissing
from service.http import limits as rules
from service.http.authentication import bearer
from service.http.limits import RateLimits, address
from service.telemetry.metrics import Metrics
from service.web.routes import TYPES, Asset

PAGE = Path(__file__).parent / "page"
PRIVATE = {"Cache-Control": "no-store"}
QUIET = frozenset({"loa_http_request_seconds"})
"""Metrics of a thousand series, which the page does not show."""


def blueprint(metrics: Metrics, limits: RateLimits, token: str) -> Blueprint:
    """`/status` with its parts, for everyone who can reach the server, and its numbers, for who has the `token`."""
    assets = {
        file.name: Asset.of(TYPES[file.suffix], file.read_bytes()) for file in PAGE.iterdir() if file.suffix in TYPES
    }
    bp = Blueprint("status", url_prefix="/status")

    @bp.get("")
    @openapi.exclude()
    async def page(request: Request) -> HTTPResponse:
        return assets["index.html"].answer(request)

    @bp.get("/<name:str>")
    @openapi.exclude()
    async def part(request: Request, name: str) -> HTTPResponse:
        if name not in assets or name == "index.html":
            raise NotFound
        return assets[name].answer(request)

    @bp.get("/metrics.json")
    @openapi.exclude()
    async def numbers(request: Request) -> HTTPResponse:
        shown = bearer(request)
        if shown is None:
            raise TokenMissing
        # By bytes: of text that is not ASCII it would rather raise.
        if not hmac.compare_digest(shown.encode(), token.encode()):
            await limits.check(rules.SIGN_IN_ADDRESS, address(request))
            raise TokenInvalid
        samples = [sample._asdict() for sample in await metrics.samples() if sample.metric not in QUIET]
        return json({"samples": samples}, headers=PRIVATE)

    return bp
