"""Who is taken out of a group has nothing of it any more: not what is still on its way, nor what waits for them."""

import pytest

from service.chat import events
from service.chat.membership_filter import MAX_KNOWN, MembershipFilter
from service.realtime.event import Event
from service.realtime.websocket import WebSocket
from tests.chat.world import ADA, BOB, World
from tests.realtime.wire import queued, web_socket

HELLO = Event("hello", {}, channel=events.CHANNEL)


def slow(world: World, user_id: str) -> WebSocket:
    """A socket that takes nothing, so that all of it waits."""
    socket = web_socket(world.registry, user_id)
    world.registry.register(socket)
    return socket


def go_live(socket: WebSocket) -> None:
    socket.go_live([HELLO], event_filter=MembershipFilter(socket.queue.discard_topic))


def waiting(socket: WebSocket) -> list[str]:
    return [event.type for event in queued(socket)]


@pytest.mark.parametrize("held", [False, True], ids=["live", "while it joins"])
async def test_what_waits_of_a_group_goes_before_the_removal_is_told(world: World, held: bool) -> None:
    """Messages, changes of it, typing; of another group nothing."""
    socket = slow(world, BOB)
    if not held:
        go_live(socket)
    group, other = await world.group(ADA, BOB), await world.group(ADA, BOB)
    for conversation in (group, other):
        await world.chat.send(ADA, conversation, "Hello")
        await world.membership.typing(ADA, conversation)
    await world.membership.remove(ADA, group, BOB)
    if held:
        go_live(socket)
    # The other group's own, and that Bob is out of the first one.
    assert ["hello", "conversation_updated", "new_message", "typing", "conversation_removed"] == waiting(socket)
    (*_, message, _, removed) = socket.queue.events()
    assert (f"c:{other}", f"c:{group}") == (message.topic, removed.topic)
    assert socket.queue.size == len(socket.queue.take())


async def test_a_sync_that_was_read_before_the_removal_is_not_said_after_it(world: World) -> None:
    """Nor what waits of one; in again, one is told again."""
    socket = slow(world, BOB)
    go_live(socket)
    group = await world.group(ADA, BOB)
    socket.send(events.sync(group, {}))
    await world.membership.remove(ADA, group, BOB)
    socket.send(events.sync(group, {}))
    assert ["hello", "conversation_removed"] == waiting(socket)
    await world.membership.add(ADA, group, [BOB])
    socket.send(events.sync(group, {}))
    assert ["hello", "conversation_removed", "conversation_updated", "sync"] == waiting(socket)


async def test_a_removal_that_comes_late_takes_nothing_with_it(world: World) -> None:
    """Bob was taken in again, and knows it: what was said since then stays."""
    socket = slow(world, BOB)
    go_live(socket)
    group = await world.group(ADA, BOB)
    await world.chat.send(ADA, group, "Welcome back")
    world.dispatcher.publish(events.conversation_removed(group, -1), [BOB])
    assert ["hello", "conversation_updated", "new_message"] == waiting(socket)


def test_what_is_forgotten_is_what_was_told_longest_ago() -> None:
    """Not a group that was known first, and left just now: what is still on its way from it comes too late."""
    standing = MembershipFilter(lambda topic: None)
    groups = [f"{number:024x}" for number in range(MAX_KNOWN + 1)]
    for group in groups[:-1]:
        standing.rejects(events.conversation_updated({"id": group}, 1))
    standing.rejects(events.conversation_removed(groups[0], 2))
    standing.rejects(events.conversation_updated({"id": groups[-1]}, 1))
    assert standing.filters_sequenced
    assert standing.rejects(events.message("new_message", {"conversation_id": groups[0], "rev": 1}))
