"""Readers that stop reading, among as many good ones: let go within bounds, and nobody else feels them."""

import asyncio
import time
from collections.abc import Sequence

from tests.faults import leaks
from tests.faults.account import Json
from tests.faults.chat import ChatClient
from tests.faults.stage import Stage
from tests.running import Server

QUICK = [{"slow": 10, "good": 10, "judged": 0}]
NARROW = 4096
LONG = "\N{PARTY POPPER}" * 4000
"""As long as a message can be: 16 KB."""
MESSAGES = 300
"""In each part of the run: some 5 MB for each reader, five times what a queue holds."""
PACE = 0.02
"""Seconds between two of them where latency is judged; otherwise they come as fast as they are stored."""
AT_ONCE = 10
FLAT = 48 << 20
"""Bytes by which the memory of all workers may be higher with the slow ones than without: their queues hold the very
bytes that the good ones are sent, and of each transport 64 KB."""
TIMES = 2.0


async def run(stage: Stage, *, slow: int = 200, good: int = 200, workers: int = 2, judged: int = 1) -> None:
    """`judged`: whether the latency, too, has to be as good as the design says; for that the machine must be quiet."""
    server = await stage.serve(WEB_CONCURRENCY=str(workers))
    people = await stage.people(good + slow + 1)
    # Two groups, for whoever comes later to the first would ask for its past.
    group, joined = await stage.group(people[: good + 1]), await stage.group(people)
    await stage.watch_leaks()
    writer, *goods = await stage.sockets(people[: good + 1])
    alone, peak_alone = await measure(server, writer, goods, group, MESSAGES if judged else AT_ONCE, judged)
    slows = await stage.sockets(people[good + 1 :], receive_buffer=NARROW)
    for client in slows:
        client.stop_reading()
    among, peak_among = await measure(server, writer, goods, joined, MESSAGES, judged)
    stage.account.note(
        "p99 of the good ones alone, and among the slow", f"{alone * 1000:.0f} ms, {among * 1000:.0f} ms"
    )
    stage.account.note("workers' memory at most, likewise", f"{peak_alone >> 20} MB, {peak_among >> 20} MB")
    full, gone = await closed(stage, "slow_consumer"), await closed(stage, "gone")
    stage.account.note("slow ones let go by the server", f"{full + gone:.0f} of {slow}, {gone:.0f} by the kernel")
    assert full + gone == slow
    assert peak_among <= peak_alone + FLAT
    assert [1] * (good + 1) == [client.connections for client in (writer, *goods)], "the good ones noticed"
    for client in slows:
        client.read_again()
    await stage.audit_messages(group, [writer, *goods])
    await stage.audit_messages(joined, [writer, *goods, *slows])
    assert all(ended.split()[0] in ("1013", "1006") for ended in stage.account.ended), stage.account.ended
    await stage.verify()
    if judged:
        assert among <= TIMES * alone, "the slow ones are felt"


async def measure(
    server: Server, writer: ChatClient, readers: Sequence[ChatClient], group: str, messages: int, paced: int
) -> tuple[float, int]:
    """The 99th percentile of the seconds from a message's saying to its arrival, and the workers' highest memory."""
    said: dict[str, float] = {}
    latencies: list[float] = []

    def arrived(message: Json) -> None:
        latencies.append(time.perf_counter() - said[message["content"].partition(" ")[0]])

    async def say(number: int) -> None:
        said[str(number)] = time.perf_counter()
        await writer.say(group, f"{number} {LONG[:3990]}")

    for reader in readers:
        reader.on_message = arrived
    peak = 0
    for first in range(0, messages, 1 if paced else AT_ONCE):
        await asyncio.gather(*(say(number) for number in range(first, first + (1 if paced else AT_ONCE))))
        peak = max(peak, leaks.memory(server))
        await asyncio.sleep(PACE if paced else 0)
    for reader in readers:
        await reader.changes.until(lambda reader=reader: reader.rev(group) >= writer.rev(group), "it has all")
        reader.on_message = lambda message: None
    return sorted(latencies)[len(latencies) * 99 // 100], peak


async def closed(stage: Stage, reason: str) -> float:
    """How many sockets have ended for it. On a machine that is too busy to fill a queue in that time, the kernel has
    given up whoever takes nothing."""
    metrics = await stage.front.metrics()
    return sum(
        value for name, value in metrics.items() if name.startswith("loa_connections_closed_total") and reason in name
    )
