"""Connections to the node of a Redis Cluster that serves the slot that Loa uses.

All keys of one client are in one slot, because they contain the same hash tag (see `connect`). So it is enough to find
the node of that slot: pipelines, transactions, scripts and subscriptions work as on a single server and are as fast.
The other nodes are there for failover.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from redis.asyncio.connection import Connection, SSLConnection
from redis.crc import key_slot
from redis.exceptions import ClusterDownError, ConnectionError, MovedError, ResponseError, TimeoutError

MAX_HOPS = 4
"""Nodes that one attempt to connect visits. Nodes disagree about the owner of the slot only for moments; the next
attempt will find them in agreement."""
MAX_NODES = 32
"""Nodes that are remembered. Any reachable node names the others."""


class Address(NamedTuple):
    host: str
    port: int


class WrongNode(ConnectionError):
    """This node does not serve the slot."""


class Nodes:
    """The known nodes of a cluster, the likely owner of the slot first: those of the URL, and those that the cluster
    has named. A server that is not a cluster is the only node.
    """

    def __init__(self, seeds: Iterable[Address], key: str) -> None:
        """`seeds`: the nodes of the URL. `key`: any key in the slot."""
        self._seeds = list(seeds)
        self._nodes = list(self._seeds)
        self._slot = key_slot(key.encode())

    @property
    def has_several_seeds(self) -> bool:
        return len(self._seeds) > 1

    @property
    def likely_owner(self) -> Address:
        return self._nodes[0]

    def mark_failed(self, address: Address) -> None:
        """Put `address` last: it does not answer or no longer serves the slot."""
        self._nodes.sort(key=address.__eq__)

    def update(self, source: Address, ranges: list[Any]) -> Address | None:
        """Take over the reply of the node at `source` to CLUSTER SLOTS. Returns the owner of the slot, or None."""
        owner: Address | None = None
        found: dict[Address, None] = {}
        for first, last, *nodes in ranges:
            addresses = [address_of(source, node) for node in nodes]
            found |= dict.fromkeys(addresses)
            if first <= self._slot <= last:
                owner = addresses[0]
        likely = [owner] if owner else []
        self._nodes = list(dict.fromkeys([*likely, *self._seeds, *found]))[:MAX_NODES]
        return owner


class NodeConnection(Connection):
    """A connection to the node that serves the slot. It breaks when that node fails or loses the slot; its user then
    reconnects, as after any lost connection, and reaches the new owner.
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
            self.host, self.port = self._nodes.likely_owner
            try:
                await super().connect_check_health(check_health, retry_socket_connect)
                return
            except WrongNode:
                continue
            except BaseException:
                # Also if the caller was cancelled while waiting for a hanging node: the next attempt tries another one.
                self._nodes.mark_failed(self._address)
                raise
        raise ConnectionError("The nodes do not agree on who serves the slot.")

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        # Here and not after connecting, because redis-py renews subscriptions before that.
        await super().on_connect_check_health(check_health)
        await self.send_command("CLUSTER", "SLOTS", check_health=False)
        try:
            ranges = await self.read_response()
        except ResponseError:
            if self._nodes.has_several_seeds:
                raise ConnectionError("The URL names several servers, and this one is not a cluster node.") from None
            return
        owner = self._nodes.update(self._address, ranges)
        if owner is None:
            raise ConnectionError("No node serves the slot.")
        if owner != self._address:
            raise WrongNode("Another node serves the slot.")

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)
        except TimeoutError:
            self._nodes.mark_failed(self._address)
            raise
        except (MovedError, ClusterDownError) as error:
            # The slot has moved, or this node has lost contact to the others.
            self._nodes.mark_failed(self._address)
            await self.disconnect(nowait=True)
            raise ConnectionError("This node no longer serves the slot.") from error


class TLSNodeConnection(NodeConnection, SSLConnection):
    """The same over TLS."""


def address_of(source: Address, node: list[Any]) -> Address:
    """Return the address of `node`, an item of the reply of the node at `source` to CLUSTER SLOTS."""
    host, port = node[0], node[1]
    # A node that does not know its own host name is reachable where the reply came from.
    return Address(host.decode() if host and host != b"?" else source.host, port)
