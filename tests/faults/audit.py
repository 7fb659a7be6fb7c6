"""The audit: the account against what REST shows to everybody, and against what each client holds."""

from collections.abc import Sequence

from tests.faults.account import Account, Json
from tests.faults.chat import ChatClient
from tests.faults.front import Front
from tests.faults.people import Person
from tests.faults.stream import StreamClient

PAGE = 200
SETTLE = 45.0
"""Seconds in which, all being whole again, everybody has everything: the sweep for unpaid comments comes every 30."""


async def audit_messages(
    account: Account, front: Front, conversation: str, readers: Sequence[Person], clients: Sequence[ChatClient]
) -> None:
    """Each acknowledged message of `conversation` can be read once, in one order; each client has what can be read."""
    line = account.messages
    stored = [await _messages(front, conversation, reader) for reader in readers]
    messages = stored[0]
    assert all(other == messages for other in stored), "not everybody reads the same"
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1)), "the places have holes"
    line.stored += len(messages)
    last = max((message["rev"] for message in messages), default=0)
    by_nonce: dict[str, Json] = {}
    for message in messages:
        if message["nonce"] in by_nonce:
            line.doubled.append(f"{message['nonce']} is stored at {message['seq']}, too")
        by_nonce[message["nonce"]] = message
    for nonce, where in line.sent.items():
        if where == conversation and nonce in line.acknowledged:
            found = by_nonce.get(nonce)
            if found is None or found["id"] != line.acknowledged[nonce]:
                line.lost.append(f"{nonce} was acknowledged, and is not stored")
    wanted = [message["id"] for message in messages]
    for client in clients:
        try:
            await client.changes.until(lambda client=client: client.rev(conversation) >= last, "all", SETTLE)
        except AssertionError:
            line.lost.append(f"{client.person.username} of {conversation}: {client.rev(conversation)} of {last}")
            continue
        held = client.held[conversation].messages if last else {}
        if list(held) != wanted:
            missing = [message["seq"] for message in messages if message["id"] not in held]
            line.lost.append(f"{client.person.username} of {conversation}: {missing or 'not in their order'}")


async def audit_notifications(
    account: Account, front: Front, author: Person, posts: Sequence[str], streams: Sequence[StreamClient]
) -> None:
    """Each acknowledged comment on the author's posts has one notification; each of the author's streams has it."""
    line = account.notifications
    owed = {
        line.acknowledged[nonce]: nonce
        for nonce, post in line.sent.items()
        if nonce in line.acknowledged and post in posts
    }
    for stream in streams:
        # A comment that was stored and not acknowledged has one, too.
        got = lambda stream=stream: owed.keys() <= {one["data"]["comment_id"] for one in stream.notifications.values()}  # noqa: E731
        try:
            await stream.changes.until(got, "all", SETTLE)
        except AssertionError:
            have = {one["data"]["comment_id"] for one in stream.notifications.values()}
            line.lost.append(f"{author.username}'s stream has not {[owed[one] for one in owed if one not in have][:5]}")
    listed = [one async for one in front.pages("/notifications", "before", author, limit=100)]
    listed.reverse()
    line.stored += len(listed)
    assert [one["seq"] for one in listed] == list(range(1, len(listed) + 1)), "the numbers have holes"
    comments = [one["data"]["comment_id"] for one in listed]
    line.doubled += sorted({f"comment {one} is told of more than once" for one in comments if comments.count(one) > 1})
    line.lost += [f"{nonce} has no notification" for one, nonce in owed.items() if one not in set(comments)]
    for stream in streams:
        await stream.changes.until(lambda stream=stream: stream.seq >= len(listed), "the last", SETTLE)
        held = [stream.notifications[seq]["data"]["comment_id"] for seq in sorted(stream.notifications)]
        if held != comments:
            line.lost.append(f"{author.username}'s stream and list differ")


async def _messages(front: Front, conversation: str, reader: Person) -> list[Json]:
    """By seq; without the account of who has read what."""
    path = f"/conversations/{conversation}/messages"
    found = [message async for message in front.pages(path, "after_rev", reader, after_rev=0, limit=PAGE)]
    return sorted(found, key=lambda message: int(message["seq"]))
