"""The log line, the metrics and the id of a request."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from pymongo.errors import AutoReconnect
from redis.exceptions import ConnectionError as RedisConnectionError

from service.common.errors import Unavailable
from service.http import metrics as metrics_routes
from service.http import request_log
from service.telemetry import logs
from service.telemetry.metrics import Metrics
from tests.http.conftest import CALLER, SIGNED_IN, build
from tests.rest import RestClient, serving


@asynccontextmanager
async def serving_with_telemetry(act: Callable[[], object]) -> AsyncIterator[RestClient]:
    logs.configure("INFO")
    app = build(act=act)
    metrics = Metrics()
    request_log.install(app, metrics)
    app.blueprint(metrics_routes.blueprint(metrics))
    async with serving(app) as client:
        yield client
    structlog.reset_defaults()


@pytest.fixture
async def client(capsys: pytest.CaptureFixture[str]) -> AsyncIterator[RestClient]:
    def act() -> None:
        raise RuntimeError("It broke at ?token=hunter2")

    async with serving_with_telemetry(act) as client:
        capsys.readouterr()
        yield client


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


class TestLine:
    async def test_of_a_path_without_a_route_has_no_token(
        self, client: RestClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """For example of an invitation, requested with a wrong method or with something behind it."""
        token, id_ = "t" * 43, "0" * 24
        await client.get(f"/api/v1/invitations/{token}/x/{id_}")
        (line,) = lines(capsys)
        assert f"/api/v1/invitations/[hidden]/x/{id_}" == line["path"]

    async def test_has_route_status_user_and_duration(
        self, client: RestClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The route template instead of the URL."""
        response = await client.delete("/api/v1/parcels/12345", headers=SIGNED_IN)
        (line,) = lines(capsys)
        assert ("request", "DELETE", "/api/v1/parcels/<parcel_id:str>", 204) == (
            line["event"],
            line["method"],
            line["path"],
            line["status"],
        )
        assert CALLER.user_id == line["user_id"]
        assert response.headers["x-request-id"] == line["request_id"]
        assert 0 <= line["ms"] < 1000
        assert 0 == line["bytes"]

    async def test_contains_neither_query_nor_body(
        self, client: RestClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Of valid and invalid requests."""
        for path in ("/api/v1/parcels/stream?token=hunter2", "/nowhere?hunter2=1", "/api/v1/act?ticket=hunter2"):
            await client.get(path)
        await client.post("/api/v1/parcels", json={"label": "hunter2", "more": "hunter2"}, headers=SIGNED_IN)
        written = capsys.readouterr().err
        assert "request_failed" in written
        assert "hunter2" not in written

    async def test_of_an_internal_error_has_a_traceback(
        self, client: RestClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Under the request id that the client sees."""
        response = await client.get("/api/v1/act")
        failed, answered = lines(capsys)
        assert ("request_failed", 500) == (failed["event"], answered["status"])
        assert {response.headers["x-request-id"]} == {failed["request_id"], answered["request_id"]}
        assert "test_request_log.py" in failed["exception"]
        assert "RuntimeError: It broke at ?token=…" in failed["exception"]

    async def test_of_an_error_has_its_code(self, client: RestClient, capsys: pytest.CaptureFixture[str]) -> None:
        await client.delete("/api/v1/parcels/1")
        await client.put("/api/v1/parcels")
        assert [(401, "token_missing"), (405, "method_not_allowed")] == [
            (line["status"], line["code"]) for line in lines(capsys)
        ]

    @pytest.mark.parametrize(("cause", "store"), [(AutoReconnect("x"), "mongodb"), (RedisConnectionError(), "redis")])
    async def test_of_an_outage_names_the_datastore(
        self, capsys: pytest.CaptureFixture[str], cause: Exception, store: str
    ) -> None:
        """It is counted, too."""

        def act() -> None:
            raise Unavailable from cause

        async with serving_with_telemetry(act) as client:
            capsys.readouterr()
            await client.get("/api/v1/act")
            (line,) = lines(capsys)
            assert (503, "unavailable", store) == (line["status"], line["code"], line["unavailable"])
            kind = type(cause).__name__
            counted = f'loa_datastore_errors_total{{kind="{kind}",store="{store}"}} 1.0'
            assert counted in (await client.get("/metrics")).text

    async def test_of_an_unknown_path_is_truncated(
        self, client: RestClient, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The client chose it."""
        await client.get("/" + "x/" * 2500)
        (line,) = lines(capsys)
        assert request_log.MAX_PATH == len(line["path"])

    async def test_of_a_probe_is_omitted(self, client: RestClient, capsys: pytest.CaptureFixture[str]) -> None:
        """Machines send one every few seconds."""
        await client.get("/metrics")
        assert [] == lines(capsys)


class TestRequestId:
    @pytest.mark.parametrize("name", ["a", "x" * 64, "3f2c/9_1.b:c+d=", "7d9f4a0e-1c1f-4a34-9d2a-7b1d3c5e8f10"])
    async def test_is_taken_from_the_client(self, client: RestClient, name: str) -> None:
        """A router or client finds its request by its own id."""
        response = await client.get("/api/v1/cached", headers={"X-Request-ID": name})
        assert name == response.headers["x-request-id"]

    @pytest.mark.parametrize("name", ["", "x" * 65, "a b", 'a"b', "a\tb", "é", "a;b", "<b>"])
    async def test_is_generated_if_the_client_sends_an_invalid_one(self, client: RestClient, name: str) -> None:
        """Too long, or with characters that need escaping."""
        response = await client.get("/api/v1/cached", headers={"X-Request-ID": name.encode("latin-1")})
        assert response.headers["x-request-id"] != name
        assert 32 == len(response.headers["x-request-id"])

    async def test_is_not_reused_by_the_next_request(self, client: RestClient) -> None:
        """On the same connection."""
        first = await client.get("/api/v1/cached", headers={"X-Request-ID": "mine"})
        second = await client.get("/api/v1/cached")
        assert "mine" == first.headers["x-request-id"] != second.headers["x-request-id"]


class TestMetrics:
    async def test_is_labelled_by_route(self, client: RestClient) -> None:
        """Any number of ids and unknown paths yields few series."""
        for number in range(5):
            await client.delete(f"/api/v1/parcels/{number}", headers=SIGNED_IN)
            await client.get(f"/nowhere/{number}")
            await client.request(f"/nowhere/{number}", http_method="BREW")
        response = await client.get("/metrics")
        assert response.headers["content-type"].startswith("text/plain")
        counted = [line for line in response.text.splitlines() if line.startswith("loa_http_requests_total")]
        assert {
            'loa_http_requests_total{method="DELETE",route="/api/v1/parcels/<parcel_id:str>",status="204"} 5.0',
            'loa_http_requests_total{method="GET",route="other",status="404"} 5.0',
            'loa_http_requests_total{method="other",route="other",status="404"} 5.0',
        } == set(counted)
