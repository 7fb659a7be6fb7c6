"""Private objects of other users are answered like objects that do not exist, wherever a client can write an id."""

import json
from typing import Any

import httpx

from tests.protocol.clients import NO_ID, User
from tests.security.attack_surface import AttackSurface, Operation
from tests.security.scenario import Scenario

PUBLIC = {"user_id", "user_ids", "participant_ids", "post_id", "parent_id", "comment_id", "avatar_id"}
"""Ids of objects that every signed-in user may see: users with their avatars, posts and their comments."""
MODERATED = {"report_id"}
"""Ids of objects that exist for moderators only, whose routes are forbidden to everybody else."""
PRIVATE = {"attachment_id", "attachments", "conversation_id", "message_id", "reply_to", "notification_id", "session_id"}
VARYING = {"x-request-id", "date"}


def fingerprint(answer: httpx.Response, *ids: str) -> tuple[Any, ...]:
    """Everything that distinguishes two responses, except the ids that the client sent itself."""
    text = answer.text
    for id_ in ids:
        text = text.replace(id_, "…")
    headers = {name: value for name, value in answer.headers.items() if name not in VARYING}
    return answer.status_code, text, {**headers, "content-length": ""}


def test_every_id_field_is_classified(attack_surface: AttackSurface) -> None:
    """A new id field in the documents must be classified here, so that the tests below cover it."""
    fields = [field for operation in attack_surface.operations for field in (*operation.in_path, *operation.body)]
    fields += [field for frame in attack_surface.frames for field in frame.fields]
    ids = {field.name for field in fields if field.is_id or field.is_list_of_ids}
    assert PUBLIC | MODERATED | PRIVATE == ids


