"""The link on a single server and on a cluster whose nodes fail and whose slots move."""

import asyncio
import shutil
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError
from structlog.testing import capture_logs

from service.datastores import redis_link
from service.datastores.redis import connect, endpoint
from service.datastores.redis_link import (
    LINK_ERRORS,
    MAX_PUBLICATIONS,
    MAX_PUBLISHED_BYTES,
    Publication,
    RedisLink,
)
from tests.cluster import Cluster, Node, cluster, running, wait_until
from tests.conftest import Datastores
from tests.datastores.test_redis import SELF_SIGNED, listening, relay_to
from tests.proxy import Proxy


class Subscriber:
    """A link, and what it has reported of each channel."""

    def __init__(self, url: str) -> None:
        self.link = RedisLink(endpoint(url), self)
        self.messages: list[tuple[bytes, bytes]] = []
        self.subscribed: Counter[bytes] = Counter()
        self.again: Counter[bytes] = Counter()
        self.unsubscribed: Counter[bytes] = Counter()
        self.missed: Counter[bytes] = Counter()
        self._changed = asyncio.Event()

    def on_message(self, channel: bytes, payload: bytes) -> None:
        self.messages.append((channel, payload))
        self._changed.set()

    def on_subscribed(self, channel: bytes, again: bool) -> None:
        self.subscribed[channel] += 1
        self.again[channel] += again
        self._changed.set()

    def on_unsubscribed(self, channel: bytes) -> None:
        self.unsubscribed[channel] += 1
        self._changed.set()

    def on_missed(self, channel: bytes) -> None:
        self.missed[channel] += 1
        self._changed.set()

    def on_ready(self) -> None:
        self._changed.set()

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def subscribe(self, channels: Collection[bytes]) -> None:
        self.link.subscribe(channels)
        await self.wait_until(lambda: all(self.subscribed[channel] for channel in channels))

    async def publish(self, channel: bytes, payload: bytes, marks: dict[bytes, int] | None = None) -> None:
        """Publish, as often as it takes."""
        async with asyncio.timeout(20):
            while True:
                published = self.link.publish(channel, payload, marks)
                if published is not None:
                    try:
                        await published
                        return
                    except LINK_ERRORS as error:
                        self.link.recover(channel, error)
                self._changed.clear()
                await self._changed.wait()


