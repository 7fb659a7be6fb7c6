"""The store of invitations to groups: by the hash of their token."""

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from bson import ObjectId
from pymongo import DESCENDING, IndexModel

from service.common.times import now
from service.datastores.mongo import Database, Document, unavailable

LIFETIME = timedelta(days=7)
MAX_OPEN = 50
"""Open invitations of a group: with one more, the oldest ends. Nobody has to choose which of them to end."""
FORMAT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Invitation:
    """An open invitation. It admits only as long as the inviter may invite: see GroupStore."""

    conversation_id: ObjectId
    inviter_id: ObjectId
    created_at: datetime
    expires_at: datetime


class InvitationStore:
    """`invitations`: one document each, with the SHA-256 hash of the token as its id.

    A token has 256 random bits, so nobody finds it by trying, and a slow hash would add nothing. Whoever reads the
    database cannot join with what they find. All methods raise Unavailable.
    """

    def __init__(self, database: Database) -> None:
        self._collection = database["invitations"]

    async def create_indexes(self) -> None:
        await self._collection.create_indexes(
            [
                IndexModel([("conversation_id", 1), ("created_at", DESCENDING)]),
                IndexModel([("expires_at", 1)], expireAfterSeconds=0),
            ]
        )

    async def add(self, conversation_id: ObjectId, inviter_id: ObjectId) -> tuple[str, datetime]:
        """Store a new invitation; return its token, which is not stored, and when it expires."""
        token, moment = secrets.token_urlsafe(32), now()
        document: Document = {
            "_id": _hash(token),
            "conversation_id": conversation_id,
            "inviter_id": inviter_id,
            "created_at": moment,
            "expires_at": moment + LIFETIME,
        }
        async with unavailable():
            await self._collection.insert_one(document)
            of_group = self._collection.find({"conversation_id": conversation_id}, {"_id": 1})
            oldest = await of_group.sort([("created_at", DESCENDING)]).skip(MAX_OPEN).to_list(None)
            if oldest:
                await self._collection.delete_many({"_id": {"$in": [found["_id"] for found in oldest]}})
        return token, document["expires_at"]

    async def find(self, token: str) -> Invitation | None:
        """Return the invitation with this token; None if there is none, or it has expired or ended."""
        if not FORMAT.fullmatch(token):
            return None
        async with unavailable():
            # The database deletes expired documents once a minute.
            found = await self._collection.find_one({"_id": _hash(token), "expires_at": {"$gt": now()}}, {"_id": 0})
        return Invitation(**found) if found else None

    async def end_all(self, conversation_id: ObjectId, inviter_id: ObjectId | None = None) -> None:
        """Delete the group's invitations; with `inviter_id`, only theirs."""
        selected: Document = {"conversation_id": conversation_id}
        if inviter_id is not None:
            selected["inviter_id"] = inviter_id
        async with unavailable():
            await self._collection.delete_many(selected)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
