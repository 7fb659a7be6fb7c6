"""The account of a run: every message that was sent, and what became of it."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass
class Line:
    """One kind of thing that is said: messages, or comments and the notifications that they owe.

    `sent` and `acknowledged` are by nonce: where it was said (a conversation, a post), and the id that came back.
    `received` counts what clients were told live, `fetched` what they asked for after they had been told that they
    missed something; `overlap` what came again in such an answer, which numbers sort out.
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
    """Gaps that a client found by itself, with nobody having told it of one."""

    def acknowledge(self, nonce: str, id: str) -> None:
        before = self.acknowledged.setdefault(nonce, id)
        if before != id:
            self.doubled.append(f"{nonce} was acknowledged as {before} and as {id}")


class Account:
    """`ended`: connections by close code and reason; `refused`: answers that were no success, by status."""

    def __init__(self) -> None:
        self.messages = Line()
        self.notifications = Line()
        self.ended: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.resets: Counter[str] = Counter()
        self.notes: list[tuple[str, str]] = []
        self.wrong: list[str] = []
        """Whatever else a client must never see."""

    @property
    def lines(self) -> dict[str, Line]:
        return {"messages": self.messages, "notifications": self.notifications}

    def note(self, what: str, value: object) -> None:
        self.notes.append((what, str(value)))

    def table(self) -> str:
        """For a person to read."""
        columns = ("sent", "acknowledged", "stored", "received", "fetched", "overlap", "lost", "doubled", "silent")
        rows = [["", *columns]]
        for name, line in self.lines.items():
            if line.sent or line.received:
                values = [getattr(line, column) for column in columns]
                rows.append([name, *(str(value if isinstance(value, int) else len(value)) for value in values)])
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        text = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        for title, counter in (("ended", self.ended), ("refused", self.refused), ("reset", self.resets)):
            if counter:
                text.append(f"{title}: " + ", ".join(f"{count} x {what}" for what, count in sorted(counter.items())))
        return "\n".join([*text, *(f"{what}: {value}" for what, value in self.notes)])

    def check(self) -> None:
        """Nothing acknowledged is lost, nothing is doubled, nobody missed anything without being told."""
        wrong = [*self.wrong]
        for name, line in self.lines.items():
            for what in ("lost", "doubled", "silent"):
                found = getattr(line, what)
                if found:
                    wrong.append(f"{len(found)} {name} {what}, such as {found[:3]}")
        assert not wrong, "\n".join(wrong)
