"""Counting distinct senders in little space, whatever their number."""

import hashlib
from collections.abc import Iterable

from bson import ObjectId

SIZE = 1024
"""Hashes that are kept: 8 KB. Up to 1,023 senders the count is exact; above it is an estimate, with a standard error
of 3 %."""
HASH_BYTES = 8
RANGE = 1 << 8 * HASH_BYTES


class SenderSketch:
    """The lowest hashes of the senders (a k-minimum-values sketch: Bar-Yossef et al., 2002). The order in which they
    are added makes no difference, nor does adding one twice. The count never decreases."""

    def __init__(self, hashes: bytes = b"") -> None:
        """`hashes`: what `to_bytes` has returned."""
        self._hashes = {hashes[start : start + HASH_BYTES] for start in range(0, len(hashes), HASH_BYTES)}

    def add(self, senders: Iterable[ObjectId]) -> None:
        """Count these senders."""
        self._hashes |= {hashlib.blake2b(sender.binary, digest_size=HASH_BYTES).digest() for sender in senders}
        if len(self._hashes) > SIZE:
            self._hashes = set(sorted(self._hashes)[:SIZE])

    @property
    def count(self) -> int:
        """The number of distinct senders."""
        if len(self._hashes) < SIZE:
            return len(self._hashes)
        return (SIZE - 1) * RANGE // int.from_bytes(max(self._hashes), "big")

    def to_bytes(self) -> bytes:
        """Return the hashes, to be stored."""
        return b"".join(sorted(self._hashes))
