"""Invalid values in every field of every operation and frame of the documents are rejected without an effect."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.protocol.authenticated_endpoints import ENDPOINTS, Endpoint
from tests.protocol.clients import Clients
from tests.protocol.moderator import make_moderator
from tests.security.attack_surface import AttackSurface, Field
from tests.security.scenario import Scenario, in_safe_order

Json = Any

NUL = "nul\0byte"
SURROGATE = "half \ud800 pair"
HUGE = "x" * 20_000
INVALID_VALUES: list[Json] = [
    *({"$gt": ""}, {"$ne": None}, {"$where": "1"}, {"$regex": ".*"}, {"a.b": 1}),
    *(None, True, 1, -1, 1.5, 2**63, 10**400, "", "x", HUGE, NUL, SURROGATE),
    *([], ["x"], [1], [None], [{"$gt": ""}], [["x"]], [NUL], [SURROGATE], ["0" * 24] * 2100),
]
NOT_TEXT: list[Json] = [NUL, SURROGATE, [SURROGATE]]
INVALID_SEGMENTS = [
    "%00",
    "$ne",
    "%7B%22%24gt%22%3A%22%22%7D",
    "%ED%A0%80",
    "%FF",
    "..%2F..",
    "x" * 300,
    "[object%20Object]",
]
MAX_TOGETHER = 1000
"""Bytes of a value that several fields have at once."""
ECHOED = "ref"
"""It is returned unchanged and not stored, so it may hold anything that JSON and UTF-8 can encode."""


def invalid_fields(fields: Sequence[Field]) -> Iterator[tuple[list[str], Json]]:
    """Yield a value, and the names of fields that must reject it all at once, for each name and value.

    Fields reject what their schema forbids, which an error names for all of them; and what is not valid text, which
    makes the whole body or frame invalid. Long values would together be too much for one, `ref` tells which frame an
    answer is to, and `type` which fields there are: these are tried alone, too.
    """
    for value in INVALID_VALUES:
        names = [field.name for field in fields if value in NOT_TEXT or not field.allows(value)]
        is_long = len(json.dumps(value)) > MAX_TOGETHER
        alone = names if value in NOT_TEXT or is_long else [name for name in names if name in (ECHOED, "type")]
        yield from (([name], value) for name in alone)
        if together := [name for name in names if name not in alone]:
            yield together, value


async def test_valid_requests_pass(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """The unmodified requests succeed, so in the tests below only the one changed field causes the rejection."""
    failed = []
    await make_moderator(scenario.anna)
    for operation in in_safe_order(attack_surface.rest_operations):
        answer = await scenario.request(scenario.anna, operation)
        if not answer.is_success:
            failed.append((str(operation), answer.status_code, answer.text))
    assert [] == failed
    assert len(attack_surface.rest_operations) > 30


async def test_invalid_values_in_bodies_are_rejected(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """An operator, a wrong type, a value out of range, a NUL or half a surrogate pair: 422 that names the field, and
    nothing changes."""
    tried, failed = 0, []
    before = await scenario.readable_state(attack_surface)
    for operation in [operation for operation in attack_surface.rest_operations if operation.body]:
        valid = scenario.body(operation)
        for names, value in invalid_fields(operation.body):
            answer = await scenario.request(scenario.anna, operation, valid | dict.fromkeys(names, value))
            tried += len(names)
            problem = answer.json()
            named = {error["field"].partition(".")[0] for error in problem.get("errors", ())}
            good = answer.status_code == 422 and named.issuperset(names)
            if value in NOT_TEXT:
                # Half a surrogate pair makes the whole body invalid; a NUL in a password is just a wrong password.
                good = answer.status_code in (401, 422)
            if not good:
                failed.append((str(operation), names, str(value)[:30], answer.status_code, named))
    assert [] == failed
    assert before == await scenario.readable_state(attack_surface)
    assert tried > 300


async def test_invalid_path_segments_are_rejected(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """An invalid id returns 404; an invalid emoji is rejected."""
    await make_moderator(scenario.anna)
    failed = []
    before = await scenario.readable_state(attack_surface)
    for operation in attack_surface.rest_operations:
        for field in operation.in_path:
            for segment in INVALID_SEGMENTS:
                answer = await scenario.request(scenario.anna, operation, **{field.name: segment})
                if answer.status_code not in ((404,) if field.is_id else (404, 422)):
                    failed.append((str(operation), field.name, segment, answer.status_code))
    assert [] == failed
    assert before == await scenario.readable_state(attack_surface)


async def test_invalid_query_parameters_are_rejected(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """Operators in the notation of other frameworks, repeated parameters and values that the schema forbids return 422.
    Operators in text are searched for as text."""
    await make_moderator(scenario.anna)
    failed = []
    for operation in attack_surface.rest_operations:
        right, url = scenario.query(operation), operation.url(scenario.values)
        for field in operation.in_query:
            attempts: list[tuple[list[tuple[str, str]], bool]] = [
                ([(f"{field.name}[$ne]", "x")], True),
                ([(f"{field.name}[]", "x")], True),
                ([(field.name, "1"), (field.name, "1")], True),
            ]
            is_text = field.allows("x" * 24) and not field.is_id
            values = ('{"$gt": ""}', "x y", NUL, "\ufffd", *(() if is_text else ("-1",)))
            attempts += [([(field.name, value)], not is_text) for value in values]
            attempts.append(([(field.name, "9" * 5001)], True))
            for pairs, refused in attempts:
                others = [(name, value) for name, value in right.items() if name != field.name]
                answer = await scenario.anna.call(operation.method, url, params=others + pairs)
                found = answer.json().get("items", ()) if answer.is_success else []
                if answer.status_code != 422 and (refused or answer.status_code != 200 or found):
                    failed.append((str(operation), pairs, answer.status_code, answer.text[:200]))
    assert [] == failed


async def test_invalid_values_in_frames_are_rejected(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """On the WebSockets: one `error` that names the field; the socket stays open and nothing changes."""
    sockets = {
        "chat": await scenario.anna.chat_socket(),
        "notification_socket": await scenario.anna.notification_socket(),
    }
    before = await scenario.readable_state(attack_surface)
    tried, failed = 0, []
    for frame in attack_surface.frames:
        socket = sockets[frame.channel]
        valid = scenario.frame(frame)
        for names, value in invalid_fields(frame.fields):
            tried += len(names)
            message = {"type": frame.type, "ref": f"r{tried}", **valid, **dict.fromkeys(names, value)}
            if names == [ECHOED] and value == NUL:
                continue
            await socket.send_raw(json.dumps(message))
            ref = message["ref"] if isinstance(message["ref"], str) and len(message["ref"]) <= 64 else None
            answer = await socket.reply_to(ref if ref != SURROGATE else None)
            named = {error["field"].partition(".")[0] for error in answer.get("errors", ())}
            refused = (answer["type"], answer.get("code")) == ("error", "validation_failed")
            if value in NOT_TEXT:
                # As a token such a value is just an invalid token.
                refused = answer["type"] == "error" and answer["code"] in ("validation_failed", "token_invalid")
            elif not named.issuperset(names):
                refused = False
            if not refused:
                failed.append((frame.type, names, str(value)[:30], answer))
    assert [] == failed
    assert tried > 150
    for socket in sockets.values():
        await socket.flush()
    assert before == await scenario.readable_state(attack_surface)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.__name__)
async def test_operators_in_credentials_are_rejected(clients: Clients, endpoint: Endpoint) -> None:
    """An operator in the name of a credential is ignored; an operator in the value makes an invalid token."""
    missing = ["token[$ne]", "ticket[$gt]", "token[]", "ticket.0"]
    assert {"token_missing"} == {await endpoint(clients, {name: "x"}) for name in missing}
    values = ['{"$gt":""}', "[$ne]", "a.b.c", "x" * 5000]
    assert {"token_invalid"} == {await endpoint(clients, {"token": value}) for value in values}
