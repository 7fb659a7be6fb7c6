"""The use cases of attachments: upload, use, download, deletion."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol

from bson import ObjectId

from service.attachments.attachment_store import AttachmentStore, Claim, Kind
from service.attachments.attachments import BATCH, Attachments, key_of
from service.attachments.file_type import IMAGES, file_type
from service.attachments.images import ImageProcessor
from service.attachments.links import THUMBNAIL, AttachmentLinks, summary
from service.attachments.spool import Spooled, digest_of
from service.attachments.storage import Storage
from service.common.errors import NotFound, ValidationFailed
from service.common.text import safe_name
from service.common.times import now
from service.datastores.mongo import Document

CONCURRENT_WRITES = 4
"""Complete uploads that are being stored at the same time; each has a few megabytes in memory meanwhile."""
THUMBNAIL_TYPE = "image/webp"
NAMELESS = "file"
AVATAR_NAME = "avatar.webp"


class Holder(Protocol):
    """What attachments of one kind belong to: the messages, posts, comments or avatars."""

    async def holds(self, claim: Claim, attachment_id: ObjectId) -> bool:
        """Whether what `claim` names is stored, not deleted, and has this attachment. Raises Unavailable."""

    async def check_visible(self, viewer: str, claim: Claim, attachment_id: ObjectId) -> None:
        """Raises NotFound unless `holds` is true and the user `viewer` may see it; Unavailable."""


class StoredFile(NamedTuple):
    """A file that may be downloaded. `digest`: SHA-256 in hex digits."""

    key: str
    name: str
    content_type: str
    size: int
    digest: str


class AttachmentService:
    """All ids are strings of 24 hex digits. Every method raises Unavailable."""

    def __init__(
        self,
        store: AttachmentStore,
        storage: Storage,
        links: AttachmentLinks,
        attachments: Attachments,
        images: ImageProcessor,
        holders: Mapping[Kind, Holder],
    ) -> None:
        self._store = store
        self._storage = storage
        self._links = links
        self._attachments = attachments
        self._images = images
        self._holders = holders
        self._writes = asyncio.Semaphore(CONCURRENT_WRITES)

    async def add(self, user_id: str, name: str, received: Spooled) -> dict[str, Any]:
        """Store a received file, and close it; return the Attachment. An image is replaced by its processed form.

        Raises ValidationFailed if it claims to be an image, and none can be decoded: served as it is, it would keep the
        place where it was taken, and its owner would not know.
        """
        name = safe_name(name.replace("/", "_").replace("\\", "_"), len(name)) or NAMELESS
        content_type = file_type(received.head, name)
        with ExitStack() as files:
            files.callback(received.file.close)
            document: Document = {
                "_id": ObjectId(),
                "user_id": ObjectId(user_id),
                "name": name,
                "content_type": content_type,
                "size": received.size,
                "digest": received.digest,
                "width": None,
                "height": None,
                "thumbnail": None,
                "created_at": now(),
            }
            contents = {"": received.file}
            if kind := IMAGES.get(content_type):
                image = await self._images.process(received.file, kind)
                files.callback(image.close)
                document |= {"width": image.width, "height": image.height}
                document["size"], document["digest"] = await asyncio.to_thread(digest_of, image.file)
                size, digest = await asyncio.to_thread(digest_of, image.thumbnail)
                document["thumbnail"] = {"size": size, "digest": digest}
                contents = {"": image.file, THUMBNAIL: image.thumbnail}
            async with self._writes:
                await self._store.insert(document)
                try:
                    for part, file in contents.items():
                        await self._storage.write(key_of(document["_id"], part), file)
                    await self._store.complete(document["_id"])
                except BaseException:
                    # If this fails, too, the sweep does it.
                    await self._attachments.remove([document["_id"]])
                    raise
        return self._links.as_json(summary(document))

    async def describe(self, user_id: str, attachment_id: str, description: str) -> dict[str, Any]:
        """Set what an image of the user's shows, for those who do not see it; return the Attachment. Raises NotFound,
        also if it has been used; ValidationFailed (`description`) if it is no image, used or not."""
        document = await self._store.describe(user_id, attachment_id, description)
        if document is None:
            found = await self._store.get(attachment_id)
            if found and found["user_id"] == ObjectId(user_id) and not found["thumbnail"]:
                raise ValidationFailed.of("description", "Only an image has a description.")
            raise NotFound
        return self._links.as_json(summary(document))

    async def file(self, viewer: str | None, attachment_id: str, part: str = "") -> StoredFile:
        """Return the file, or its THUMBNAIL. `viewer`: None if the URL is signed. Raises NotFound, also if the viewer
        does not see what it belongs to."""
        document = await self._store.get(attachment_id)
        if document is None or (part and not document["thumbnail"]):
            raise NotFound
        if viewer is not None:
            await self._check_visible(viewer, document)
        return _part_of(document, part)

    async def avatar(self, attachment_id: str) -> StoredFile:
        """Return the thumbnail of an image that is somebody's avatar, for everyone: without the name that the file has
        on its owner's device. Raises NotFound."""
        document = await self._store.get(attachment_id)
        if document is None or not document.get("claim") or document["claim"]["kind"] != "avatar":
            raise NotFound
        if not await self._is_held(document):
            raise NotFound
        return _part_of(document, THUMBNAIL)._replace(name=AVATAR_NAME)

    def read(self, file: StoredFile, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to but without `end`. Raises NotFound if it has been deleted meanwhile."""
        return self._storage.read(file.key, start, end)

    async def sweep(self) -> int:
        """Delete attachments that nobody has used in time, and what interrupted uploads and deletions have left.

        Returns the number of those it looked at, 0 if there are no more.
        """
        moment = now()
        found = await self._store.expired(moment, BATCH)
        kept = [document["_id"] for document in found if await self._is_held(document)]
        if kept:
            await self._store.keep(kept, moment)
        if left := [document["_id"] for document in found if document["_id"] not in kept]:
            await self._attachments.remove(await self._store.withdraw(left, moment))
        return len(found)

    async def _is_held(self, document: Document) -> bool:
        if not document.get("claim"):
            return False
        claim = Claim.from_document(document["claim"])
        return await self._holders[claim.kind].holds(claim, document["_id"])

    async def _check_visible(self, viewer: str, document: Document) -> None:
        if not document.get("claim"):
            if document["user_id"] != ObjectId(viewer):
                raise NotFound
            return
        claim = Claim.from_document(document["claim"])
        await self._holders[claim.kind].check_visible(viewer, claim, document["_id"])


def _part_of(document: Document, part: str) -> StoredFile:
    content = document["thumbnail"] if part else document
    content_type = THUMBNAIL_TYPE if part else document["content_type"]
    return StoredFile(key_of(document["_id"], part), document["name"], content_type, content["size"], content["digest"])
