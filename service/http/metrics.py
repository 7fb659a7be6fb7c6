"""`GET /metrics` for Prometheus."""

from prometheus_client import CONTENT_TYPE_LATEST
from sanic import HTTPResponse, Request
from sanic.response import raw

from service.http.blueprint import Blueprint
from service.http.shared_reading import SharedReading
from service.telemetry.metrics import Metrics

INTERVAL = 0.1
"""Seconds between two readings. One takes several milliseconds of CPU time, and anybody may ask for it."""


def blueprint(metrics: Metrics) -> Blueprint:
    bp = Blueprint("metrics")
    exposition = SharedReading(metrics.exposition, INTERVAL)

    @bp.get("/metrics")
    async def expose(request: Request) -> HTTPResponse:
        return raw(await exposition.get(), content_type=CONTENT_TYPE_LATEST)

    return bp