async def test_private_ids_in_paths_answer_like_unknown_ids(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """Every operation by a third user returns 404, byte-identical for Anna's ids and for ids that do not exist."""
    before = await scenario.readable_state(attack_surface)
    tried = []
    for operation in attack_surface.rest_operations:
        private = [field.name for field in operation.in_path if field.name in PRIVATE]
        for name in private:
            theirs = await scenario.request(scenario.eve, operation)
            nothing = await scenario.request(scenario.eve, operation, **{name: NO_ID})
            assert 404 == theirs.status_code, (str(operation), theirs.text)
            ids = [scenario.values[name], NO_ID]
            assert fingerprint(theirs, *ids) == fingerprint(nothing, *ids), str(operation)
            tried.append(str(operation))
    assert len(tried) >= 15
    assert before == await scenario.readable_state(attack_surface)


async def test_what_moderators_do_is_forbidden_to_everybody_else(
    scenario: Scenario, attack_surface: AttackSurface
) -> None:
    """Byte-identical for what exists and what does not."""
    moderated = [each for each in attack_surface.rest_operations if each.path.startswith("/moderation/")]
    for operation in moderated:
        for who in (scenario.anna, scenario.eve):
            refused = await scenario.request(who, operation)
            assert 403 == refused.status_code, (str(operation), refused.text)
            nothing = await scenario.request(who, operation, **{field.name: NO_ID for field in operation.in_path})
            assert fingerprint(refused) == fingerprint(nothing), str(operation)
    assert len(moderated) >= 5
    await scenario.outcast.get("/users/me")


async def test_a_private_message_is_unreachable_through_an_own_conversation(
    scenario: Scenario, attack_surface: AttackSurface
) -> None:
    """A message of another conversation cannot be reached under an id of one's own conversation."""
    own = await scenario.eve.start_conversation(scenario.ben, title="Eve's own")
    tried = 0
    for operation in attack_surface.rest_operations:
        names = [field.name for field in operation.in_path]
        if {"conversation_id", "message_id"} <= set(names):
            theirs = await scenario.request(scenario.eve, operation, conversation_id=own)
            nothing = await scenario.request(scenario.eve, operation, conversation_id=own, message_id=NO_ID)
            assert 404 == theirs.status_code, (str(operation), theirs.text)
            assert fingerprint(theirs) == fingerprint(nothing), str(operation)
            tried += 1
    assert tried >= 4


async def test_private_ids_in_bodies_answer_like_unknown_ids(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """A reference to a message of another conversation is answered like a reference to no message."""
    own = await scenario.eve.start_conversation(scenario.ben, title="Eve's own")
    tried = 0
    for operation in attack_surface.rest_operations:
        for field in operation.body:
            if field.name in PRIVATE:
                ids = [scenario.private_id(field), NO_ID]
                answers = [
                    await _with(scenario, scenario.eve, operation, field.name, field.of_id(id_), own) for id_ in ids
                ]
                assert 400 <= answers[0].status_code < 500, (str(operation), field.name)
                assert fingerprint(answers[0], *ids) == fingerprint(answers[1], *ids), (str(operation), field.name)
                tried += 1
    assert tried >= 1
    assert 0 == (await scenario.eve.get(f"/conversations/{own}"))["last_seq"]


async def _with(scenario: Scenario, who: User, operation: Operation, name: str, id_: Any, own: str) -> httpx.Response:
    return await scenario.request(who, operation, {**scenario.body(operation), name: id_}, conversation_id=own)


async def test_private_ids_in_frames_answer_like_unknown_ids(scenario: Scenario, attack_surface: AttackSurface) -> None:
    """On the WebSocket, Anna's ids are answered like unknown ids, and her conversation receives nothing."""
    own = await scenario.eve.start_conversation(scenario.ben, title="Eve's own")
    socket, listener = await scenario.eve.chat_socket(), await scenario.anna.chat_socket()
    before = await scenario.readable_state(attack_surface)
    tried = set()
    for frame in [frame for frame in attack_surface.frames if frame.channel == "chat"]:
        valid = scenario.frame(frame)
        for field in frame.fields:
            if field.name in PRIVATE:
                others = {} if field.name == "conversation_id" else {"conversation_id": own}
                answers = []
                for id_ in (scenario.private_id(field), NO_ID):
                    fields = {**valid, "reply_to": None, **others, field.name: field.of_id(id_)}
                    known = {one.name for one in frame.fields}
                    fields = {name: value for name, value in fields.items() if name in known}
                    answer = await socket.answer(frame.type, **fields)
                    answers.append(json.dumps({**answer, "ref": ""}).replace(id_, "…"))
                    assert "error" == answer["type"], (frame.type, field.name, answer)
                assert answers[0] == answers[1], (frame.type, field.name)
                tried.add((frame.type, field.name))
    assert {"send_message", "read", "typing"} <= {type_ for type_, _ in tried}
    seen = len(socket.received)
    await socket.request("sync", conversations={scenario.values["conversation_id"]: 0, NO_ID: 0})
    events = [{**event, "conversation_id": "…", "ref": ""} for event in socket.received[seen:]]
    assert [events[0], events[0]] == events[:2]
    assert [] == [event for event in socket.received if event["type"] == "sync"]
    await listener.flush()
    assert [] == listener.remaining("new_message", "typing", "read")
    assert before == await scenario.readable_state(attack_surface)


async def test_requests_without_a_token_are_rejected_before_validation(
    scenario: Scenario, attack_surface: AttackSurface
) -> None:
    """Without a token every operation returns 401 before any other check, for existing and unknown ids."""
    for operation in [operation for operation in attack_surface.rest_operations if operation.requires_token]:
        bodies: list[Any] = [scenario.body(operation), {"surprise": 1}] if operation.body else [None]
        for body in bodies:
            for ids in ({}, {field.name: NO_ID for field in operation.in_path}):
                url = operation.url({**scenario.values, **ids})
                answer = await scenario.clients.call(operation.method, url, json=body)
                assert (401, "token_missing") == (answer.status_code, answer.json()["code"]), str(operation)