Make = Callable[[str], Subscriber]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes subscribers, and closes them after the test."""
    async with AsyncExitStack() as stack:

        def new(url: str) -> Subscriber:
            subscriber = Subscriber(url)
            stack.push_async_callback(subscriber.link.close)
            return subscriber

        yield new


@pytest.fixture
async def nodes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path / "cluster", replicas=getattr(request, "param", 0)) as nodes:
        yield nodes


def channels_of(count: int, tags: int) -> list[bytes]:
    return [b"{loa:%d}u:%d" % (number % tags, number) for number in range(count)]


async def exchange(publisher: Subscriber, subscriber: Subscriber, channels: Collection[bytes], payload: bytes) -> None:
    """Publish to each channel, and wait until all have arrived."""
    await asyncio.gather(*(publisher.publish(channel, payload) for channel in channels))
    expected = {(channel, payload) for channel in channels}
    await subscriber.wait_until(lambda: expected <= set(subscriber.messages))


@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_messages_reach_the_subscribers_of_their_channel(
    make: Make, datastores: Datastores, cluster_url: str, kind: str
) -> None:
    """Each once, and nobody else; after `unsubscribe` no more."""
    url = {"single": datastores.redis_url, "cluster": cluster_url}[kind]
    one, two, publisher = make(url), make(url), make(url)
    channels = channels_of(200, 40)
    await one.subscribe(channels[:150])
    await two.subscribe(channels[100:])
    await exchange(publisher, one, channels[:150], b"first")
    await exchange(publisher, two, channels[150:], b"first")
    assert Counter((channel, b"first") for channel in channels[:150]) == Counter(one.messages)
    assert sorted((channel, b"first") for channel in channels[100:]) == sorted(two.messages)
    one.link.unsubscribe(channels[:100])
    one.link.subscribe(channels[:1])
    await exchange(publisher, one, [channels[0], *channels[100:150]], b"second")
    await exchange(publisher, two, channels[100:], b"second")
    assert not {channel for channel, payload in one.messages if payload == b"second"} & set(channels[1:100])
    assert not publisher.messages


async def test_publications_to_one_server_share_commands_of_bounded_size(make: Make, datastores: Datastores) -> None:
    """By their number, their marks, and their bytes. All arrive, in the order of each channel."""
    subscriber, publisher = make(datastores.redis_url), make(datastores.redis_url)
    channels = channels_of(MAX_PUBLICATIONS + 2, 1)
    await subscriber.subscribe(channels)
    await publisher.publish(channels[0], b"ready")
    large, marks = b"x" * (MAX_PUBLISHED_BYTES * 2 // 3), {b"{loa:0}mark:%d" % number: 1 for number in range(100)}
    publications = [
        *(Publication(channel, b"small", {}) for channel in channels),
        *(Publication(channel, large, {}) for channel in channels[:2]),
        *(Publication(channel, b"marked", marks) for channel in channels[:2]),
    ]
    sent = publisher.link.publish_all(publications)
    assert [MAX_PUBLICATIONS, 3, 2, 1] == [len(group) for group, _ in sent]
    assert publications == [publication for group, _ in sent for publication in group]
    await asyncio.gather(*(published for _, published in sent))
    await subscriber.wait_until(lambda: len(subscriber.messages) == 1 + len(publications))
    assert [b"ready", b"small", large, b"marked"] == [
        payload for channel, payload in subscriber.messages if channel == channels[0]
    ]


async def test_a_thousand_channels_of_a_hundred_slots_are_a_hundred_commands(make: Make, cluster_url: str) -> None:
    """Asked for in one iteration of the event loop."""
    subscriber = make(cluster_url)
    await subscriber.subscribe([b"{first}"])
    before = await calls(cluster_url, "ssubscribe")
    channels = channels_of(1000, 100)
    for channel in channels:
        subscriber.link.subscribe([channel])
    await subscriber.wait_until(lambda: all(subscriber.subscribed[channel] for channel in channels))
    assert 100 == await calls(cluster_url, "ssubscribe") - before
    assert not subscriber.again.total()


async def calls(url: str, command: str) -> int:
    """Return how often the nodes of a cluster have been sent a command."""
    found = 0
    redis = connect(url)
    ports = {node[1] for _, _, *nodes in await redis.execute_command("CLUSTER SLOTS") for node in nodes}
    await redis.aclose()
    for port in ports:
        node = Redis(port=port)
        found += (await node.info("commandstats")).get(f"cmdstat_{command}", {}).get("calls", 0)
        await node.aclose()
    return found


@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_a_lost_message_is_noticed_with_the_next_of_its_channel(
    make: Make, datastores: Datastores, cluster_url: str, kind: str
) -> None:
    """One that Redis has counted, and that did not arrive. The other channels are not concerned."""
    url = {"single": datastores.redis_url, "cluster": cluster_url}[kind]
    subscriber, publisher = make(url), make(url)
    channels = channels_of(20, 10)
    await subscriber.subscribe(channels)
    for payload in (b"1", b"2"):
        await exchange(publisher, subscriber, channels, payload)
    await publisher.link.request(channels[3], "INCR", channels[3] + b":count")
    assert not subscriber.missed
    await exchange(publisher, subscriber, channels, b"3")
    await exchange(publisher, subscriber, channels, b"4")
    assert {channels[3]: 1} == subscriber.missed


@pytest.mark.parametrize("earlier", [0, 7])
@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_the_loss_of_the_first_message_after_a_subscription_is_noticed(
    make: Make, datastores: Datastores, cluster_url: str, kind: str, earlier: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next message, or by the counts; however many were published before."""
    monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.1)
    url = {"single": datastores.redis_url, "cluster": cluster_url}[kind]
    subscriber, publisher = make(url), make(url)
    channels = [b"{loa:%d}first" % number for number in range(3)]
    for channel in channels:
        await publisher.link.request(channel, "SET", channel + b":count", str(earlier), "EX", "60")
    await subscriber.subscribe(channels)
    async with asyncio.timeout(20):
        while not all(each.count == earlier for each in subscriber.link._subscriptions.values()):
            await asyncio.sleep(0.005)
    for lost in channels[1:]:
        await publisher.link.request(lost, "INCR", lost + b":count")
    await exchange(publisher, subscriber, channels[:2], b"next")
    assert {channels[1]: 1} == subscriber.missed
    await subscriber.link.check_counts()
    assert {channels[1]: 1, channels[2]: 1} == subscriber.missed


