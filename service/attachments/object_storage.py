"""Attachments in an object store (S3, Google Cloud Storage, Azure) or a directory."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, BinaryIO

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from service.attachments.storage import PIECE
from service.common.errors import NotFound, Unavailable

PART = 5 * 1024 * 1024
"""Bytes of a part of a multipart upload: the smallest that S3 accepts."""
AZURE = "az://"
RETRY_TIMEOUT = timedelta(seconds=10)


class ObjectStorage:
    """Credentials come from the environment, under the names that the providers' own tools use."""

    def __init__(self, url: str) -> None:
        """`url`: `file:///directory`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://account/container/prefix`."""
        options: dict[str, Any] = {"mkdir": True} if url.startswith("file:") else {}
        if not options:
            options["retry_config"] = {"max_retries": 3, "retry_timeout": RETRY_TIMEOUT}
        if url.startswith(AZURE):
            # The library expects the account elsewhere.
            options["account_name"], _, path = url.removeprefix(AZURE).partition("/")
            url = AZURE + path
        self._store: Any = from_url(url, **options)

    async def write(self, key: str, file: BinaryIO) -> None:
        file.seek(0)
        first = await asyncio.to_thread(file.read, PART)
        with _unavailable():
            if len(first) < PART:
                # One request instead of three.
                await obstore.put_async(self._store, key, first, use_multipart=False)
                return
            file.seek(0)
            del first
            await obstore.put_async(self._store, key, _pieces(file), chunk_size=PART, max_concurrency=1)

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        # A request for each piece: a stream would run into the time limit of requests if its reader is slow.
        while start < end:
            with _unavailable():
                data = await obstore.get_range_async(self._store, key, start=start, end=min(end, start + PIECE))
            piece = bytes(data)
            if not piece:
                raise NotFound
            start += len(piece)
            yield piece

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            with suppress(NotFound), _unavailable():
                await obstore.delete_async(self._store, key)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while data := await asyncio.to_thread(file.read, PIECE):
        yield data


@contextmanager
def _unavailable() -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise NotFound from None
    except (BaseError, OSError) as error:
        raise Unavailable("The storage of attachments cannot be reached.") from error
