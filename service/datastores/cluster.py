"""A Redis Cluster: connections that lead to whichever node serves the slot that we use.

Everything that one client asks for lies in one slot, by the braces in its keys (see `connect`). So a cluster asks no
more of us than to find the slot's node: pipelines, transactions, scripts and subscriptions are the same as on a single
server, and so is their speed. Its other nodes are there to take over.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.asyncio.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, ConnectionError, MovedError, ResponseError, TimeoutError

MAX_HOPS = 4
"""Nodes that one try to connect goes to: two agree on who serves the slot but for moments, and then the next try will
find them agreed."""
MAX_NODES = 32
"""Nodes that are remembered; any that is up tells of the others."""


class Address(NamedTuple):
    host: str
    port: int


class Elsewhere(ConnectionError):
    """This node does not serve the slot."""


class Nodes:
    """The nodes that we know of, the one most likely to serve our slot first: those of the URL, and later those, too,
    that the cluster has named. A server that is no cluster is the only one, always.
    """

    def __init__(self, named: Iterable[Address], key: str) -> None:
        """`key`: one in the slot."""
        self._named = list(named)
        self._known = list(self._named)
        self._slot = key_slot(key.encode())

    @property
    def several_named(self) -> bool:
        return len(self._named) > 1

    @property
    def likeliest(self) -> Address:
        return self._known[0]

    def failed(self, address: Address) -> None:
        """`address` does not answer, or serves the slot no more: the others come first."""
        self._known.sort(key=address.__eq__)

    def learn(self, asked: Address, ranges: list[Any]) -> Address | None:
        """Take over what the node at `asked` answers to CLUSTER SLOTS. Who serves our slot; None: nobody."""
        owner: Address | None = None
        found: dict[Address, None] = {}
        for first, last, *nodes in ranges:
            addresses = [_address(asked, node) for node in nodes]
            found |= dict.fromkeys(addresses)
            if first <= self._slot <= last:
                owner = addresses[0]
        likely = [owner] if owner else []
        self._known = list(dict.fromkeys([*likely, *self._named, *found]))[:MAX_NODES]
        return owner


class NodeConnection(Connection):
    """A connection to the node that serves the slot. Where that node goes, or serves it no more, the connection is
    broken: whoever uses it connects anew, as after any break, and finds the next one.
    """

    def __init__(self, *, nodes: Nodes, **options: Any) -> None:
        self._nodes = nodes
        super().__init__(**options)

    @property
    def _address(self) -> Address:
        return Address(self.host, self.port)

    async def connect_check_health(self, check_health: bool = True, retry_socket_connect: bool = True) -> None:
        if self.is_connected:
            return
        for _ in range(MAX_HOPS):
            self.host, self.port = self._nodes.likeliest
            try:
                await super().connect_check_health(check_health, retry_socket_connect)
                return
            except Elsewhere:
                continue
            except BaseException:
                # Whoever waits may have lost patience with a node that hangs: the next one is not to begin with it.
                self._nodes.failed(self._address)
                raise
        raise ConnectionError("The nodes do not agree on who serves the slot.")

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        # Here, and not once it is connected: then subscriptions have been renewed already.
        await super().on_connect_check_health(check_health)
        await self.send_command("CLUSTER", "SLOTS", check_health=False)
        try:
            ranges = await self.read_response()
        except ResponseError:
            if self._nodes.several_named:
                raise ConnectionError("Several servers are named, and this one is no cluster's node.") from None
            return
        owner = self._nodes.learn(self._address, ranges)
        if owner is None:
            raise ConnectionError("No node serves the slot.")
        if owner != self._address:
            raise Elsewhere("Another node serves the slot.")

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except TimeoutError:
            self._nodes.failed(self._address)
            raise
        except (MovedError, ClusterDownError) as error:
            # It has gone elsewhere, or this node has lost sight of the others.
            self._nodes.failed(self._address)
            await self.disconnect(nowait=True)
            raise ConnectionError("This node does not serve the slot any more.") from error


class TLSNodeConnection(NodeConnection, SSLConnection):
    """The same, encrypted."""


def _address(asked: Address, node: list[Any]) -> Address:
    host, port = node[0], node[1]
    # A node that does not know how it is reached leaves that to us: there, where this one was asked.
    return Address(host.decode() if host and host != b"?" else asked.host, port)
