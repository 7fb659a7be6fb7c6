"""What is other people's is answered like what does not exist, wherever an id can be written."""

import json
from typing import Any

import httpx

from tests.protocol.world import NO_ID, Person
from tests.security.scene import Scene
from tests.security.surface import Call, Surface

PUBLIC = {"user_id", "user_ids", "participant_ids", "post_id", "parent_id"}
"""Ids of what everyone who is signed in may see: people, posts and the comments under them."""
PRIVATE = {"conversation_id", "message_id", "reply_to", "notification_id", "session_id"}
VARYING = {"x-request-id", "date"}


def fingerprint(answer: httpx.Response, *ids: str) -> tuple[Any, ...]:
    """All by which a stranger could tell two answers apart, but for the ids that they themselves have sent."""
    text = answer.text
    for id_ in ids:
        text = text.replace(id_, "…")
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return answer.status_code, text, {**headers, "content-length": ""}


def test_every_id_is_public_or_private(surface: Surface) -> None:
    """An id that is new in the documents has to be named here, and so comes to be tried below."""
    fields = [field for call in surface.calls for field in (*call.in_path, *call.body)]
    fields += [field for frame in surface.frames for field in frame.fields]
    ids = {field.name for field in fields if field.is_id or field.is_list_of_ids}
    assert PUBLIC | PRIVATE == ids


async def test_in_every_path(scene: Scene, surface: Surface) -> None:
    """To a stranger each call is 404, the same to a byte for Anna's ids and for ids that nothing has."""
    before = await scene.everything(surface)
    tried = []
    for call in surface.requests:
        private = [field.name for field in call.in_path if field.name in PRIVATE]
        for name in private:
            theirs = await scene.make(scene.eve, call)
            nothing = await scene.make(scene.eve, call, **{name: NO_ID})
            assert 404 == theirs.status_code, (str(call), theirs.text)
            ids = [scene.values[name], NO_ID]
            assert fingerprint(theirs, *ids) == fingerprint(nothing, *ids), str(call)
            tried.append(str(call))
    assert len(tried) >= 15
    assert before == await scene.everything(surface)


async def test_a_private_id_under_an_own_one(scene: Scene, surface: Surface) -> None:
    """A stranger's own conversation does not lead to a message in another."""
    own = await scene.eve.talk(scene.ben, title="Eve's own")
    tried = 0
    for call in surface.requests:
        names = [field.name for field in call.in_path]
        if {"conversation_id", "message_id"} <= set(names):
            theirs = await scene.make(scene.eve, call, conversation_id=own)
            nothing = await scene.make(scene.eve, call, conversation_id=own, message_id=NO_ID)
            assert 404 == theirs.status_code, (str(call), theirs.text)
            assert fingerprint(theirs) == fingerprint(nothing), str(call)
            tried += 1
    assert tried >= 4


async def test_in_every_body(scene: Scene, surface: Surface) -> None:
    """To refer to a message in a conversation of others is to refer to nothing."""
    own = await scene.eve.talk(scene.ben, title="Eve's own")
    tried = 0
    for call in surface.requests:
        for field in call.body:
            if field.name in PRIVATE:
                ids = [scene.values[field.name], NO_ID]
                answers = [await _with(scene, scene.eve, call, field.name, id_, own) for id_ in ids]
                assert 400 <= answers[0].status_code < 500, (str(call), field.name)
                assert fingerprint(answers[0], *ids) == fingerprint(answers[1], *ids), (str(call), field.name)
                tried += 1
    assert tried >= 1
    assert 0 == (await scene.eve.get(f"/conversations/{own}"))["last_seq"]


async def _with(scene: Scene, who: Person, call: Call, name: str, id_: str, own: str) -> httpx.Response:
    return await scene.make(who, call, {**scene.body(call), name: id_}, conversation_id=own)


async def test_in_every_frame(scene: Scene, surface: Surface) -> None:
    """On the socket a stranger hears the same of Anna's ids as of none, and her conversation hears nothing."""
    own = await scene.eve.talk(scene.ben, title="Eve's own")
    socket, listener = await scene.eve.chat(), await scene.anna.chat()
    before = await scene.everything(surface)
    tried = set()
    for frame in [frame for frame in surface.frames if frame.channel == "chat"]:
        right = scene.frame(frame)
        for field in frame.fields:
            if field.name in PRIVATE:
                others = {} if field.name == "conversation_id" else {"conversation_id": own}
                said = []
                for id_ in (scene.values[field.name], NO_ID):
                    fields = {**right, "reply_to": None, **others, field.name: id_}
                    known = {one.name for one in frame.fields}
                    fields = {name: value for name, value in fields.items() if name in known}
                    answer = await socket.answer(frame.type, **fields)
                    said.append(json.dumps({**answer, "ref": ""}).replace(id_, "…"))
                    assert "error" == answer["type"], (frame.type, field.name, answer)
                assert said[0] == said[1], (frame.type, field.name)
                tried.add((frame.type, field.name))
    assert {"send_message", "read", "typing"} <= {type_ for type_, _ in tried}
    seen = len(socket.seen)
    await socket.ask("sync", conversations={scene.values["conversation_id"]: 0, NO_ID: 0})
    events = [{**event, "conversation_id": "…", "ref": ""} for event in socket.seen[seen:]]
    assert [events[0], events[0]] == events[:2]
    assert [] == [event for event in socket.seen if event["type"] == "sync"]
    await listener.fence()
    assert [] == listener.left("new_message", "typing", "read")
    assert before == await scene.everything(surface)


async def test_without_a_token(scene: Scene, surface: Surface) -> None:
    """Who is not even signed in is told 401 before anything else, for what exists and for what does not."""
    for call in [call for call in surface.requests if call.signed_in]:
        bodies: list[Any] = [scene.body(call), {"surprise": 1}] if call.body else [None]
        for body in bodies:
            for ids in ({}, {field.name: NO_ID for field in call.in_path}):
                url = call.url({**scene.values, **ids})
                answer = await scene.world.call(call.method, url, json=body)
                assert (401, "token_missing") == (answer.status_code, answer.json()["code"]), str(call)
