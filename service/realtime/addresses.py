"""Addresses: to whom a message of the bus goes, and the pub/sub channel and keys in Redis that stand for them."""

import zlib
from collections.abc import Iterator
from functools import lru_cache

from redis.crc import key_slot

from service.datastores.slot_map import SLOTS

CONTROL_VERSION = 2
"""The version of the format of what goes to every process."""
FORMAT_VERSION = 3
"""The version of the format of what goes to addresses. Each is part of a channel's name, because processes of both
versions run during a deployment."""
TAGS = 1024
"""Hash tags over which addresses are spread in a cluster: as many parts of its slots of the same size."""


def user_address(user_id: str) -> str:
    """Return the address to which those processes subscribe that have a connection of the user."""
    return f"u:{user_id}"


def room_address(topic: str) -> str:
    """Return the address to which those processes subscribe that have connections of recipients of `topic`, if it has
    many."""
    return f"r:{topic}"


def watch_address(topic: str) -> str:
    """Return the address to which those processes subscribe that have connections which watch `topic`."""
    return f"w:{topic}"


def presence_address(user_id: str) -> str:
    """Return the address to which those processes subscribe that have connections which watch the user's presence."""
    return f"p:{user_id}"


class Addresses:
    """The channels of one deployment's addresses, and of the messages to every process (`control`).

    Redis shares channels between the numbered databases of a server, so the number is a part of the names; 0 is left
    out, as in a cluster, which has no other.
    """

    def __init__(self, tag: str, database: int) -> None:
        """`tag`: in braces, as in `{loa}`; the channels of addresses begin with `{loa:0}`, `{loa:1}` and so on."""
        suffix = f":db{database}" if database else ""
        self.control = f"{tag}:bus:{CONTROL_VERSION}{suffix}".encode()
        self._tag = tag
        self._infix = f":bus:{FORMAT_VERSION}{suffix}:".encode()

    def channel(self, address: str) -> bytes:
        """Return the channel of an address."""
        return self._prefix(address) + self._infix + address.encode()

    def address(self, channel: bytes) -> str:
        """Return the address of a channel other than `control`."""
        return channel[channel.index(b"}") + 1 + len(self._infix) :].decode()

    def own(self, process_id: str) -> Iterator[bytes]:
        """Yield the channels of a process's own: one in the slot of `control`, then one for each hash tag."""
        for tag in (self._tag.encode(), *_tags(self._tag)):
            yield tag + self._infix + b"own:" + process_id.encode()

    def mark(self, address: str, topic: str) -> bytes:
        """Return the key of the last sequence number of `topic` that was published to this address or to another one
        with the same hash tag."""
        return self._prefix(address) + b":last:" + topic.encode()

    def _prefix(self, address: str) -> bytes:
        tags = _tags(self._tag)
        return tags[zlib.crc32(address.encode()) % TAGS]


@lru_cache(16)
def _tags(tag: str) -> tuple[bytes, ...]:
    """Return the hash tags, in the order of their slots: one in each of TAGS equal parts of the slots."""
    found: dict[int, bytes] = {}
    number = 0
    while len(found) < TAGS:
        candidate = f"{tag.removesuffix('}')}:{number}}}".encode()
        found.setdefault(key_slot(candidate) * TAGS // SLOTS, candidate)
        number += 1
    return tuple(found[part] for part in range(TAGS))
