"""A removed participant gets no more events of the group: neither late ones nor those still queued."""

import pytest

from service.chat import events
from service.chat.membership_filter import MAX_CONVERSATIONS, MembershipFilter
from service.realtime.event import Event
from service.realtime.websocket import WebSocket
from tests.chat.chat_process import ADA, BOB, CAY, ChatProcess, wait_for_events
from tests.realtime.wire import queued, web_socket

HELLO = Event("hello", {}, channel=events.CHANNEL)


def slow_socket(process: ChatProcess, user_id: str) -> WebSocket:
    """Register a socket whose peer does not read, so that all events stay queued."""
    socket = web_socket(process.registry, user_id)
    process.registry.register(socket)
    return socket


def go_live(socket: WebSocket) -> None:
    socket.go_live([HELLO], event_filter=MembershipFilter(socket.queue.discard_topic))


def queued_types(socket: WebSocket) -> list[str]:
    return [event.type for event in queued(socket)]


@pytest.mark.parametrize("buffered", [False, True], ids=["live", "before going live"])
async def test_queued_events_of_a_group_are_dropped_at_the_removal(process: ChatProcess, buffered: bool) -> None:
    """Messages, updates, typing; those of another group stay."""
    socket = slow_socket(process, BOB)
    if not buffered:
        go_live(socket)
    group, other = await process.group(ADA, BOB), await process.group(ADA, BOB)
    for conversation in (group, other):
        await process.messages.send(ADA, conversation, "Hello")
        await process.conversations.publish_typing(ADA, conversation)
    await process.groups.remove_participant(ADA, group, BOB)
    if buffered:
        go_live(socket)
    # The events of the other group, and the removal from the first one.
    assert ["hello", "conversation_updated", "new_message", "typing", "conversation_removed"] == queued_types(socket)
    (*_, message, _, removed) = socket.queue.events()
    assert (f"c:{other}", f"c:{group}") == (message.topic, removed.topic)
    assert socket.queue.size == len(socket.queue.take())


async def test_sync_answer_is_not_sent_after_the_removal(process: ChatProcess) -> None:
    """A queued one is dropped, too; after the user has joined again, sync works again."""
    socket = slow_socket(process, BOB)
    go_live(socket)
    group = await process.group(ADA, BOB)
    token = (await process.invitations.invite(ADA, group))["token"]
    before = await sync_answer(process, BOB, group)
    socket.send(before)
    await process.groups.remove_participant(BOB, group, BOB)
    socket.send(before)
    assert ["hello", "conversation_removed"] == queued_types(socket)
    await process.invitations.accept(BOB, token)
    socket.send(await sync_answer(process, BOB, group))
    assert ["hello", "conversation_removed", "conversation_updated", "sync"] == queued_types(socket)


async def test_sync_is_answered_although_it_is_not_known_that_the_user_has_joined_again(process: ChatProcess) -> None:
    """The `conversation_updated` was lost. From the answer on, messages are received again."""
    socket = slow_socket(process, BOB)
    go_live(socket)
    group = await process.group(ADA, BOB)
    token = (await process.invitations.invite(ADA, group))["token"]
    await process.groups.remove_participant(BOB, group, BOB)
    assert ["hello", "conversation_removed"] == queued_types(socket)
    process.registry.unregister(socket)
    await process.invitations.accept(BOB, token)
    process.registry.register(socket)
    socket.send(await sync_answer(process, BOB, group))
    await process.messages.send(ADA, group, "Welcome back")
    assert ["hello", "conversation_removed", "sync", "new_message"] == queued_types(socket)


async def test_after_a_reset_messages_of_a_group_are_received_that_the_user_has_joined_again(
    process: ChatProcess,
) -> None:
    """The `conversation_updated` was lost, so the client does not know of the group, and asks for nothing in it."""
    socket = slow_socket(process, BOB)
    go_live(socket)
    joined, left = [await process.group(ADA, BOB) for _ in range(2)]
    token = (await process.invitations.invite(ADA, joined))["token"]
    for group in (joined, left):
        await process.groups.remove_participant(BOB, group, BOB)
    process.registry.unregister(socket)
    await process.invitations.accept(BOB, token)
    process.registry.register(socket)
    process.dispatcher.on_bus_gap()
    await wait_for_events(socket, "reset")
    socket.queue.clear()
    for group in (joined, left):
        await process.messages.send(ADA, group, "Welcome back")
    [message] = queued(socket)
    assert ("new_message", f"c:{joined}") == (message.type, message.topic)
    await process.groups.remove_participant(BOB, joined, BOB)
    assert ["conversation_removed"] == queued_types(socket)


async def test_a_repeated_removal_is_received_once(process: ChatProcess) -> None:
    """Both are queued at once: after an interruption, the bus carries them in one publication."""
    socket = slow_socket(process, BOB)
    go_live(socket)
    group = await process.group(ADA, BOB, CAY)
    await process.groups.remove_participant(BOB, group, BOB)
    # The marks of the first announcement are still there: the second one removes Bob, too.
    await process.groups.change(ADA, group, {"title": "Another title"})
    assert ["hello", "conversation_removed"] == queued_types(socket)


async def sync_answer(process: ChatProcess, user_id: str, conversation_id: str) -> Event:
    [(_, read)] = await process.messages.catch_up(user_id, {conversation_id: 0})
    answer = await read()
    return events.sync(conversation_id, answer.as_json(), answer.version)


async def test_late_removal_is_ignored(process: ChatProcess) -> None:
    """Bob has been added again since: queued messages stay."""
    socket = slow_socket(process, BOB)
    go_live(socket)
    group = await process.group(ADA, BOB)
    await process.messages.send(ADA, group, "Welcome back")
    process.dispatcher.publish(events.conversation_removed(group, -1), [BOB])
    assert ["hello", "conversation_updated", "new_message"] == queued_types(socket)


def test_least_recently_changed_membership_is_evicted() -> None:
    """Not the one that was recorded first, but changed just now: its late messages are still rejected."""
    membership_filter = MembershipFilter(lambda topic: None)
    groups = [f"{number:024x}" for number in range(MAX_CONVERSATIONS + 1)]
    for group in groups[:-1]:
        membership_filter.rejects(events.conversation_updated({"id": group}, 1))
    membership_filter.rejects(events.conversation_removed(groups[0], 2))
    membership_filter.rejects(events.conversation_updated({"id": groups[-1]}, 1))
    assert membership_filter.filters_sequenced
    assert membership_filter.rejects(events.message("new_message", {"conversation_id": groups[0], "rev": 1}))
