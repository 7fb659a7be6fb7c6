"""A strict reader of `text/event-stream`, after the WHATWG HTML standard, 9.2.6, as in browsers."""

import codecs
import re
from collections.abc import Iterator
from typing import NamedTuple

LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n)")


class Event(NamedTuple):
    """What a browser dispatches. `type` is "message" where the event has no name; `id` is the last one that was set."""

    type: str
    data: str
    id: str


class Parser:
    """Bytes in, events out. It refuses what a browser passes over in silence: a server has no reason to send it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._text = ""
        self._begun = False
        self._after_cr = False
        self._type = ""
        self._data: list[str] = []
        self.id = ""
        self.retries: list[int] = []
        self.comments: list[str] = []
        self.blocks_without_data = 0
        """A browser passes over them; some clients make an empty message of each."""
        self.ids: list[str] = []
        """Every id that was set, in order: those with an event of their own and any other."""

    def feed(self, data: bytes) -> Iterator[Event]:
        text = self._decoder.decode(data)
        if text and not self._begun:
            self._begun = True
            text = text.removeprefix("\ufeff")
        if text and self._after_cr:
            # The LF of a CRLF that was cut in two; the line had ended with the CR.
            self._after_cr = False
            text = text.removeprefix("\n")
        self._text += text
        at = 0
        while match := LINE.match(self._text, at):
            at = match.end()
            if event := self._line(match[1]):
                yield event
        self._after_cr = at > 0 and at == len(self._text) and self._text.endswith("\r")
        self._text = self._text[at:]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field:
            self.comments.append(value)
        elif field == "event":
            self._type = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self.id = value
            self.ids.append(value)
        elif field == "retry" and re.fullmatch("[0-9]+", value):
            self.retries.append(int(value))
        else:
            raise AssertionError(f"a line that means nothing: {line!r}")
        return None

    def _dispatch(self) -> Event | None:
        type_, data = self._type or "message", self._data
        self._type, self._data = "", []
        if not data:
            self.blocks_without_data += 1
            return None
        return Event(type_, "\n".join(data), self.id)
