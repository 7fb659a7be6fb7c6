"""The store of what is known about attachments; their bytes are in a Storage."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from bson import ObjectId
from pymongo import ReturnDocument, UpdateOne

from service.common.times import now
from service.datastores.find_by_ids import find_by_ids
from service.datastores.mongo import Database, Document, unavailable, update_all

UPLOAD_TIME = timedelta(hours=1)
"""After this time, an upload that is not completed has been interrupted."""
UNUSED_TIME = timedelta(hours=24)
DELETION_TIME = timedelta(hours=1)
"""After this time, what is being deleted is deleted, or the deletion was interrupted."""

Kind = Literal["message", "post", "comment", "avatar"]


class Claim(NamedTuple):
    """What an attachment belongs to: a message, post or comment that will be stored, or a user's avatar.

    `list_id`: the conversation of a message, the post of a comment, else None. `object_id`: its id, or None if it is
    identified by `nonce` and its author: a repeated request is then the same claim.
    """

    kind: Kind
    list_id: ObjectId | None
    author_id: ObjectId
    object_id: ObjectId | None
    nonce: str | None = None

    def as_document(self) -> Document:
        return self._asdict()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Claim":
        return cls(**document)


class AttachmentStore:
    """`attachments`: `{user_id, name, description?, content_type, size, width, height, digest, thumbnail, created_at,
    stored?, claim?, expires_at?}`.

    `digest` is the SHA-256 of the bytes. `thumbnail`: its `{size, digest}`, or None. `stored`: the upload is complete,
    and the attachment is not being deleted by the sweep.
    `claim`: what it belongs to; it never changes, so an attachment is used once.

    Without `expires_at`, an attachment belongs to something that is stored. Whatever may change that sets `expires_at`
    first. Once that time has come, `AttachmentService.sweep` looks whether what the claim names exists: if so it
    removes `expires_at`, else it deletes the attachment. So a crash at any point leaves nothing behind and loses
    nothing.
    """

    def __init__(self, database: Database) -> None:
        self._attachments = database["attachments"]

    async def create_indexes(self) -> None:
        await self._attachments.create_index([("user_id", 1), ("_id", 1)])
        await self._attachments.create_index(
            [("expires_at", 1)], partialFilterExpression={"expires_at": {"$exists": True}}
        )

    async def insert(self, attachment: Document) -> None:
        """Store an attachment of which the bytes are not stored yet. Raises Unavailable."""
        async with unavailable():
            await self._attachments.insert_one({**attachment, "expires_at": now() + UPLOAD_TIME})

    async def complete(self, attachment_id: ObjectId) -> None:
        """Record that the bytes are stored. Raises Unavailable."""
        change = {"stored": True, "expires_at": now() + UNUSED_TIME}
        async with unavailable():
            await self._attachments.update_one({"_id": attachment_id}, {"$set": change})

    async def get(self, attachment_id: str) -> Document | None:
        """Return an attachment whose bytes are stored, or None. Raises Unavailable."""
        async with unavailable():
            found: Document | None = await self._attachments.find_one({"_id": ObjectId(attachment_id), "stored": True})
        return found

    async def describe(self, user_id: str, attachment_id: str, description: str) -> Document | None:
        """Set the description of an image that the user has not used yet, and return it; None if there is none. Raises
        Unavailable."""
        where = {
            "_id": ObjectId(attachment_id),
            "user_id": ObjectId(user_id),
            "stored": True,
            "claim": None,
            "thumbnail": {"$ne": None},
        }
        async with unavailable():
            found: Document | None = await self._attachments.find_one_and_update(
                where, {"$set": {"description": description or None}}, return_document=ReturnDocument.AFTER
            )
        return found

    async def claim(self, claims: Mapping[Claim, Collection[ObjectId]]) -> dict[Claim, list[Document] | None]:
        """Claim attachments for what is about to be stored; by claim, return them in their order, or None if one of
        them is not the author's, or belongs to something else. Can be repeated. Raises Unavailable.

        A claim that fails claims nothing, unless another request takes one of its attachments at the same moment. What
        it claimed then is deleted with everything else that is not used.
        """
        found = await self._claimable(claims)
        updates = [
            UpdateOne(
                {
                    "_id": each,
                    "user_id": claim.author_id,
                    "stored": True,
                    "claim": {"$in": [None, claim.as_document()]},
                },
                {"$set": {"claim": claim.as_document(), "expires_at": now() + UNUSED_TIME}},
            )
            for claim, documents in found.items()
            for each in (document["_id"] for document in documents or ())
        ]
        if not updates:
            return found
        await update_all(self._attachments, updates)
        # Read again: another request may have been faster.
        confirmed = await self._claimable({claim: claims[claim] for claim, each in found.items() if each})
        return found | {
            claim: documents if documents and all(each.get("claim") for each in documents) else None
            for claim, documents in confirmed.items()
        }

    async def _claimable(self, claims: Mapping[Claim, Collection[ObjectId]]) -> dict[Claim, list[Document] | None]:
        """By claim, return those attachments that it has or could have, or None if these are not all."""
        ids = {each for wanted in claims.values() for each in wanted}
        known = {document["_id"]: document for document in await find_by_ids(self._attachments, ids)}
        result: dict[Claim, list[Document] | None] = {}
        for claim, wanted in claims.items():
            documents = [document for each in wanted if (document := known.get(each))]
            suits = all(
                each.get("stored")
                and each["user_id"] == claim.author_id
                and each.get("claim") in (None, claim.as_document())
                for each in documents
            )
            result[claim] = documents if suits and len(documents) == len(wanted) else None
        return result

    async def expire(self, ids: Collection[ObjectId]) -> None:
        """Announce that what these belong to is about to be deleted. Raises Unavailable."""
        async with unavailable():
            await self._attachments.update_many(
                {"_id": {"$in": list(ids)}}, {"$set": {"expires_at": now() + DELETION_TIME}}
            )

    async def keep(self, ids: Collection[ObjectId], before: datetime) -> None:
        """Remove `expires_at` if it is still earlier: what these belong to is stored. Raises Unavailable."""
        async with unavailable():
            await self._attachments.update_many(_still_expired(ids, before), {"$unset": {"expires_at": ""}})

    async def withdraw(self, ids: Collection[ObjectId], before: datetime) -> list[ObjectId]:
        """Let nobody claim or read these any more, if `expires_at` is still earlier. Returns those. Raises Unavailable.

        A request that claims one at the last moment keeps it.
        """
        where = _still_expired(ids, before)
        async with unavailable():
            await self._attachments.update_many(where, {"$set": {"stored": False}})
            found = await self._attachments.find(where, {"_id": 1}).to_list(None)
        return [document["_id"] for document in found]

    async def expired(self, before: datetime, limit: int) -> list[Document]:
        """Return up to `limit` attachments whose `expires_at` is earlier. Raises Unavailable."""
        async with unavailable():
            found: list[Document] = (
                await self._attachments.find({"expires_at": {"$lt": before}}).limit(limit).to_list(limit)
            )
        return found

    async def of_user(self, user_id: str, limit: int) -> list[ObjectId]:
        """Return up to `limit` attachments of a user. Raises Unavailable."""
        async with unavailable():
            found = await self._attachments.find({"user_id": ObjectId(user_id)}, {"_id": 1}).limit(limit).to_list(limit)
        return [document["_id"] for document in found]

    async def delete(self, ids: Collection[ObjectId]) -> None:
        """Delete what is known about these; their bytes have been deleted. Raises Unavailable."""
        async with unavailable():
            await self._attachments.delete_many({"_id": {"$in": list(ids)}})


def _still_expired(ids: Collection[ObjectId], before: datetime) -> Document:
    return {"_id": {"$in": list(ids)}, "expires_at": {"$lt": before}}