async def test_the_loss_of_the_message_with_which_numbers_begin_again_is_noticed(
    make: Make, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.1)
    subscriber, publisher = make(datastores.redis_url), make(datastores.redis_url)
    await subscriber.subscribe([b"{loa}again"])
    for payload in (b"one", b"two"):
        await exchange(publisher, subscriber, [b"{loa}again"], payload)
    with capture_logs() as entries:
        await publisher.link.request(b"{loa}", "SET", "{loa}again:count", "1", "EX", "60")
        await subscriber.link.check_counts()
        await subscriber.link.check_counts()
        assert {b"{loa}again": 1} == subscriber.missed
        await exchange(publisher, subscriber, [b"{loa}again"], b"three")
        await publisher.link.request(b"{loa}", "SET", "{loa}again:count", "1", "EX", "60")
        await exchange(publisher, subscriber, [b"{loa}again"], b"four")
    assert {b"{loa}again": 2} == subscriber.missed
    assert [1, 1] == [entry["missing"] for entry in entries if entry["event"] == "redis_messages_missed"]


async def test_messages_of_the_version_before_have_no_number(make: Make, datastores: Datastores) -> None:
    """They are no reason for doubt: both versions run during a deployment."""
    subscriber, publisher = make(datastores.redis_url), make(datastores.redis_url)
    await subscriber.subscribe([b"{loa}"])
    old = [b"0123456789abcdef0123456789abcdef 12.5\n", b"01234567890123456789012345678901 12.5\n", b""]
    await exchange(publisher, subscriber, [b"{loa}"], b"1")
    for payload in old:
        await publisher.link.request(b"{loa}", "PUBLISH", "{loa}", payload)
    await exchange(publisher, subscriber, [b"{loa}"], b"2")
    assert [b"1", *old, b"2"] == [payload for _, payload in subscriber.messages]
    assert not subscriber.missed


@pytest.mark.parametrize("cause", ["OOM", "MISCONF"])
async def test_a_redis_that_cannot_store_anything_still_publishes(make: Make, tmp_path: Path, cause: str) -> None:
    """Without numbers: its memory is full, or its disk fails. Afterwards it counts on, which is no reason for doubt."""
    async with running([Node(tmp_path / "node", clustered=False)]) as (node,):
        subscriber, publisher = make(node.url), make(node.url)
        await subscriber.subscribe([b"{loa}"])
        await exchange(publisher, subscriber, [b"{loa}"], b"before")
        if cause == "OOM":
            await node.redis.config_set("maxmemory", "1")
        else:
            await node.redis.config_set("save", "3600 1")
            shutil.rmtree(tmp_path / "node")
            await node.redis.bgsave()
        await wait_until(lambda: refuses_writes(node, cause))
        for payload in (b"first", b"second"):
            published = publisher.link.publish(b"{loa}", payload)
            assert published
            await published
        assert await refuses_writes(node, cause)
        await node.redis.config_set("maxmemory", "0")
        await node.redis.config_set("save", "")
        await exchange(publisher, subscriber, [b"{loa}"], b"after")
        assert [b"before", b"first", b"second", b"after"] == [payload for _, payload in subscriber.messages]
        assert not subscriber.missed
        await publisher.link.request(b"{loa}", "INCR", "{loa}:count")
        await exchange(publisher, subscriber, [b"{loa}"], b"later")
        assert {b"{loa}": 1} == subscriber.missed


async def refuses_writes(node: Node, cause: str) -> bool:
    try:
        await node.redis.set("{loa}:test", 1)
    except ResponseError as error:
        return str(error).startswith(cause) or isinstance(error, OutOfMemoryError)
    return False


