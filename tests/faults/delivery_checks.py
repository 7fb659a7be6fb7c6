"""Compare the ledger with what every user can read over REST, and with what each client received."""

from collections.abc import Sequence

from tests.faults.api_client import ApiClient
from tests.faults.chat_client import ChatClient
from tests.faults.ledger import Json, Ledger
from tests.faults.stream_client import StreamClient
from tests.faults.users import User

PAGE_SIZE = 200
SETTLE_TIMEOUT = 45.0
"""Seconds until everybody has everything after the fault: the sweep for undispatched comments runs every 30 s."""


async def check_messages(
    ledger: Ledger, api: ApiClient, conversation: str, readers: Sequence[User], clients: Sequence[ChatClient]
) -> None:
    """Assert that each acknowledged message can be read once, that all readers see the same order, and that each client
    has all messages. Deviations go to the ledger."""
    deliveries = ledger.messages
    stored = [await stored_messages(api, conversation, reader) for reader in readers]
    messages = stored[0]
    assert all(other == messages for other in stored), "readers see different messages"
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1)), (
        "the sequence numbers have gaps"
    )
    deliveries.stored += len(messages)
    last = max((message["rev"] for message in messages), default=0)
    by_nonce: dict[str, Json] = {}
    for message in messages:
        if message["kind"] != "text":
            continue
        if message["nonce"] in by_nonce:
            deliveries.doubled.append(f"{message['nonce']} is stored again at {message['seq']}")
        by_nonce[message["nonce"]] = message
    for nonce, target in deliveries.sent.items():
        if target == conversation and nonce in deliveries.acknowledged:
            found = by_nonce.get(nonce)
            if found is None or found["id"] != deliveries.acknowledged[nonce]:
                deliveries.lost.append(f"{nonce} was acknowledged and is not stored")
    wanted = [message["id"] for message in messages]
    for client in clients:
        try:
            await client.changes.wait_until(
                lambda client=client: client.rev(conversation) >= last, "all", SETTLE_TIMEOUT
            )
        except AssertionError:
            deliveries.lost.append(f"{client.user.username} of {conversation}: {client.rev(conversation)} of {last}")
            continue
        received_ids = client.replicas[conversation].messages if last else {}
        if list(received_ids) != wanted:
            missing = [message["seq"] for message in messages if message["id"] not in received_ids]
            deliveries.lost.append(f"{client.user.username} of {conversation}: {missing or 'in another order'}")


async def check_notifications(
    ledger: Ledger, api: ApiClient, author: User, posts: Sequence[str], streams: Sequence[StreamClient]
) -> None:
    """Assert that each acknowledged comment on the author's posts has one notification, and each of the author's
    streams has received it. Deviations go to the ledger."""
    deliveries = ledger.notifications
    expected = {
        deliveries.acknowledged[nonce]: nonce
        for nonce, post in deliveries.sent.items()
        if nonce in deliveries.acknowledged and post in posts
    }
    for stream in streams:
        # A comment that was stored but not acknowledged has a notification, too.
        def is_complete(stream: StreamClient = stream) -> bool:
            return expected.keys() <= {item["data"]["comment_id"] for item in stream.notifications.values()}

        try:
            await stream.changes.wait_until(is_complete, "all", SETTLE_TIMEOUT)
        except AssertionError:
            received = {item["data"]["comment_id"] for item in stream.notifications.values()}
            deliveries.lost.append(
                f"{author.username}'s stream lacks {[expected[item] for item in expected if item not in received][:5]}"
            )
    stored = [item async for item in api.paginate("/notifications", "before", author, limit=100)]
    stored.reverse()
    deliveries.stored += len(stored)
    assert [item["seq"] for item in stored] == list(range(1, len(stored) + 1)), "the sequence numbers have gaps"
    comments = [item["data"]["comment_id"] for item in stored]
    deliveries.doubled += sorted(
        {f"comment {item} has more than one notification" for item in comments if comments.count(item) > 1}
    )
    deliveries.lost += [f"{nonce} has no notification" for item, nonce in expected.items() if item not in set(comments)]
    for stream in streams:
        await stream.changes.wait_until(lambda stream=stream: stream.seq >= len(stored), "the last", SETTLE_TIMEOUT)
        received_ids = [stream.notifications[seq]["data"]["comment_id"] for seq in sorted(stream.notifications)]
        if received_ids != comments:
            deliveries.lost.append(f"{author.username}'s stream and list differ")


async def stored_messages(api: ApiClient, conversation: str, reader: User) -> list[Json]:
    """Return all messages by seq, read from the revision log."""
    path = f"/conversations/{conversation}/messages"
    found = [message async for message in api.paginate(path, "after_rev", reader, after_rev=0, limit=PAGE_SIZE)]
    return sorted(found, key=lambda message: int(message["seq"]))
