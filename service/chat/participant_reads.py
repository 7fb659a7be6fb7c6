"""What conversations have for their participants, read together for those who ask at the same time."""

from collections.abc import Sequence

from bson import ObjectId

from service.datastores.batcher import BATCH_TIMEOUT, Batcher
from service.datastores.find_by_ids import IDS_PER_READ, find_by_ids
from service.datastores.mongo import Collection as MongoCollection
from service.datastores.mongo import Document

COUNTERS: Document = dict.fromkeys(("version", "last", "last_rev", "last_deleted"), 1)
OWN = ("reads", "starts")
"""The fields that have an entry for each participant."""


class ParticipantReads:
    """Reads the counters, the version, and the read mark and start of one participant, of conversations whose documents
    list the participants.

    The participants are compared here, in the document that is returned, which was read after the call. As a condition
    of a read for several users they would not say who of them is in which conversation, and a database may look for all
    conversations of these users.
    """

    def __init__(self, conversations: MongoCollection) -> None:
        self._collection = conversations
        self._reads: Batcher[tuple[ObjectId, ObjectId], Document | None] = Batcher(
            self._read, max_batch=IDS_PER_READ, timeout=BATCH_TIMEOUT
        )

    async def get(self, conversation_id: ObjectId, user_id: ObjectId) -> Document | None:
        """Return the conversation, with `user_id`'s own entries of OWN only; None unless its document lists them.

        Raises Unavailable.
        """
        return await self._reads.submit((conversation_id, user_id))

    async def _read(self, requests: Sequence[tuple[ObjectId, ObjectId]]) -> list[Document | None]:
        users = {user_id for _, user_id in requests}
        own = {f"{name}.{user_id}": 1 for user_id in users for name in OWN}
        found = await find_by_ids(
            self._collection,
            {conversation_id for conversation_id, _ in requests},
            {"participants": 1, **COUNTERS, **own},
        )
        by_id = {document["_id"]: document for document in found}
        return [_seen_by(user_id, by_id.get(conversation_id)) for conversation_id, user_id in requests]


def _seen_by(user_id: ObjectId, document: Document | None) -> Document | None:
    if document is None or user_id not in document["participants"]:
        return None
    key = str(user_id)
    # Of the others nothing. A copy, because each caller raises the counters of its own.
    seen = {name: value for name, value in document.items() if name != "participants" and name not in OWN}
    return seen | {name: {key: document[name][key]} for name in OWN if key in document.get(name, ())}
