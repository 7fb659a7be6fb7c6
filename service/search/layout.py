"""Where the index of a conversation has which messages: pure arithmetic on their numbers (seq).

The messages of a conversation are indexed in *blocks* of BLOCK, in the order of their seq. Each block that is full is a
chunk of level 0. FAN chunks of one level become one of the next level, as in a log-structured merge tree, so a million
messages have some forty chunks. A chunk of level n is stored as FAN**n *buckets*, each with a part of the terms: so all
documents have about the same size, and a search reads one bucket of each chunk for a word.

The number of full blocks alone says which chunks there are.
"""

from collections.abc import Iterator
from typing import NamedTuple

BLOCK = 128
BITS = 2
FAN = 1 << BITS
TOP = 4
"""The highest level: 32,768 messages in 256 buckets. There are any number of these chunks."""
CODE_BITS = BITS * TOP
SECOND_BITS = 3
"""The bits of a term's code that depend on its second character. The higher ones depend on the first."""
MULTIPLIER = 0x9E3779B1
"""2**32 divided by the golden ratio: spreads neighbouring characters (Knuth, The Art of Computer Programming, 6.4)."""


class Chunk(NamedTuple):
    """The `number`-th chunk of its level, from 0."""

    level: int
    number: int

    @property
    def size(self) -> int:
        return BLOCK << (BITS * self.level)

    @property
    def before(self) -> int:
        """The seq before its first message: a message's offset in the chunk is its seq minus this, minus 1."""
        return self.number * self.size

    @property
    def buckets(self) -> int:
        return 1 << (BITS * self.level)

    @property
    def children(self) -> list["Chunk"]:
        """The chunks of the level below that become this one."""
        return [Chunk(self.level - 1, self.number * FAN + index) for index in range(FAN)]


def chunks(blocks: int) -> list[Chunk]:
    """Return the chunks of a conversation with that many full blocks, the newest messages first."""
    found: list[Chunk] = []
    covered = 0
    for level in range(TOP, -1, -1):
        shift = BITS * level
        count = (blocks - covered) >> shift
        found += [Chunk(level, (covered >> shift) + index) for index in range(count)]
        covered += count << shift
    return found[::-1]


def covering(blocks: int, seq: int) -> Chunk | None:
    """Return the chunk that has the message with this seq; None if it is in no full block."""
    return next((each for each in chunks(blocks) if each.before < seq <= each.before + each.size), None)


def completed(blocks: int) -> Iterator[Chunk]:
    """Yield the chunks of level 1 and higher that the last of `blocks` completes, the lowest level first."""
    for level in range(1, TOP + 1):
        if blocks % (1 << (BITS * level)):
            return
        yield Chunk(level, (blocks >> (BITS * level)) - 1)


def bucket_of(term: str, level: int) -> int:
    """Return the bucket of a term in chunks of that level."""
    return _code(term) >> (CODE_BITS - BITS * level)


def buckets_of_prefix(prefix: str, level: int) -> range:
    """Return the buckets that have all terms with this prefix: one, unless it has a single character."""
    first = _code(prefix)
    last = first if len(prefix) > 1 else first | ((1 << SECOND_BITS) - 1)
    shift = CODE_BITS - BITS * level
    return range(first >> shift, (last >> shift) + 1)


def _code(term: str) -> int:
    """Return CODE_BITS bits that depend on the first two characters."""
    code = _hash(term[0], CODE_BITS - SECOND_BITS) << SECOND_BITS
    return code | _hash(term[1], SECOND_BITS) if len(term) > 1 else code


def _hash(character: str, bits: int) -> int:
    return (ord(character) * MULTIPLIER & 0xFFFFFFFF) >> (32 - bits)
