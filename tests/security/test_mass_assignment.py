"""Nobody writes what is not theirs to write: a field that a body does not have is refused, whatever it is called."""

import json

from tests.security.scene import Scene
from tests.security.surface import Surface

WISHES = {
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
TRICKS = {"__proto__", "constructor", "$set", "$where", "user.id", "created_at", "deleted", ""}

TOLD = 15
"""So many at once: a refusal names the first twenty."""


async def test_in_every_body(scene: Scene, surface: Surface) -> None:
    """Each name that any answer of the API has, and what attackers hope for: 422 that names it, nothing changes."""
    failed = []
    before = await scene.everything(surface)
    for call in [call for call in surface.requests if call.body]:
        right = scene.body(call)
        names = sorted((surface.names | WISHES | TRICKS) - set(right))
        for few in (names[place : place + TOLD] for place in range(0, len(names), TOLD)):
            answer = await scene.make(scene.anna, call, {**right, **dict.fromkeys(few, scene.eve.id)})
            named = {error["field"] for error in answer.json().get("errors", ())}
            if answer.status_code != 422 or {name or "body" for name in few} - named:
                failed.append((str(call), few, answer.status_code, named))
    assert [] == failed
    assert before == await scene.everything(surface)


async def test_in_every_frame(scene: Scene, surface: Surface) -> None:
    """On the sockets, too."""
    sockets = {"chat": await scene.anna.chat(), "notification_socket": await scene.anna.notification_socket()}
    before = await scene.everything(surface)
    failed = []
    for frame in surface.frames:
        right = scene.frame(frame)
        fields = {field.name for field in frame.fields}
        for name in sorted((surface.names | WISHES | TRICKS) - fields):
            said = {"type": frame.type, "ref": "r", **right, name: scene.eve.id}
            await sockets[frame.channel].raw(json.dumps(said))
            answer = await sockets[frame.channel].spec_for("r")
            if answer.get("code") != "validation_failed":
                failed.append((frame.type, name, answer))
    assert [] == failed
    assert before == await scene.everything(surface)


async def test_in_every_query(scene: Scene, surface: Surface) -> None:
    """A parameter that is not there is not looked past: nobody believes that it did something."""
    failed = []
    for call in [call for call in surface.requests if call.in_query]:
        for name in ("user_id", "sender_id", "as", "surprise", "$where"):
            params = {**scene.query(call), name: scene.eve.id}
            answer = await scene.anna.call(call.method, call.url(scene.values), params=params)
            if answer.status_code != 422:
                failed.append((str(call), name, answer.status_code))
    assert [] == failed
