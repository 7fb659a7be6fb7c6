"""Pages of a numbered list in which numbers may be missing, read in bounded ranges of numbers.

A sort with a limit would be simpler. But the embedded database reads everything that matches before it sorts by a
number, which is the rest of the list for each page.
"""

from collections.abc import Awaitable, Callable

from service.datastores.mongo import Document

MAX_READ = 256
"""Documents of one read, at most."""

ReadRange = Callable[[int, int, int], Awaitable[list[Document]]]
"""`read(first, last, limit)` returns at most `limit` of the documents with these numbers, in no order."""


async def descending(read: ReadRange, number: str, below: int, limit: int) -> list[Document]:
    """Return the `limit` documents with the highest numbers below `below`, descending. `number` is the field's name.

    Raises what `read` raises.
    """
    found: list[Document] = []
    high, width = below - 1, limit
    while high >= 1 and len(found) < limit:
        low = max(1, high - width + 1)
        documents = await read(low, high, MAX_READ + 1)
        if len(documents) > MAX_READ:
            # Which of them were returned is not certain. MAX_READ numbers have no more than MAX_READ documents.
            width = MAX_READ
            continue
        found += sorted(documents, key=lambda document: int(document[number]), reverse=True)
        high, width = low - 1, _next_width(width, len(documents))
    return found[:limit]


async def ascending(read: ReadRange, number: str, above: int, last: int, limit: int) -> list[Document]:
    """Return the `limit` documents with the lowest numbers above `above`, ascending. `number` is the field's name.

    `last` is a number that the list has reached. Documents above it are found, too, unless more than `limit` numbers
    in a row are missing there. Raises what `read` raises.
    """
    found: list[Document] = []
    low, width, end = above + 1, limit, max(last, above + limit)
    while low <= end and len(found) < limit:
        high = min(end, low + width - 1)
        documents = await read(low, high, MAX_READ + 1)
        if len(documents) > MAX_READ:
            width = MAX_READ
            continue
        found += sorted(documents, key=lambda document: int(document[number]))
        if found:
            end = max(end, found[-1][number] + limit - len(found))
        low, width = high + 1, _next_width(width, len(documents))
    return found[:limit]


def _next_width(width: int, found: int) -> int:
    """Return how many numbers the next read covers: more where few of them have a document."""
    return max(MAX_READ, MAX_READ * width // (2 * max(1, found)))
