"""Receives an upload into a temporary file, which vanishes with the process that has it."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import BinaryIO, NamedTuple

from service.attachments.file_type import HEAD_SIZE
from service.common.errors import TooLarge, Unavailable, ValidationFailed

WRITE_SIZE = 64 * 1024
"""Bytes that are gathered before they are written: all that an upload holds in memory."""


class Spooled(NamedTuple):
    """A received file. `digest`: SHA-256, in hex digits; `head`: its first HEAD_SIZE bytes."""

    file: BinaryIO
    size: int
    digest: str
    head: bytes


async def spool(pieces: AsyncIterator[bytes], max_bytes: int) -> Spooled:
    """Write all `pieces` to a file without a name; the caller closes it. If this fails or is cancelled, it is gone.

    Raises TooLarge beyond `max_bytes`, ValidationFailed if there is nothing, Unavailable if the disk is full.
    """
    file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    digest, size, waiting = hashlib.sha256(), 0, bytearray()

    def write(data: bytes) -> None:
        digest.update(data)
        file.write(data)

    try:
        async for piece in pieces:
            size += len(piece)
            if size > max_bytes:
                raise TooLarge(f"A file may have at most {max_bytes} bytes.")
            waiting += piece
            if len(waiting) >= WRITE_SIZE:
                # A disk may be slow: the loop does not wait for it.
                await asyncio.to_thread(write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(write, bytes(waiting))
        if not size:
            raise ValidationFailed.of("body", "The file is empty.")
        file.seek(0)
        return Spooled(file, size, digest.hexdigest(), file.read(HEAD_SIZE))
    except BaseException as error:
        # Closing writes what is still buffered, for which there may be no room.
        with suppress(OSError):
            file.close()
        if isinstance(error, OSError):
            raise Unavailable("The file cannot be received just now.", retry_after=60) from error
        raise


def digest_of(file: BinaryIO) -> tuple[int, str]:
    """Return the size and the SHA-256 of a file. Blocks."""
    file.seek(0)
    digest = hashlib.sha256()
    while data := file.read(WRITE_SIZE):
        digest.update(data)
    return file.tell(), digest.hexdigest()
