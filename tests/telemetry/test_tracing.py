"""Traces, as a collector receives them from a real server."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from subprocess import run as execute
from typing import NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.conftest import RUN_REDIS, SECRET, Datastores, Run
from tests.protocol.clients import CONTENT_MARK, PASSWORD_MARK, Clients, User, unique_text
from tests.protocol.servers import load_contract
from tests.running import CHEAP_HASHES, ROOT, eventually, running
from tests.telemetry.receiver import Receiver, attributes


class Traced(NamedTuple):
    """Three users and what they did on a traced server, which has stopped, so that `receiver` has all spans."""

    receiver: Receiver
    anna: User
    ben: User
    cleo: User
    talk: str
    connection_id: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def traced(datastores: Datastores, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traced]:
    environment = {
        "MONGODB_URI": datastores.database(f"traced_{uuid4().hex}"),
        "REDIS_URL": datastores.redis_database(RUN_REDIS),
        "JWT_SECRET": SECRET,
        "OTEL_SERVICE_NAME": "loa-of-the-test",
        "RATE_LIMITS": "on",
        **CHEAP_HASHES,
    }
    with Receiver() as receiver:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.endpoint
        with running(environment, tmp_path_factory.mktemp("traced") / "server.log") as server:
            async with Clients(server, load_contract(server)) as clients:
                anna, ben, cleo = await clients.users(3)
                talk = await anna.start_conversation(ben)
                await anna.start_conversation(ben, cleo)
                chat = await anna.chat_socket()
                await chat.request("send_message", conversation_id=talk, content=unique_text("hello"))
                await chat.request("watch_presence", user_ids=[ben.id, cleo.id])
                await anna.send_message(talk)
                await anna.expect_error(404, "not_found", "GET", f"/conversations/{ben.id}")
                await ben.create_post()
                socket = await anna.notification_socket()
                await socket.request("authenticate", token=anna.token)
                await socket.expect_error("token_invalid", "authenticate", token=ben.token)
                await socket.flush()
                await anna.get("/conversations")
                bens = await ben.chat_socket()
                for _ in range(300):
                    await bens.send("send_message", conversation_id=talk, content="hello")
                await bens.expect_error("rate_limited", "send_message", conversation_id=talk, content="hello")
            # The last spans are exported at shutdown.
            assert 0 == await asyncio.to_thread(server.stop)
        yield Traced(receiver, anna, ben, cleo, talk, chat.hello["connection_id"])


def test_a_message_is_traced_from_its_frame_to_the_database_and_the_bus(traced: Traced) -> None:
    """One trace with frame, write, commands and publication; with ids, without content or credentials."""
    receiver, anna, talk = traced.receiver, traced.anna, traced.talk
    assert {"loa-of-the-test"} == receiver.services

    (frame,) = receiver.roots("frame send_message", anna.id)
    assert {"loa.user_id": anna.id, "loa.connection_id": traced.connection_id} == attributes(frame)
    (append,) = [span for span in receiver.children(frame) if span.name == "MessageService._write"]
    assert {"loa.batch": 1} == attributes(append)
    steps = receiver.children(append)
    names = [span.name for span in steps]
    assert ["mongodb insert", "publish new_message"] == [
        name for name in names if name in ("mongodb insert", "publish new_message")
    ]
    (insert,) = [span for span in steps if span.name == "mongodb insert"]
    assert "messages" == attributes(insert)["db.collection.name"]
    publication = attributes(steps[names.index("publish new_message")])
    assert {"loa.topic": f"c:{talk}", "loa.number": 1} == publication
    for span in (append, *steps):
        assert frame.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.trace_id == frame.trace_id


def test_requests_are_traced_by_their_routes(traced: Traced) -> None:
    receiver, anna = traced.receiver, traced.anna
    posts = {attributes(span).get("http.route"): span for span in receiver.roots("HTTP POST")}
    said = posts["/api/v1/conversations/<conversation_id:str>/messages"]
    assert ["MessageService._write"] == [
        name for name in receiver.child_names(said) if name.startswith("MessageService")
    ]
    assert (201, anna.id) == (
        attributes(said)["http.response.status_code"],
        attributes(said)["loa.user_id"],
    )
    assert [("mongodb insert", "posts")] == [
        (span.name, attributes(span)["db.collection.name"])
        for span in receiver.children(posts["/api/v1/posts"])
        if span.name == "mongodb insert"
    ]
    refused = [span for span in receiver.roots("HTTP GET") if attributes(span)["http.response.status_code"] == 404]
    assert ["not_found"] == [span.status.message for span in refused]


def test_frames_of_both_sockets_are_traced_to_redis(traced: Traced) -> None:
    """Rate limits, revocation and presence, by the names of the commands. A ping is not traced."""
    receiver = traced.receiver
    taken, refused = receiver.roots("frame authenticate")
    assert traced.anna.id == attributes(taken)["loa.user_id"]
    # The limits of frames are counted in the process.
    assert ["Revocation._check_all", "Revocation._check_all"] == receiver.child_names(taken)
    for check in receiver.children(taken):
        assert ["redis MGET"] == receiver.child_names(check)
    assert ["", "TokenInvalid"] == [span.status.message for span in (taken, refused)]
    (watch,) = receiver.roots("frame watch_presence")
    (asked,) = [span for span in receiver.children(watch) if span.name == "redis PIPELINE"]
    # The number of the last change, and two users.
    described = {"db.system.name": "redis", "db.operation.name": "PIPELINE", "db.operation.batch.size": 3}
    assert described == attributes(asked)
    gets = {attributes(span).get("http.route"): span for span in receiver.roots("HTTP GET")}
    assert {"Revocation._check_all"} <= set(receiver.child_names(gets["/api/v1/conversations"]))
    posts = {attributes(span).get("http.route"): span for span in receiver.roots("HTTP POST")}
    assert "redis EVALSHA" in receiver.child_names(posts["/api/v1/auth/register"])
    assert [] == receiver.roots("frame ping")
    assert [] == [span.name for span in receiver.spans if span.name.startswith("redis") and not span.parent_span_id]


def test_a_message_that_is_rejected_before_storing_ends_its_span(traced: Traced) -> None:
    """No ack will end it."""
    ends = [span.status.message for span in traced.receiver.roots("frame send_message", traced.ben.id)]
    assert 301 == len(ends)
    assert ["RateLimited"] == [end for end in ends if end]


def test_no_span_has_content_or_credentials(traced: Traced) -> None:
    sent = b"".join(traced.receiver.bodies)
    tokens = [token for user in (traced.anna, traced.ben, traced.cleo) for token in (user.token, user.refresh_token)]
    for secret in (CONTENT_MARK, PASSWORD_MARK, SECRET, *tokens):
        assert secret.encode() not in sent


def test_opentelemetry_is_not_loaded_without_tracing() -> None:
    """Except for what redis-py imports itself. With tracing, it is not before the server starts."""
    code = (
        "import sys; from config.settings import Settings; from sanic import Sanic\n"
        "from service.app import create_app\n"
        "Sanic.test_mode = True\n"
        "for endpoint in ('', 'http://127.0.0.1:1'):\n"
        "    create_app(settings=Settings(mongodb_uri='mongodb://127.0.0.1:1', redis_url='redis://127.0.0.1:1',"
        f" jwt_secret={SECRET!r}, otel_exporter_otlp_endpoint=endpoint))\n"
        "modules = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'opentelemetry.proto')\n"
        "print([name for name in sys.modules if name.startswith(modules)])"
    )
    found = execute([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "[]" == found.stdout.strip().splitlines()[-1]


async def test_an_unreachable_collector_delays_neither_requests_nor_shutdown(run: Run) -> None:
    server = run(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_BSP_SCHEDULE_DELAY="50")
    async with Clients(server, load_contract(server)) as clients:
        await (await clients.user()).create_post()
    eventually(lambda: "opentelemetry" in server.text or "Failed to export" in server.text or "retry" in server.text)
    began = time.monotonic()
    assert 0 == server.stop()
    assert time.monotonic() - began < 15
