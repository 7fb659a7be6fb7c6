"""Clients stop reading, among as many that read: they are disconnected within bounds, and others notice nothing."""

import asyncio
import time
from collections.abc import Sequence

from service.realtime.connection import OVERFLOW_TIMEOUT
from tests.faults import leaks
from tests.faults.chat_client import ChatClient
from tests.faults.environment import FaultEnvironment
from tests.faults.ledger import Json
from tests.running import Server

QUICK = [{"slow": 10, "good": 10, "judged": 0}]
RECEIVE_BUFFER = 4096
LONG_TEXT = "\N{PARTY POPPER}" * 4000
"""A message of the maximum length: 16 KB."""
MESSAGES = 300
"""Messages in each part of the run: about 5 MB for each reader, five times what a queue holds."""
SEND_INTERVAL = 0.02
"""Seconds between two messages if latency is judged; otherwise they are sent as fast as they are stored."""
BATCH = 10
MAX_MEMORY_GROWTH = 48 << 20
"""Bytes by which the memory of all workers may exceed the run without slow readers: their queues share the bytes that
the other readers are sent, plus 64 KB for each transport."""
MAX_SLOWDOWN = 2.0


async def run(env: FaultEnvironment, *, slow: int = 200, good: int = 200, workers: int = 2, judged: int = 1) -> None:
    """`judged`: 1 also checks the latency against the design's bound; this needs a quiet machine."""
    server = await env.start_server(WEB_CONCURRENCY=str(workers))
    users = await env.create_users(good + slow + 1)
    # Two groups: clients that join the first one later would fetch its history.
    group, second_group = await env.create_group(users[: good + 1]), await env.create_group(users)
    await env.record_baseline()
    writer, *good_readers = await env.connect_sockets(users[: good + 1])
    p99_alone, peak_alone = await measure(server, writer, good_readers, group, MESSAGES if judged else BATCH, judged)
    slow_readers = await env.connect_sockets(users[good + 1 :], receive_buffer=RECEIVE_BUFFER)
    for client in slow_readers:
        client.stop_reading()
    p99_among, peak_among = await measure(server, writer, good_readers, second_group, MESSAGES, judged)
    env.ledger.note(
        "p99 of the good readers alone, and among slow ones", f"{p99_alone * 1000:.0f} ms, {p99_among * 1000:.0f} ms"
    )
    env.ledger.note("peak memory of the workers, likewise", f"{peak_alone >> 20} MB, {peak_among >> 20} MB")
    slow_consumers = timed_out = 0.0
    async with asyncio.timeout(OVERFLOW_TIMEOUT + 20):
        # After its queue has overflowed, a connection is given some seconds to catch up.
        while slow_consumers + timed_out < slow:
            await asyncio.sleep(0.5)
            slow_consumers, timed_out = await count_closed(env, "slow_consumer"), await count_closed(env, "gone")
    env.ledger.note(
        "slow readers disconnected", f"{slow_consumers + timed_out:.0f} of {slow}, {timed_out:.0f} by the kernel"
    )
    assert slow_consumers + timed_out == slow
    assert peak_among <= peak_alone + MAX_MEMORY_GROWTH
    assert [1] * (good + 1) == [client.connections for client in (writer, *good_readers)], (
        "a good reader was disconnected"
    )
    for client in slow_readers:
        client.resume_reading()
    await env.check_messages(group, [writer, *good_readers])
    await env.check_messages(second_group, [writer, *good_readers, *slow_readers])
    assert all(ended.split()[0] in ("1013", "1006") for ended in env.ledger.closes), env.ledger.closes
    await env.verify()
    if judged:
        assert p99_among <= MAX_SLOWDOWN * p99_alone, "slow readers delay the good ones"


async def measure(
    server: Server, writer: ChatClient, readers: Sequence[ChatClient], group: str, messages: int, paced: int
) -> tuple[float, int]:
    """Return the 99th percentile of delivery seconds, and the workers' peak memory."""
    sent_at: dict[str, float] = {}
    latencies: list[float] = []

    def on_arrival(message: Json) -> None:
        latencies.append(time.perf_counter() - sent_at[message["content"].partition(" ")[0]])

    async def send(number: int) -> None:
        sent_at[str(number)] = time.perf_counter()
        await writer.send(group, f"{number} {LONG_TEXT[:3990]}")

    for reader in readers:
        reader.on_message = on_arrival
    peak = 0
    for first in range(0, messages, 1 if paced else BATCH):
        await asyncio.gather(*(send(number) for number in range(first, first + (1 if paced else BATCH))))
        peak = max(peak, leaks.resident_memory(server))
        await asyncio.sleep(SEND_INTERVAL if paced else 0)
    for reader in readers:
        await reader.changes.wait_until(
            lambda reader=reader: reader.rev(group) >= writer.rev(group), "the reader has everything"
        )
        reader.on_message = lambda message: None
    return sorted(latencies)[len(latencies) * 99 // 100], peak


async def count_closed(env: FaultEnvironment, reason: str) -> float:
    """Return the number of sockets closed for `reason`. On a machine too busy to fill a queue in time, the kernel gives
    up clients that read nothing."""
    metrics = await env.api.metrics()
    return sum(
        value for name, value in metrics.items() if name.startswith("loa_connections_closed_total") and reason in name
    )