async def test_a_demoted_primary_publishes_nothing(make: Make, tmp_path: Path) -> None:
    """A provider has promoted another server, and the connections to this one are still open."""
    async with running([Node(tmp_path / "node", clustered=False)]) as (node,):
        subscriber, publisher = make(node.url), make(node.url)
        await subscriber.subscribe([b"{loa}"])
        await exchange(publisher, subscriber, [b"{loa}"], b"before")
        await node.redis.execute_command("REPLICAOF 127.0.0.1 1")
        await node.redis.config_set("replica-serve-stale-data", "yes")
        published = publisher.link.publish(b"{loa}", b"refused")
        assert published
        with pytest.raises(ResponseError, match="READONLY"):
            await published
        publishing = asyncio.create_task(publisher.publish(b"{loa}", b"after"))
        await node.redis.execute_command("REPLICAOF NO ONE")
        await publishing
        await subscriber.wait_until(lambda: (b"{loa}", b"after") in subscriber.messages)
        assert [b"before", b"after"] == [payload for _, payload in subscriber.messages]


async def test_a_moved_slot_concerns_its_channels_alone(make: Make, nodes: Cluster) -> None:
    subscriber, publisher = make(nodes.url), make(nodes.nodes[1].url)
    channels = channels_of(60, 30)
    await subscriber.subscribe(channels)
    await exchange(publisher, subscriber, channels, b"before")
    await nodes.move("{loa:7}", (await nodes.others("{loa:7}"))[0])
    moved = {channel for channel in channels if channel.startswith(b"{loa:7}")}
    await subscriber.wait_until(lambda: moved <= set(+subscriber.again))
    await exchange(publisher, subscriber, channels, b"after")
    assert moved == set(+subscriber.again) == set(+subscriber.unsubscribed)


@pytest.mark.parametrize("nodes", [3], indirect=True)
@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_lost_primary_concerns_its_channels_alone(make: Make, nodes: Cluster, how: str) -> None:
    """Its replica takes over, and serves them; the others are published and received meanwhile."""
    lost, url = nodes.nodes[0], nodes.nodes[1].url
    subscriber, publisher = make(url), make(url)
    channels = channels_of(60, 30)
    await subscriber.subscribe(channels)
    await exchange(publisher, subscriber, channels, b"before")
    concerned = {channel for channel in channels if await nodes.owner(channel.decode()) is lost}
    others = set(channels) - concerned
    assert concerned
    assert others
    if how == "kill":
        await lost.kill()
    else:
        lost.freeze()
    await exchange(publisher, subscriber, others, b"meanwhile")
    await subscriber.wait_until(lambda: concerned <= set(+subscriber.again))
    await exchange(publisher, subscriber, channels, b"after")
    assert concerned == set(+subscriber.again) == set(+subscriber.unsubscribed)


async def test_a_link_enters_with_a_password_over_tls(make: Make, tmp_path: Path) -> None:
    """A foreign certificate is refused unless the URL says that it need not be verified."""
    (tmp_path / "certificate.pem").write_text(SELF_SIGNED)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "certificate.pem")
    async with AsyncExitStack() as stack:
        (node,) = await stack.enter_async_context(running([Node(tmp_path / "node", clustered=False)]))
        await node.redis.execute_command("ACL SETUSER loa on >s:ecret ~{loa}* &{loa}* +@all -@admin -@dangerous +info")
        port = await stack.enter_async_context(listening(relay_to(node.url), tls))
        url = f"rediss://loa:s%3Aecret@127.0.0.1:{port}"
        with pytest.raises(LINK_ERRORS, match=r"(?i)certificate verify failed"):
            await make(url).link.request(b"{loa}", "PING")
        subscriber = make(f"{url}?ssl_cert_reqs=none")
        await subscriber.subscribe([b"{loa}one"])
        await exchange(subscriber, subscriber, [b"{loa}one"], b"hello")
        # Of the other channels, none has a subscription, and the refusal does not affect the first.
        subscriber.link.subscribe([b"{other}"])
        with pytest.raises(ResponseError, match="NOPERM"):
            await subscriber.link.request(b"{other}", "PUBLISH", "{other}", "x")
        await exchange(subscriber, subscriber, [b"{loa}one"], b"again")
        assert not subscriber.subscribed[b"{other}"]
        await subscriber.link.close()


