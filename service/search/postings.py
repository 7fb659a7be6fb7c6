"""Postings: which messages of a chunk have which terms."""

import asyncio
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

from bson import Binary

Result = TypeVar("Result")

NUMBER = "H"
"""The array type of counts and offsets: 16 bits, little-endian, as on every machine that Loa runs on."""
NUMBER_BYTES = 2
LARGE = 5000
"""Offsets, with which a computation takes some milliseconds."""
LAST = chr(0x10FFFF)
"""Sorts behind every character of a term."""


class Postings:
    """Terms in sorted order, and for each the offsets of its messages in the chunk, ascending.

    The terms with one prefix are neighbours, and so are their offsets: what a prefix matches is one slice.
    """

    __slots__ = ("_counts", "_offsets", "_terms")

    def __init__(self, terms: list[str], counts: "array[int]", offsets: "array[int]") -> None:
        """`counts` has the number of offsets of each term."""
        self._terms = terms
        self._counts = counts
        self._offsets = offsets

    @classmethod
    def of(cls, offsets: Mapping[str, Iterable[int]]) -> "Postings":
        """Return the postings of these terms; their offsets ascend."""
        terms = sorted(offsets)
        counts, joined = array(NUMBER), array(NUMBER)
        for term in terms:
            before = len(joined)
            joined.extend(offsets[term])
            counts.append(len(joined) - before)
        return cls(terms, counts, joined)

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "Postings":
        """Return the postings in a stored document."""
        terms = document["terms"].split("\n") if document["terms"] else []
        return cls(terms, array(NUMBER, document["counts"]), array(NUMBER, document["offsets"]))

    def as_fields(self) -> dict[str, Any]:
        """Return the fields of a document that `parse` reads. No term contains a line break."""
        return {
            "terms": "\n".join(self._terms),
            "counts": Binary(self._counts.tobytes()),
            "offsets": Binary(self._offsets.tobytes()),
        }

    def __len__(self) -> int:
        """How many offsets there are; at least as many as terms."""
        return len(self._offsets)

    def matching(self, prefix: str, *, exact: bool = False) -> set[int]:
        """Return the offsets of the messages that have a term with this prefix, or, if `exact`, this term."""
        first = bisect_left(self._terms, prefix)
        if exact:
            last = first + (self._terms[first : first + 1] == [prefix])
        else:
            last = bisect_left(self._terms, prefix + LAST, first)
        before = sum(self._counts[:first])
        return set(self._offsets[before : before + sum(self._counts[first:last])])

    def items(self) -> Iterator[tuple[str, "array[int]"]]:
        """Yield each term with its offsets."""
        ends = list(accumulate(self._counts))
        for term, count, end in zip(self._terms, self._counts, ends, strict=True):
            yield term, self._offsets[end - count : end]

    def fitting(self, max_bytes: int) -> "Postings":
        """Return these postings; without the rarest terms, if all of them take more than `max_bytes` of a document."""
        if _bytes_of(self._terms, len(self._offsets)) <= max_bytes:
            return self
        kept: dict[str, array[int]] = {}
        for term, offsets in sorted(self.items(), key=lambda item: len(item[1]), reverse=True):
            max_bytes -= _bytes_of([term], len(offsets))
            if max_bytes < 0:
                break
            kept[term] = offsets
        return Postings.of(kept)

    def replaced(self, added: Mapping[int, Iterable[str]]) -> "Postings | None":
        """Return the postings if the messages at these offsets have these terms instead of those they have had.

        None if that changes nothing.
        """
        found = {term: set(offsets) for term, offsets in self.items()}
        before = {term: set(offsets) for term, offsets in found.items()}
        for offsets in found.values():
            offsets.difference_update(added)
        for offset, terms in added.items():
            for term in terms:
                found.setdefault(term, set()).add(offset)
        found = {term: offsets for term, offsets in found.items() if offsets}
        if found == before:
            return None
        return Postings.of({term: sorted(offsets) for term, offsets in found.items()})


async def computed(function: Callable[[], Result], postings: Iterable[Postings]) -> Result:
    """Return the result of `function`, which is called in a thread if the postings that it takes are large: a bucket
    of invented words takes up to a second, in which others have their turn."""
    if sum(map(len, postings)) > LARGE:
        return await asyncio.to_thread(function)
    return function()


def _bytes_of(terms: Sequence[str], offsets: int) -> int:
    """Return what terms with that many offsets take in a document."""
    return sum(len(term.encode()) + 1 for term in terms) + NUMBER_BYTES * (len(terms) + offsets)
