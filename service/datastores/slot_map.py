"""Which server of a Redis Cluster serves which slot. A single server is a cluster of one."""

from collections.abc import Sequence
from typing import Any

from redis.crc import key_slot

from service.datastores.cluster import MAX_NODES, Address, address_of

Owner = Address | None
"""The address of a server; None: the server behind the Unix socket of the URL."""
SLOTS = 16_384


class SlotMap:
    """The owner of each slot, as the servers have last reported. `candidates` are the servers to ask."""

    def __init__(self, seeds: Sequence[Address]) -> None:
        """`seeds`: the servers of the URL; none: it names a Unix socket."""
        self._seeds: list[Owner] = list(seeds) or [None]
        self.candidates: list[Owner] = list(self._seeds)
        self.is_cluster = False
        self._owners: list[Owner] = []
        self._single: Owner = None
        self.known = False
        """Whether a server has answered."""

    @property
    def has_several_seeds(self) -> bool:
        return len(self._seeds) > 1

    def slot_of(self, channel: bytes) -> int:
        return key_slot(channel)

    def has_owner(self, channel: bytes) -> bool:
        """Return whether some server serves the channel."""
        return self.known and (not self.is_cluster or self._owners[key_slot(channel)] is not None)

    def owner(self, channel: bytes) -> Owner:
        """Return the server of a channel that has one."""
        return self._owners[key_slot(channel)] if self.is_cluster else self._single

    def set_single(self, source: Owner) -> None:
        """Note that the server at `source` is not a cluster node: it serves everything."""
        self.known, self.is_cluster, self._single = True, False, source

    def update(self, source: Address, ranges: list[Any]) -> None:
        """Take over the reply of the node at `source` to CLUSTER SLOTS."""
        owners: list[Owner] = [None] * SLOTS
        found: dict[Owner, None] = {}
        for first, last, *nodes in ranges:
            addresses = [address_of(source, node) for node in nodes]
            owners[first : last + 1] = [addresses[0]] * (last + 1 - first)
            found |= dict.fromkeys(addresses)
        self.known, self.is_cluster, self._owners = True, True, owners
        self.candidates = list(dict.fromkeys([source, *found, *self._seeds]))[:MAX_NODES]

    def mark_failed(self, address: Owner) -> None:
        """Ask this server last: it does not answer, or has lost contact to the others."""
        self.candidates.sort(key=address.__eq__)