@pytest.mark.parametrize("kind", ["single", "cluster"])
async def test_marks_are_raised_and_read(make: Make, datastores: Datastores, cluster_url: str, kind: str) -> None:
    """By publications, of several slots; none is lowered, and each expires."""
    url = {"single": datastores.redis_url, "cluster": cluster_url}[kind]
    publisher, reader = make(url), make(url)
    await reader.link.request(b"{loa:1}", "PING")
    for tag, marks in ((1, {"a": 7, "b": 1}), (2, {"a": 3}), (1, {"a": 5, "b": 12})):
        keys = {b"{loa:%d}:%s" % (tag, name.encode()): number for name, number in marks.items()}
        await publisher.publish(b"{loa:%d}" % tag, b"", keys)
    wanted = {b"{loa:1}:a": 7, b"{loa:1}:b": 12, b"{loa:2}:a": 3}
    assert wanted == await reader.link.read([*wanted, b"{loa:3}:a"])
    assert 0 < await reader.link.request(b"{loa:1}", "TTL", "{loa:1}:a") <= redis_link.MARK_SECONDS
    await reader.link.request(b"{loa:1}", "DEL", "{loa:1}:a", "{loa:1}:b", "{loa:1}:count")
    await reader.link.request(b"{loa:2}", "DEL", "{loa:2}:a", "{loa:2}:count")


async def test_a_lost_last_message_is_noticed_by_the_counts(
    make: Make, cluster_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its channel alone, once, and although nothing is published afterwards. A count that begins anew is no loss."""
    monkeypatch.setattr(redis_link, "COUNT_WAIT", 0.1)
    subscriber, publisher = make(cluster_url), make(cluster_url)
    channels = [b"{loa:%d}counted" % number for number in range(3)]
    await subscriber.subscribe(channels)
    await subscriber.link.check_counts()
    await exchange(publisher, subscriber, channels, b"one")
    await subscriber.link.check_counts()
    assert not subscriber.missed
    await publisher.link.request(channels[1], "INCR", channels[1] + b":count")
    await publisher.link.request(channels[2], "DEL", channels[2] + b":count")
    await exchange(publisher, subscriber, channels[2:], b"two")
    await subscriber.link.check_counts()
    await subscriber.link.check_counts()
    assert {channels[1]: 1} == subscriber.missed
    await exchange(publisher, subscriber, channels, b"three")
    assert {channels[1]: 1} == subscriber.missed


async def test_a_read_leaves_out_a_server_that_does_not_answer(
    make: Make, datastores: Datastores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_link, "READ_TIMEOUT", 0.05)
    async with Proxy(datastores.redis_url) as proxy:
        subscriber = make(proxy.url)
        await subscriber.publish(b"{loa}silent", b"", {b"{loa}silent:mark": 1})
        assert {b"{loa}silent:mark": 1} == await subscriber.link.read([b"{loa}silent:mark"])
        proxy.blackhole()
        assert {} == await subscriber.link.read([b"{loa}silent:mark"])


async def test_without_a_server_a_request_fails(make: Make) -> None:
    with pytest.raises(LINK_ERRORS):
        await make("redis://127.0.0.1:1").link.request(b"{loa}", "PING")
    with pytest.raises(LINK_ERRORS):
        await make("unix:///nowhere").link.request(b"{loa}", "PING")


async def test_a_node_that_has_left_the_cluster_is_not_taken_for_a_single_server(
    make: Make, cluster_url: str, tmp_path: Path
) -> None:
    """It has lost its data, and the URL still names it first. Messages published there would reach nobody."""
    async with running([Node(tmp_path / "empty")]) as (empty,):
        subscriber, publisher = make(f"{empty.url},{cluster_url.removeprefix('redis://')}"), make(cluster_url)
        await subscriber.subscribe([b"{loa}one"])
        await exchange(publisher, subscriber, [b"{loa}one"], b"hello")
        assert not subscriber.again.total()


async def test_several_servers_that_are_no_cluster_are_refused(make: Make, datastores: Datastores) -> None:
    """They are different deployments, or a mistake."""
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(listening(relay_to(datastores.redis_url))) for _ in range(2)]
        url = "redis://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        with pytest.raises(LINK_ERRORS, match="not a cluster node"):
            await make(url).link.request(b"{loa}", "PING")
