"""The ledger of a run: every message that was sent, and what became of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass
class Deliveries:
    """One kind of message: chat messages, or comments and the notifications that they cause.

    `sent` and `acknowledged` map a nonce to the conversation or post, and to the id that was returned. `received`
    counts live events, `fetched` what clients fetched after a sign that they missed something, `overlap` what
    came in such a fetch as well as live (clients recognise it by its number).
    """

    sent: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, str] = field(default_factory=dict)
    stored: int = 0
    received: int = 0
    fetched: int = 0
    overlap: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    """Gaps that a client noticed without a `reset` or a close code that announced them."""

    def acknowledge(self, nonce: str, id: str) -> None:
        before = self.acknowledged.setdefault(nonce, id)
        if before != id:
            self.doubled.append(f"{nonce} was acknowledged as {before} and as {id}")


class Ledger:
    """`closes` counts connections by close code and reason, `refusals` unsuccessful responses by status."""

    def __init__(self) -> None:
        self.messages = Deliveries()
        self.notifications = Deliveries()
        self.closes: Counter[str] = Counter()
        self.refusals: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.notes: list[tuple[str, str]] = []
        self.violations: list[str] = []
        """Everything else that a client must never see."""

    @property
    def by_kind(self) -> dict[str, Deliveries]:
        return {"messages": self.messages, "notifications": self.notifications}

    def note(self, name: str, value: object) -> None:
        self.notes.append((name, str(value)))

    def table(self) -> str:
        """Return the ledger as text."""
        columns = ("sent", "acknowledged", "stored", "received", "fetched", "overlap", "lost", "doubled", "silent")
        rows = [["", *columns]]
        for name, deliveries in self.by_kind.items():
            if deliveries.sent or deliveries.received:
                values = [getattr(deliveries, column) for column in columns]
                rows.append([name, *(str(value if isinstance(value, int) else len(value)) for value in values)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        text = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        for title, counter in (("ended", self.closes), ("refused", self.refusals), ("reset", self.resets)):
            if counter:
                text.append(f"{title}: " + ", ".join(f"{count} x {what}" for what, count in sorted(counter.items())))
        return "\n".join([*text, *(f"{what}: {value}" for what, value in self.notes)])

    def check(self) -> None:
        """Raise AssertionError if something is lost, duplicated or silently missed, or if there is another
        violation."""
        problems = [*self.violations]
        for name, deliveries in self.by_kind.items():
            for what in ("lost", "doubled", "silent"):
                found = getattr(deliveries, what)
                if found:
                    problems.append(f"{len(found)} {name} {what}, such as {found[:3]}")
        assert not problems, "\n".join(problems)
