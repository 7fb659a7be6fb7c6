"""Clients cannot set fields that a request does not have: unknown fields are rejected, whatever their name."""

import json
from collections.abc import Iterator

from tests.security.attack_surface import AttackSurface
from tests.security.scenario import Scenario

PRIVILEGE_FIELDS = {
    "_id",
    "role",
    "roles",
    "admin",
    "is_admin",
    "scope",
    "owner",
    "author_id",
    "password_hash",
    "password_version",
}
SPECIAL_FIELDS = {"__proto__", "constructor", "$set", "$where", "user.id", "created_at", "deleted", ""}

FIELDS_PER_REQUEST = 15
"""Unknown fields per request or frame: an error names the first twenty."""


def shares(names: set[str]) -> Iterator[list[str]]:
    """Yield the names in lists of FIELDS_PER_REQUEST."""
    left = sorted(names)
    while left:
        yield left[:FIELDS_PER_REQUEST]
        del left[:FIELDS_PER_REQUEST]


async def test_unknown_body_fields_are_rejected(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """Every property name of the API and common attack names: 422 that names the field, and nothing changes."""
    failed = []
    before = await scenario.readable_state(attack_surface)
    for operation in [operation for operation in attack_surface.rest_operations if operation.body]:
        valid = scenario.body(operation)
        known = {field.name for field in operation.body}
        for few in shares((attack_surface.names | PRIVILEGE_FIELDS | SPECIAL_FIELDS) - known):
            answer = await scenario.request(scenario.anna, operation, {**valid, **dict.fromkeys(few, scenario.eve.id)})
            named = {error["field"] for error in answer.json().get("errors", ())}
            if answer.status_code != 422 or {name or "body" for name in few} - named:
                failed.append((str(operation), few, answer.status_code, named))
    assert [] == failed
    assert before == await scenario.readable_state(attack_surface)


async def test_unknown_frame_fields_are_rejected(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """The same on the WebSockets."""
    sockets = {
        "chat": await scenario.anna.chat_socket(),
        "notification_socket": await scenario.anna.notification_socket(),
    }
    before = await scenario.readable_state(attack_surface)
    failed = []
    for frame in attack_surface.frames:
        valid = scenario.frame(frame)
        fields = {field.name for field in frame.fields}
        for few in shares((attack_surface.names | PRIVILEGE_FIELDS | SPECIAL_FIELDS) - fields):
            message = {"type": frame.type, "ref": "r", **valid, **dict.fromkeys(few, scenario.eve.id)}
            await sockets[frame.channel].send_raw(json.dumps(message))
            answer = await sockets[frame.channel].reply_to("r")
            named = {error["field"] for error in answer.get("errors", ())}
            if answer.get("code") != "validation_failed" or {name or "type" for name in few} - named:
                failed.append((frame.type, few, answer))
    assert [] == failed
    assert before == await scenario.readable_state(attack_surface)


async def test_unknown_query_parameters_are_rejected(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """Unknown query parameters are rejected, so that no client believes that they had an effect."""
    failed = []
    for operation in [operation for operation in attack_surface.rest_operations if operation.in_query]:
        known = {field.name for field in operation.in_query}
        for name in {"user_id", "sender_id", "as", "surprise", "$where"} - known:
            params = {**scenario.query(operation), name: scenario.eve.id}
            answer = await scenario.anna.call(operation.method, operation.url(scenario.values), params=params)
            if answer.status_code != 422:
                failed.append((str(operation), name, answer.status_code))
    assert [] == failed
