"""What users enter does not reach into the networks of others, and what they delete is gone."""

from collections.abc import Callable

import pytest

from service.common.errors import NonceReused
from tests.chat.chat_process import ChatProcess
from tests.chat.conftest import start_process
from tests.protocol.clients import Clients

__all__ = ["start_process"]

ADA, BOB = "a" * 24, "b" * 24


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[fd00::1]", "10.1", "192.168.0.1:8443", "localhost", "nas.local", "router"]
)
async def test_an_avatar_on_a_local_host_is_rejected(clients: Clients, host: str) -> None:
    """Otherwise the browser of every viewer would send requests into the viewer's own network."""
    anna = await clients.user()
    problem = await anna.expect_error(
        422, "validation_failed", "PATCH", "/users/me", {"avatar": f"https://{host}/a.png"}
    )
    [error] = problem["errors"]
    assert "avatar" == error["field"]
    assert "public host" in error["message"]
    assert None is (await anna.get("/users/me"))["avatar"]


async def test_a_deleted_message_leaves_nothing_to_compare_guesses_with(
    start_process: Callable[..., ChatProcess],
) -> None:
    """The digest that compares repetitions goes with the text; the nonce still identifies the message."""
    process = start_process()
    conversation = await process.group(ADA, BOB)
    message, _ = await process.messages.send(ADA, conversation, "my password is hunter2", "n")
    [before] = await process.stored(conversation)
    with pytest.raises(NonceReused):
        await process.messages.send(ADA, conversation, "other", "n")
    await process.messages.delete(ADA, conversation, message["id"])
    [after] = await process.stored(conversation)
    kept = {name for name, value in after.items() if value and value == before.get(name)}
    assert {"_id", "conversation_id", "sender_id", "seq", "nonce", "created_at"} == kept - {"participants"}
    assert not after["digest"]
    for content in ("my password is hunter2", "other"):
        again, created = await process.messages.send(ADA, conversation, content, "n")
        assert (message["id"], True, False) == (again["id"], again["deleted"], created)
    assert [after] == await process.stored(conversation)
