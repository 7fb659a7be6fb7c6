"""`GET /metrics` for Prometheus."""

from prometheus_client import CONTENT_TYPE_LATEST
from sanic import Blueprint, HTTPResponse, Request
from sanic.response import raw

from service.telemetry.metrics import Metrics


def blueprint(metrics: Metrics) -> Blueprint:
    bp = Blueprint("metrics")

    @bp.get("/metrics")
    async def expose(request: Request) -> HTTPResponse:
        return raw(await metrics.exposition(), content_type=CONTENT_TYPE_LATEST)

    return bp
