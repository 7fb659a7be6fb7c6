"""A busy server with failing datastores writes no secret and no user content to logs, errors or metrics."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.conftest import SECRET, Datastores
from tests.protocol.clients import API, CONTENT_MARK, PASSWORD_MARK, Clients, User, unique_text
from tests.protocol.mongo_proxy import CLOSE_CONNECTION, OUT_OF_DISK_SPACE, MongoProxy
from tests.protocol.servers import serving_in_thread
from tests.protocol.stream import Refused
from tests.security.attack_surface import AttackSurface
from tests.security.scenario import Scenario, in_safe_order


class Recorder:
    """The secrets and contents that clients have sent to one server, and its error responses."""

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.secrets: set[str] = {SECRET, PASSWORD_MARK, CONTENT_MARK}
        self.errors: list[str] = []
        clients.http.event_hooks = {"response": [self._record]}

    async def _record(self, answer: httpx.Response) -> None:
        """Record every credential and content sent, and every error response; successful responses may contain their
        own data."""
        request = answer.request
        self.secrets |= set(_secrets(request.content.decode(errors="replace")))
        self.secrets |= {value for name, value in request.url.params.items() if name in ("token", "ticket") and value}
        if token := request.headers.get("Authorization", "").removeprefix("Bearer "):
            self.secrets.add(token)
        if "text/event-stream" in answer.headers.get("content-type", ""):
            return
        await answer.aread()
        if answer.status_code >= 400:
            self.errors.append(f"{answer.headers} {answer.text}")
        else:
            self.secrets |= set(_secrets(answer.text))


def _secrets(text: str) -> Iterator[str]:
    """The values of secret or user-written fields in any JSON."""
    names = "(?:current_|new_)?password|(?:access_|refresh_)?token|ticket|content|preview|display_name"
    for match in re.finditer(rf'"(?:{names})"\s*:\s*"((?:[^"\\]|\\.)+)"', text):
        yield json.loads(f'"{match[1]}"')


async def _use_connections(scenario: Scenario, person: User) -> None:
    """Use WebSockets and streams with every kind of credential, valid and invalid, in the header and in the URL."""
    clients = scenario.clients
    chat = await person.chat_socket()
    await chat.request("send_message", conversation_id=scenario.values["conversation_id"], content=unique_text())
    await chat.expect_error(
        "validation_failed", "send_message", content=unique_text(), conversation_id={"$gt": unique_text()}
    )
    await chat.expect_error("token_invalid", "authenticate", token=PASSWORD_MARK + person.token)
    await chat.request("authenticate", token=person.token)
    await chat.send_raw('{"type": "send_message", "content": "' + unique_text())
    await chat.event("error")
    await (await clients.socket(query={"ticket": await person.ticket()})).event("hello")
    await (await clients.socket(query={"token": person.token})).disconnect()
    for query in ({"token": PASSWORD_MARK}, {"ticket": PASSWORD_MARK * 2}):
        await (await clients.socket(query=query)).closed()
        with pytest.raises(Refused):
            await clients.stream(query=query)
    with pytest.raises(InvalidStatus):
        await clients.socket(origin="https://evil.example", query={"token": person.token})
    stream = await clients.stream(query={"token": person.token})
    await stream.event("hello")
    await stream.disconnect()
    for path in ("/nothing", "/users/me", "/ws/chat", f"/conversations/{PASSWORD_MARK}"):
        for headers in ({}, {"Referer": f"{clients.server.url}/?token={person.token}", "Cookie": person.token}):
            await clients.http.get(API + path, params={"token": person.token, "q": unique_text()}, headers=headers)


async def _disconnect(clients: Clients, person: User) -> None:
    """Disconnect during a head, a body and a response, each with a token in the URL."""
    host, _, port = clients.server.url.removeprefix("http://").partition(":")
    url = f"{API}/users/me?token={person.token}"
    for sent in (
        f"GET {url} HTTP/1.1\r\nX: ",
        f"POST {API}/posts?token={person.token} HTTP/1.1\r\nContent-Length: 900\r\n\r\n{unique_text()}",
        f"GET {API}/notifications/stream?token={person.token} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET {url} HTTP/9.9\r\n{PASSWORD_MARK}\r\n\r\n",
        f"\x16\x03\x01 {url} {PASSWORD_MARK}\r\n\r\n",
    ):
        for wait in (0.0, 0.02):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent.encode())
            await writer.drain()
            await asyncio.sleep(wait)
            writer.transport.abort()


async def test_logs_errors_and_metrics_contain_no_secrets(
    datastores: Datastores, attack_surface: AttackSurface, tmp_path: Path
) -> None:
    """Runs every operation with valid and invalid input, WebSockets, streams, disconnects, a full disk and a database
    that drops connections, all at log level DEBUG."""
    async with (
        MongoProxy(datastores.database("secrets")) as mongo_proxy,
        serving_in_thread(tmp_path, MONGODB_URI=mongo_proxy.url, LOG_LEVEL="DEBUG") as server,
        Clients(server, _AnyContract()) as clients,  # type: ignore[arg-type]
    ):
        recorder = Recorder(clients)
        scenario = await Scenario.create(clients)
        recorder.secrets |= {scenario.anna.password, scenario.ben.password, scenario.eve.password}
        await _use_connections(scenario, scenario.ben)
        await _disconnect(clients, scenario.ben)
        for operation in in_safe_order(attack_surface.rest_operations):
            for who in (scenario.eve, scenario.anna):
                await scenario.request(who, operation)
                if operation.body:
                    await scenario.request(who, operation, {**scenario.body(operation), "surprise": unique_text()})
        mongo_proxy.code, mongo_proxy.fail_writes_to = OUT_OF_DISK_SPACE, "e"
        for operation in attack_surface.rest_operations:
            await scenario.request(scenario.ben, operation)
        mongo_proxy.code = CLOSE_CONNECTION
        await asyncio.gather(
            *(
                scenario.request(scenario.ben, operation)
                for operation in attack_surface.rest_operations
                if not operation.is_read
            )
        )
        mongo_proxy.fail_writes_to = ""
        metrics = (await clients.http.get("/metrics")).text
        assert len(recorder.secrets) > 30
        assert len(recorder.errors) > 50
    written = {"log": server.text, "metrics": metrics, "errors": "\n".join(recorder.errors)}
    assert mongo_proxy.failed > 10, "the run must include a failing database"
    for source, text in written.items():
        found = [secret for secret in recorder.secrets if len(secret) > 7 and secret in text]
        assert [] == found, source


class _AnyContract:
    """A contract that accepts everything: other tests check the responses."""

    def check_response(self, answer: object) -> None: ...

    def check_event(self, channel: str, name: str, payload: object) -> None: ...


def test_secrets_are_extracted_from_json() -> None:
    """Every kind of secret in a JSON text is found."""
    document = {"password": "a" * 8, "content": 'b "quoted" \n', "nested": [{"ticket": "c"}], "user_id": "d"}
    assert {"a" * 8, 'b "quoted" \n', "c"} == set(_secrets(json.dumps(document)))
