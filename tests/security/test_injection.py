"""What is not what it should be, in every field of every call and frame that the documents know: refused, no harm."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.protocol.doors import DOORS, Door
from tests.protocol.world import World
from tests.security.scene import Scene, in_order
from tests.security.surface import Field, Surface

Json = Any

NUL = "nul\0byte"
SURROGATE = "half \ud800 pair"
HUGE = "x" * 20_000
VALUES: list[Json] = [
    *({"$gt": ""}, {"$ne": None}, {"$where": "1"}, {"$regex": ".*"}, {"a.b": 1}),
    *(None, True, 1, -1, 1.5, 2**63, 10**400, "", "x", HUGE, NUL, SURROGATE),
    *([], ["x"], [1], [None], [{"$gt": ""}], [["x"]], [NUL], [SURROGATE], ["0" * 24] * 2100),
]
NOT_TEXT: list[Json] = [NUL, SURROGATE, [SURROGATE]]
PIECES = ["%00", "$ne", "%7B%22%24gt%22%3A%22%22%7D", "%ED%A0%80", "%FF", "..%2F..", "x" * 300, "[object%20Object]"]
ECHOED = "ref"
"""It comes back as it was and is kept nowhere, so it may hold anything that JSON can say and UTF-8 can hold."""


def wrong(field: Field) -> Iterator[Json]:
    """The values that `field` must refuse: those that its schema does, and what is no text."""
    for value in VALUES:
        if not field.allows(value) or value in NOT_TEXT:
            yield value


async def test_what_is_right_passes(scene: Scene, surface: Surface) -> None:
    """The requests that all attacks vary are themselves right: what is refused is refused for its one wrong field."""
    failed = []
    for call in in_order(surface.requests):
        answer = await scene.make(scene.anna, call)
        if not answer.is_success:
            failed.append((str(call), answer.status_code, answer.text))
    assert [] == failed
    assert len(surface.requests) > 30


async def test_every_field_of_every_body(scene: Scene, surface: Surface) -> None:
    """An operator, another type, too much, a NUL, half a character: 422 that names the field, and nothing changes."""
    tried, failed = 0, []
    before = await scene.everything(surface)
    for call in [call for call in surface.requests if call.body]:
        right = scene.body(call)
        for field in call.body:
            for value in wrong(field):
                answer = await scene.make(scene.anna, call, {**right, field.name: value})
                tried += 1
                problem = answer.json()
                named = [error["field"].partition(".")[0] for error in problem.get("errors", ())]
                good = (answer.status_code, field.name in named) == (422, True)
                if value in NOT_TEXT:
                    # Half a character spoils the whole body; a NUL in a password is just a wrong one.
                    good = answer.status_code in (401, 422)
                if not good:
                    failed.append((str(call), field.name, str(value)[:30], answer.status_code, named))
    assert [] == failed
    assert before == await scene.everything(surface)
    assert tried > 300


async def test_every_piece_of_every_path(scene: Scene, surface: Surface) -> None:
    """What is no id is not there; what is no emoji is refused."""
    failed = []
    before = await scene.everything(surface)
    for call in surface.requests:
        for field in call.in_path:
            for piece in PIECES:
                answer = await scene.make(scene.anna, call, **{field.name: piece})
                if answer.status_code not in ((404,) if field.is_id else (404, 422)):
                    failed.append((str(call), field.name, piece, answer.status_code))
    assert [] == failed
    assert before == await scene.everything(surface)


async def test_every_parameter_of_every_query(scene: Scene, surface: Surface) -> None:
    """Operators in the form of other frameworks, twice the same, and what its schema refuses: 422. Text stays text."""
    failed = []
    for call in surface.requests:
        right, url = scene.query(call), call.url(scene.values)
        for field in call.in_query:
            attempts: list[tuple[list[tuple[str, str]], bool]] = [
                ([(f"{field.name}[$ne]", "x")], True),
                ([(f"{field.name}[]", "x")], True),
                ([(field.name, "1"), (field.name, "1")], True),
            ]
            is_text = field.allows("x" * 24) and not field.is_id
            attempts += [([(field.name, value)], not is_text) for value in ('{"$gt": ""}', "x y", NUL, "\ufffd", "-1")]
            attempts.append(([(field.name, "9" * 5001)], True))
            for pairs, refused in attempts:
                others = [(name, value) for name, value in right.items() if name != field.name]
                answer = await scene.anna.call(call.method, url, params=others + pairs)
                found = answer.json().get("items", ()) if answer.is_success else []
                if answer.status_code != 422 and (refused or answer.status_code != 200 or found):
                    failed.append((str(call), pairs, answer.status_code, answer.text[:200]))
    assert [] == failed


async def test_every_field_of_every_frame(scene: Scene, surface: Surface) -> None:
    """On the sockets: one `error` that names the field, the socket stays, nothing changes."""
    sockets = {"chat": await scene.anna.chat(), "notification_socket": await scene.anna.notification_socket()}
    before = await scene.everything(surface)
    tried, failed = 0, []
    for frame in surface.frames:
        socket = sockets[frame.channel]
        right = scene.frame(frame)
        for field in frame.fields:
            for value in wrong(field):
                tried += 1
                said = {"type": frame.type, "ref": f"r{tried}", **right, field.name: value}
                if field.name == ECHOED and value == NUL:
                    continue
                await socket.raw(json.dumps(said))
                ref = said["ref"] if isinstance(said["ref"], str) and len(said["ref"]) <= 64 else None
                answer = await socket.spec_for(ref if ref != SURROGATE else None)
                named = [error["field"].partition(".")[0] for error in answer.get("errors", ())]
                refused = (answer["type"], answer.get("code")) == ("error", "validation_failed")
                if value in NOT_TEXT:
                    # A token of it is just a wrong one.
                    refused = answer["type"] == "error" and answer["code"] in ("validation_failed", "token_invalid")
                elif field.name not in named:
                    refused = False
                if not refused:
                    failed.append((frame.type, field.name, str(value)[:30], answer))
    assert [] == failed
    assert tried > 150
    for socket in sockets.values():
        await socket.fence()
    assert before == await scene.everything(surface)


@pytest.mark.parametrize("door", DOORS, ids=lambda door: door.__name__)
async def test_every_credential(world: World, door: Door) -> None:
    """An operator in the name of a credential is none; one in the value is a wrong one."""
    missing = ["token[$ne]", "ticket[$gt]", "token[]", "ticket.0"]
    assert {"token_missing"} == {await door(world, {name: "x"}) for name in missing}
    values = ['{"$gt":""}', "[$ne]", "a.b.c", "x" * 5000]
    assert {"token_invalid"} == {await door(world, {"token": value}) for value in values}
