"""What messages, posts and comments do with attachments: claim them, show them, delete them."""

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import structlog
from bson import ObjectId

from service.attachments.attachment_store import AttachmentStore, Claim
from service.attachments.links import THUMBNAIL, AttachmentLinks, summary
from service.attachments.storage import Storage
from service.common.errors import ValidationFailed
from service.common.tasks import count_failure
from service.datastores.mongo import Document

log = structlog.get_logger()

FIELD = "attachments"
"""The stored field of a message, post or comment with the `summary` of each of its attachments. Absent without any."""

NUL = "\0"
BATCH = 100
"""Attachments that are deleted in one step."""


class Attachments:
    """The attachments of what is stored elsewhere. Methods raise Unavailable.

    A service that stores something with attachments claims them first, and keeps what `claim` returns in FIELD. One
    that deletes it calls `expire` before and `remove_later` after that.
    """

    def __init__(self, store: AttachmentStore, storage: Storage, links: AttachmentLinks) -> None:
        self._store = store
        self._storage = storage
        self._links = links
        self._removals: set[asyncio.Task[None]] = set()

    async def claim(self, claims: Mapping[Claim, Collection[ObjectId]]) -> dict[Claim, list[Document] | None]:
        """See `AttachmentStore.claim`; returns the summary of each attachment."""
        found = await self._store.claim(claims)
        return {claim: None if each is None else list(map(summary, each)) for claim, each in found.items()}

    async def claim_all(self, claim: Claim, ids: Sequence[str]) -> list[Document]:
        """Like `claim`, for one claim of ids in hex digits. Raises ValidationFailed (`attachments`)."""
        if not ids:
            return []
        found = (await self.claim({claim: list(map(ObjectId, ids))}))[claim]
        if found is None:
            raise not_claimable()
        return found

    def as_json(self, stored: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the Attachments of a stored message, post or comment."""
        return self._links.list_of(stored.get(FIELD, ()))

    async def expire(self, ids: Collection[ObjectId]) -> None:
        """To be called before what these belong to is deleted: if that is interrupted, the sweep finds them."""
        await self._store.expire(ids)

    def remove_later(self, ids: Collection[ObjectId]) -> None:
        """Delete these in the background. If that fails, the sweep does it."""
        task = asyncio.create_task(self._remove(ids))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def remove(self, ids: Collection[ObjectId]) -> None:
        """Delete these with their bytes. Idempotent; an interrupted deletion is completed by the sweep."""
        if ids:
            await self._storage.delete([key_of(each, part) for each in ids for part in ("", THUMBNAIL)])
            await self._store.delete(ids)

    async def remove_of_user(self, user_id: str) -> None:
        """Delete all attachments of a user. Idempotent."""
        while ids := await self._store.of_user(user_id, BATCH):
            await self.remove(ids)

    async def close(self) -> None:
        """Wait for what is being deleted."""
        while self._removals:
            await asyncio.wait(self._removals)

    async def _remove(self, ids: Collection[ObjectId]) -> None:
        try:
            await self.remove(ids)
        except Exception as error:
            count_failure("attachment_removal")
            log.warning("attachments_not_deleted", error=type(error).__name__)


def not_claimable() -> ValidationFailed:
    return ValidationFailed.of("attachments", "There is no such file of yours, or it has been used.")


def repeatable_nonce(nonce: str | None, attachments: Sequence[str]) -> str | None:
    """Return the nonce of a message or comment. Without one, it is made of its attachments, which nothing else has: a
    request with files is repeatable in any case. It begins with a NUL, which no client's nonce has."""
    if nonce is not None or not attachments:
        return nonce
    return NUL + hashlib.blake2b("\n".join(attachments).encode(), digest_size=16).hexdigest()


def own_nonce(nonce: str | None) -> str | None:
    """Return the nonce if the client has chosen it."""
    return None if nonce is None or nonce.startswith(NUL) else nonce


def ids_in(stored: Mapping[str, Any]) -> list[ObjectId]:
    """Return the ids of the attachments of a stored message, post or comment."""
    summaries: Iterable[Document] = stored.get(FIELD, ())
    return [each["id"] for each in summaries]


def key_of(attachment_id: ObjectId, part: str) -> str:
    """Return the key of an attachment's bytes in the storage, or of its THUMBNAIL's."""
    return f"{attachment_id}.{part}" if part else str(attachment_id)
