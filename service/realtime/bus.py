"""The bus: carries messages between all processes of a deployment."""

import uuid
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from service.common.tasks import count_failure

log = structlog.get_logger()

Handler = Callable[[dict[str, Any], bytes], None]
"""Called synchronously with a message's head and body. It must not block; its exceptions are logged."""


class Bus(Protocol):
    """Carries messages of named kinds between all processes of a deployment.

    Guarantees:
    - `publish` never blocks and never raises.
    - The publishing process handles its own message at once, whether or not the others ever receive it.
    - Each process handles the messages of one publisher in the order in which they were published.
    - If a process may have missed messages, its `on_gap` callbacks are called afterwards.

    Not guaranteed: an order between the messages of different publishers.
    """

    process_id: str

    @property
    def connected(self) -> bool:
        """Whether messages of the other processes arrive at present."""
        ...

    def publish(self, kind: str, head: dict[str, Any], body: bytes = b"") -> None: ...

    def on(self, kind: str, handler: Handler) -> None:
        """Call `handler` for each message of `kind`. To be called before `start`."""
        ...

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever messages of others may have been missed, once they arrive again."""
        ...

    async def start(self) -> None: ...

    async def close(self) -> None:
        """Send what is still in the outbox, within a second or two, and stop receiving."""
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
        """Do nothing: within one process no message is missed."""

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Handlers:
    """The handlers of a bus, by kind of message."""

    def __init__(self) -> None:
        self._by_kind: dict[str, list[Handler]] = {}

    def add(self, kind: str, handler: Handler) -> None:
        self._by_kind.setdefault(kind, []).append(handler)

    def call(self, kind: str, head: dict[str, Any], body: bytes) -> None:
        for handler in self._by_kind.get(kind, ()):
            try:
                handler(head, body)
            except Exception:
                # Neither the publisher, whose message is stored, nor the other handlers may fail with this one.
                count_failure("bus_handler")
                log.exception("bus_handler_failed", kind=kind)
