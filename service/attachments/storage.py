"""Where the bytes of attachments are: in the database, or where ATTACHMENTS_URL says."""

from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO, Protocol

PIECE = 255 * 1024
"""Bytes that are read at a time, and a chunk of GridFS: all that a download holds in memory."""


class Storage(Protocol):
    """Files by key, written once. Methods raise Unavailable."""

    async def write(self, key: str, file: BinaryIO) -> None:
        """Store all of `file`, a piece at a time. If that fails, or is cancelled, something of it may be stored."""

    def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to but without `end`, piece by piece. Raises NotFound if one is missing."""

    async def delete(self, keys: Sequence[str]) -> None:
        """Delete these files, as far as they exist, and what is left of interrupted writes."""


def file_storage(url: str, in_database: Storage) -> Storage:
    """Return the storage that ATTACHMENTS_URL names, or `in_database` if it is empty."""
    if not url:
        return in_database
    # Not before it is needed: loading the library takes a while.
    from service.attachments.object_storage import ObjectStorage

    return ObjectStorage(url)
