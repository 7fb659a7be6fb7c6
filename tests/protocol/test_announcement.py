"""`python -m service announce`, as connected clients see it."""

from pathlib import Path

import pytest

from config.settings import Settings
from service.commands.announce import CannotAnnounce, announce
from tests.conftest import SECRET
from tests.protocol.clients import Clients, is_time
from tests.protocol.worker_lookup import one_per_worker


async def announce_on(clients: Clients, text: str) -> None:
    """Run the command with the datastores of the clients' server."""
    entries = Path(f"/proc/{clients.server.pid}/environ").read_text().split("\0")
    variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    settings = Settings(
        data_dir=Path(variables["DATA_DIR"]), redis_url=variables.get("REDIS_URL") or None, jwt_secret=SECRET
    )
    await announce(settings, text)


async def test_every_chat_socket_on_every_worker_gets_an_announcement(multi_worker_clients: Clients) -> None:
    anna, ben = await multi_worker_clients.users(2)
    sockets = [
        *(await one_per_worker(multi_worker_clients.server, anna.chat_socket, 4)).values(),
        await ben.chat_socket(),
    ]
    await announce_on(multi_worker_clients, "Mười phút nữa 🔧")
    for socket in sockets:
        assert {"type": "announcement", "data": {"message": "Mười phút nữa 🔧"}} == await socket.event("announcement")
    kept = (await ben.get("/announcement"))["announcement"]
    assert "Mười phút nữa 🔧" == kept["message"]
    assert is_time(kept["created_at"])


@pytest.mark.parametrize("text", ["", "  "])
async def test_an_empty_announcement_is_rejected_and_reaches_nobody(clients: Clients, text: str) -> None:
    socket = await (await clients.user()).chat_socket()
    with pytest.raises(CannotAnnounce):
        await announce_on(clients, text)
    await socket.flush()
    assert [] == socket.remaining("announcement")
