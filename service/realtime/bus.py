"""The bus: carries messages between all processes of a deployment."""

import uuid
from collections.abc import Callable, Collection, Iterable
from typing import Any, Protocol

import structlog

from service.common.tasks import count_failure

log = structlog.get_logger()

Handler = Callable[[dict[str, Any], bytes], None]
"""Called synchronously with a message's head and body. It must not block; its exceptions are logged."""


class Bus(Protocol):
    """Carries messages of named kinds between the processes of a deployment: to all of them, or to those that have
    subscribed to an address.

    Guarantees:
    - `publish` never blocks and never raises.
    - The publishing process handles its own message at once, whether or not the others ever receive it.
    - A process handles a message once, however many of its addresses it has subscribed to.
    - Each process handles the messages of one publisher to one address, and of those to all processes, in the order in
      which they were published.
    - If a process may have missed messages, its `on_doubt` or `on_gap` callbacks are called afterwards.

    Not guaranteed: an order between the messages of different publishers, or to different addresses.
    """

    process_id: str

    @property
    def connected(self) -> bool:
        """Whether messages to all processes arrive here at present."""
        ...

    @property
    def receives_all(self) -> bool:
        """Whether messages to all processes, and those to each address that is subscribed to, arrive here at present,
        as far as that is known: a server that falls silent is noticed within seconds."""
        ...

    @property
    def has_earlier_processes(self) -> bool:
        """Whether processes of the version before may be alive, which need all that they handle in the message."""
        ...

    def publish(
        self,
        kind: str,
        head: dict[str, Any],
        body: bytes = b"",
        to: Collection[str] | None = None,
        last: tuple[str, int] | None = None,
    ) -> None:
        """Send a message to the processes that have subscribed to one of these addresses (None: to all).

        `last`: the topic of the message and its sequence number there, for `last_published`.
        """
        ...

    def subscribe(self, address: str) -> None:
        """Receive the messages to `address` until `unsubscribe`."""
        ...

    def unsubscribe(self, address: str) -> None: ...

    def is_subscribed(self, address: str) -> bool:
        """Return whether the messages to `address` arrive here at present."""
        ...

    async def last_published(self, topics: Iterable[tuple[str, str]]) -> dict[str, int]:
        """Return, for pairs of an address and a topic, the highest sequence numbers of the topics that were published
        to the address in the last minute, as far as there are any and they can be read."""
        ...

    def on(self, kind: str, handler: Handler) -> None:
        """Call `handler` for each message of `kind`. To be called before `start`."""
        ...

    def on_confirmed(self, callback: Callable[[str], None]) -> None:
        """Call `callback(address)` whenever the messages to an address begin to arrive."""
        ...

    def on_doubt(self, callback: Callable[[str], None]) -> None:
        """Call `callback(address)` whenever messages to an address may have been missed, once they arrive again."""
        ...

    def on_gap(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever messages to all processes may have been missed, once they arrive again."""
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

    @property
    def receives_all(self) -> bool:
        return True

    @property
    def has_earlier_processes(self) -> bool:
        return False

    def publish(
        self,
        kind: str,
        head: dict[str, Any],
        body: bytes = b"",
        to: Collection[str] | None = None,
        last: tuple[str, int] | None = None,
    ) -> None:
        self._handlers.call(kind, head, body)

    def subscribe(self, address: str) -> None:
        """Do nothing: each message is handled by the only process."""

    def unsubscribe(self, address: str) -> None:
        """Do nothing."""

    def is_subscribed(self, address: str) -> bool:
        return True

    async def last_published(self, topics: Iterable[tuple[str, str]]) -> dict[str, int]:
        """Return nothing: the only process knows what it has published."""
        return {}

    def on(self, kind: str, handler: Handler) -> None:
        self._handlers.add(kind, handler)

    def on_confirmed(self, callback: Callable[[str], None]) -> None:
        """Do nothing: messages arrive from the beginning."""

    def on_doubt(self, callback: Callable[[str], None]) -> None:
        """Do nothing: within one process no message is missed."""

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
