"""The clock of one process is two hours off: the order of messages and the end of a session are unaffected."""

import asyncio
from pathlib import Path

import jwt

from tests.conftest import SECRET
from tests.faults.api_client import ApiClient
from tests.faults.catalogue import RequirementMissing
from tests.faults.chat_client import ChatClient
from tests.faults.environment import FaultEnvironment
from tests.faults.stream_client import StreamClient
from tests.faults.traffic import comment_traffic, message_traffic
from tests.faults.users import User

QUICK = [{"clients": 3, "seconds": 1}, {"clients": 3, "seconds": 1, "ahead": -2}]
LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


async def run(env: FaultEnvironment, *, clients: int = 20, seconds: int = 10, ahead: int = 2) -> None:
    """Connect `clients` to each of two processes; the second one's clock is `ahead` hours ahead (negative: behind)."""
    faketime = {"LD_PRELOAD": library(), "FAKETIME": f"{ahead:+}h", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    skewed_server = await env.start_server(**faketime)
    skewed_api = ApiClient(env.ledger, env.random)
    skewed_api.url = skewed_server.url
    await env.start_server()
    users = [signed_in_earlier(user, hours=abs(ahead)) for user in await env.create_users(2 * clients + 1)]
    *group_users, leaving_user = users
    group = await env.create_group(users)
    author = users[0]
    post = await env.create_post(author)
    sockets = await env.connect_sockets(group_users[:clients])
    skewed_sockets = [ChatClient(user, skewed_api, env.random) for user in (*group_users[clients:], leaving_user)]
    streams = [StreamClient(author, api, env.random) for api in (env.api, skewed_api)]
    await env.start_clients([*skewed_sockets, *streams])
    *skewed_talkers, leaving_client = skewed_sockets
    async with (
        message_traffic([*sockets, *skewed_talkers], group),
        comment_traffic(env.api, group_users[1:2], post),
        comment_traffic(skewed_api, group_users[2:3], post),
    ):
        await asyncio.sleep(seconds)
    await env.check_messages(group, [*sockets, *skewed_talkers], readers=group_users[:2])
    await env.check_notifications(author, [post], streams)
    messages = [message async for message in env.api.paginate(f"/conversations/{group}/messages", "before", author)]
    hours = {message["created_at"][:13] for message in messages}
    assert len(hours) >= 2, "the clock was not off"
    env.ledger.note("hours in which messages were sent", ", ".join(sorted(hours)))
    await env.api.call("POST", "/auth/logout", leaving_user)
    await leaving_client.changes.wait_until(
        lambda: leaving_client.terminal_reason == "token_revoked", "the logout reached the other process"
    )
    await env.verify()
    await skewed_api.close()


def signed_in_earlier(user: User, hours: int) -> User:
    """Return the user with a token that is old enough for the process whose clock is behind."""
    claims = jwt.decode(user.token, SECRET, ["HS256"])
    return user._replace(token=jwt.encode(claims | {"iat": claims["iat"] - 3600 * hours}, SECRET, "HS256"))


def library() -> str:
    """Return the path of libfaketime from Debian's package `faketime`. Raises RequirementMissing."""
    found = [path for pattern in LIBRARIES for path in Path("/").glob(pattern.lstrip("/"))]
    if not found:
        raise RequirementMissing("libfaketime (Debian's package faketime)")
    return str(found[0])
