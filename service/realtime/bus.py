"""The bus: what one process says, every process hears."""

import uuid
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from service.common.tasks import count_failure

log = structlog.get_logger()

Handler = Callable[[dict[str, Any], bytes], None]
"""Called with a message's head and body, synchronously: it must not block, and what it raises goes to the log."""


class Bus(Protocol):
    """Carries messages of named kinds between all processes of a deployment.

    Guarantees: `publish` never blocks and never raises; the publishing process hears its own message at once, and
    whatever becomes of the others; each process hears the messages of one publisher in the order of their
    publication; a message may be lost only where `on_gap` is called afterwards on the processes that may have
    missed it. Not guaranteed: an order between different publishers.
    """

    process_id: str

    @property
    def connected(self) -> bool:
        """Whether the other processes can be heard just now."""
        ...

    def publish(self, kind: str, head: dict[str, Any], body: bytes = b"") -> None: ...

    def on(self, kind: str, handler: Handler) -> None:
        """Hear the messages of `kind`. Before `start`."""
        ...

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever messages of others may have been missed, once they can be heard again."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None:
        """Say what is still to be said, within a second or two, and hear nothing more."""
        ...


class LocalBus:
    """The bus of a deployment of one process."""

    def __init__(self) -> None:
        self.process_id = uuid.uuid4().hex
        self._handlers = Handlers()

    @property
    def connected(self) -> bool:
        return True

    def publish(self, kind: str, head: dict[str, Any], body: bytes = b"") -> None:
        self._handlers.call(kind, head, body)

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers.add(kind, handler)

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Nothing is missed in here."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Handlers:
    """Who hears what, for either bus."""

    def __init__(self) -> None:
        self._by_kind: dict[str, list[Handler]] = {}

    def add(self, kind: str, handler: Handler) -> None:
        self._by_kind.setdefault(kind, []).append(handler)

    def call(self, kind: str, head: dict[str, Any], body: bytes) -> None:
        for handler in self._by_kind.get(kind, ()):
            try:
                handler(head, body)
            except Exception:
                # One listener's fault is not the publisher's, whose message is stored, nor the next listener's.
                count_failure("bus_handler")
                log.exception("bus_handler_failed", kind=kind)
