"""The messages of a group and the changes of its participants are one log: by it, every sender was a participant."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from bson import ObjectId

from service.common.errors import Forbidden, NotFound, Unavailable
from tests.chat.chat_process import ADA, BOB, CAY, DAN, ChatProcess

PROCESSES = 3
STEPS = 12


def memberships(log: list[dict[str, Any]], initial: set[str]) -> list[set[str]]:
    """Return who takes part when each message of the log is appended."""
    members, found = set(initial), []
    for message in log:
        event = message.get("event") or {}
        users = {str(user_id) for user_id in event.get("user_ids", ())}
        if message.get("kind") == "joined":
            members |= users
        elif message.get("kind") == "removed":
            members -= users
        elif message.get("kind") == "left":
            members -= {str(message["sender_id"])}
        found.append(set(members))
    return found


@pytest.mark.parametrize("seed", range(6))
async def test_senders_and_recipients_are_participants_by_the_log(
    start_process: Callable[..., ChatProcess], seed: int
) -> None:
    """Four users send, change messages, leave, are removed and return, through three processes that hear nothing of
    each other."""
    processes = [start_process() for _ in range(PROCESSES)]
    group = await processes[0].group(ADA, BOB, CAY, DAN)
    first, _ = await processes[0].messages.send(ADA, group, "first")
    sent: list[Any] = []

    async def act(user: str, choose: random.Random) -> None:
        for _ in range(STEPS):
            process = choose.choice(processes)
            step = choose.choice(["send", "send", "react", "leave", "remove", "return"])
            try:
                if step == "send":
                    sent.append(await process.messages.submit(user, group, "hello"))
                elif step == "react":
                    await process.messages.react(user, group, first["id"], "👍", on=choose.random() < 0.5)
                elif step == "leave" and user != ADA:
                    await process.groups.remove_participant(user, group, user)
                elif step == "remove" and user == ADA:
                    await process.groups.remove_participant(ADA, group, choose.choice([BOB, CAY, DAN]))
                elif step == "return":
                    token = (await process.invitations.invite(ADA, group))["token"]
                    await process.invitations.accept(user, token)
            except (NotFound, Forbidden, Unavailable):
                # Removed meanwhile, or others changed the group at every attempt.
                continue

    await asyncio.gather(*[act(user, random.Random(f"{seed}{user}")) for user in (ADA, BOB, CAY, DAN)])
    log = await processes[0].stored(group)
    assert [message["seq"] for message in log] == list(range(1, len(log) + 1))
    members = memberships(log, {ADA, BOB, CAY, DAN})
    assert [
        message["seq"]
        for message, present in zip(log, members, strict=True)
        if "kind" not in message and str(message["sender_id"]) not in present
    ] == []
    # The recipients are read at the write, or after it: they may have returned since.
    for stored in sent:
        seq = stored.message["seq"]
        assert set(stored.participants) <= set().union(*members[seq - 1 :])
    document = await processes[0].conversation_store.find(ObjectId(group))
    assert document is not None
    assert members[-1] == {str(user_id) for user_id in document["participants"]}
    assert document.get("pending_messages", []) == []


async def test_change_that_a_killed_process_left_without_its_message_gets_it_once(
    start_process: Callable[..., ChatProcess],
) -> None:
    """From two processes at once; until then, no client has received anything of it."""
    dying, one, two = (start_process() for _ in range(3))
    group = await dying.group(ADA, BOB)

    async def killed(*args: object) -> None:
        raise asyncio.CancelledError

    dying.conversations.announcer.announce = killed  # type: ignore[method-assign, assignment]
    with pytest.raises(asyncio.CancelledError):
        await dying.groups.add_participants(ADA, group, [CAY])
    assert await one.stored(group) == []
    await asyncio.gather(*[each.conversations.announcer.reannounce(ObjectId(group)) for each in (one, two)])
    await one.messages.send(BOB, group, "welcome")
    assert [message.get("kind") for message in await one.stored(group)] == ["joined", None]
    document = await one.conversation_store.find(ObjectId(group))
    assert document is not None
    assert document["pending_messages"] == []
