"""A user is removed, signed out, or changes the password while events are queued: nothing is delivered afterwards."""

import asyncio
import os
import signal
import time
from collections.abc import Sequence
from functools import partial

from tests.faults.chat_client import ChatClient
from tests.faults.client import Client
from tests.faults.environment import FaultEnvironment
from tests.faults.stream_client import StreamClient
from tests.faults.traffic import write_comment
from tests.faults.users import User
from tests.faults.workers import connect_to_each_worker
from tests.protocol.worker_lookup import unsent_bytes
from tests.running import Server

QUICK = [{"ways": "session", "after": 5}]
RECEIVE_BUFFER = 4096
BATCH = 10
QUEUED_MESSAGES = 20
"""Messages of 16 KB that are queued in the server for the revoked user, in addition to those in the kernel's buffers: a
third of what a queue holds."""
LONG_TEXT = "\N{PARTY POPPER}" * 3900
EFFECT_TIMEOUTS = {"up": 1.0, "down": 4.0}
"""Seconds until the revocation works on every worker: by the bus, or by polling the database every two seconds."""
PASSWORD = "correct horse battery"


async def run(
    env: FaultEnvironment, *, ways: str = "removed,session,password", workers: int = 2, after: int = 20
) -> None:
    """`after`: messages sent on every worker once the revocation works."""
    server = await env.start_server(WEB_CONCURRENCY=str(workers))
    await env.record_baseline()
    groups: list[tuple[str, list[ChatClient]]] = []
    for redis in ("up", "down"):
        if redis == "down":
            os.kill(env.datastores.pid("redis"), signal.SIGKILL)
        for how in ways.split(","):
            groups.append(await revoke_one_user(env, server, how, redis, after))
    await env.datastores.redis.start()
    for group, remaining_sockets in groups:
        await env.check_messages(group, remaining_sockets)
    await env.verify()


async def revoke_one_user(
    env: FaultEnvironment, server: Server, how: str, redis: str, after: int
) -> tuple[str, list[ChatClient]]:
    """Run one case with a new user. Returns the group and its remaining clients."""
    victim, password = await register(env)
    owner, *others = await env.create_users(4)
    group = await env.create_group([owner, victim, *others])
    post = await env.create_post(victim)
    remaining_sockets = await connect_to_each_worker(env, server, [owner, *others], env.connect_sockets)
    connect_slow_socket = partial(env.connect_sockets, receive_buffer=RECEIVE_BUFFER)
    victim_sockets: Sequence[ChatClient] = await connect_to_each_worker(env, server, [victim], connect_slow_socket)
    streams: Sequence[StreamClient] = await connect_to_each_worker(env, server, [victim], env.connect_streams)
    for client in victim_sockets:
        client.stop_reading()
    queued = await fill_queues(env, remaining_sockets, victim_sockets, group)
    if how == "removed":
        await env.api.call("DELETE", f"/conversations/{group}/participants/{victim.id}", owner)
    elif how == "session":
        await env.api.call("POST", "/auth/logout", victim)
    else:
        await change_password(env, victim, password)
    revoked_at = time.monotonic()
    sent_at: dict[str, float] = {}
    commented_at: dict[str, float] = {}
    number = 0
    while number < after or time.monotonic() < revoked_at + EFFECT_TIMEOUTS[redis]:
        number += 1
        for sender in remaining_sockets:
            content = f"after {number} {sender.user.username}"
            sent_at[content] = time.monotonic()
            await sender.send(group, content)
        if how != "removed":
            commented_at[f"{others[0].username} comments {number}"] = time.monotonic()
            await write_comment(env.api, others[0], post, number)
        await asyncio.sleep(0.02)
    for client in victim_sockets:
        client.resume_reading()
    if how == "removed":
        for client in victim_sockets:
            if redis == "up":
                await client.changes.wait_until(
                    lambda client=client: group in client.removed, "the removal is delivered"
                )
    else:
        for one in (*victim_sockets, *streams):
            await one.changes.wait_until(lambda one=one: one.terminal_reason, f"the connection is closed after {how}")
    late_messages = [
        sent_at[beginning] - revoked_at
        for client in victim_sockets
        for beginning in client.replicas[group].messages.values()
        if beginning in sent_at
    ]
    late_comments = [
        commented_at[notification["data"]["preview"]] - revoked_at
        for stream in streams
        for notification in stream.notifications.values()
        if notification["data"]["preview"] in commented_at
    ]
    record_late_deliveries(
        env, f"{how}, Redis {redis}: delivered afterwards", late_messages + late_comments, EFFECT_TIMEOUTS[redis]
    )
    if how != "removed" or redis == "up":
        held = [set(client.replicas[group].messages) for client in victim_sockets]
        assert not any(queued <= each for each in held), f"queued messages were delivered after {how}"
    clients: list[Client] = [*victim_sockets, *streams]
    await env.stop_clients(clients)
    return group, remaining_sockets


async def fill_queues(
    env: FaultEnvironment, remaining_sockets: Sequence[ChatClient], readers: Sequence[ChatClient], group: str
) -> set[str]:
    """Send until the kernel accepts no more for `readers`, then what must queue in the server: returns these ids."""

    async def send(count: int) -> set[str]:
        saying = [remaining_sockets[number % len(remaining_sockets)].send(group, LONG_TEXT) for number in range(count)]
        messages = await asyncio.gather(*saying)
        last = max(message["rev"] for message in messages)
        for sender in remaining_sockets:
            # Without Redis a worker learns of messages on another worker from the numbers of its own messages.
            await sender.send(group, "a short message")
        for sender in remaining_sockets:
            await sender.changes.wait_until(
                lambda sender=sender: sender.rev(group) >= last, "the message reached its worker"
            )
        return {message["id"] for message in messages}

    port = env.api.address[1]
    unsent_before = -1
    while (now := min(unsent_bytes(port, reader.port) for reader in readers)) > unsent_before:
        unsent_before = now
        await send(BATCH)
    return await send(QUEUED_MESSAGES)


def record_late_deliveries(env: FaultEnvironment, what: str, late: list[float], limit: float) -> None:
    last = f", the last one sent {max(late):.2f} s after the response" if late else ""
    env.ledger.note(what, f"{len(late)}{last}")
    if late and max(late) > limit:
        env.ledger.violations.append(f"{what}: {max(late):.2f} s after the response")


async def register(env: FaultEnvironment) -> tuple[User, str]:
    """Register a user with a password."""
    name = f"v{env.random.getrandbits(60):015x}"
    answer = await env.api.call("POST", "/auth/register", json={"username": name, "password": PASSWORD})
    return User(answer["user"]["id"], name, answer["access_token"], ""), PASSWORD


async def change_password(env: FaultEnvironment, victim: User, password: str) -> None:
    """Change the password on another device, which stays signed in; the first one does not."""
    answer = await env.api.call("POST", "/auth/login", json={"username": victim.username, "password": password})
    device = victim._replace(token=answer["access_token"])
    body = {"current_password": password, "new_password": password + "!"}
    await env.api.call("POST", "/auth/password", device, json=body)
