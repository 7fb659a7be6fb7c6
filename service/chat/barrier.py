"""The barrier in a direct conversation while one of the two users blocks the other."""

from bson import ObjectId

from service.datastores.mongo import Document

KIND = "barrier"

BARRIER = "barrier"
"""The field of a conversation with the id of its barrier."""
BLOCKED_BY = "blocked_by"
"""The field of a conversation with the users who block the other. A conversation that has a barrier, but not this
field, is new: the blocks of its users have not been looked up yet."""


def barrier_message(conversation_id: ObjectId, barrier_id: ObjectId, seq: int) -> Document:
    """Return the document that takes `seq`, the next number, until nobody blocks anybody any more.

    It has no `rev`, so nobody reads it as a message; of the revs it takes 0, which no message has.
    """
    return {
        "_id": barrier_id,
        "conversation_id": conversation_id,
        "seq": seq,
        "claims": [0],
        "kind": KIND,
        "content": "",
        "deleted": False,
        "reactions": {},
    }


def is_barrier(document: Document) -> bool:
    """Return whether a document in the collection of messages is a barrier."""
    return document.get("kind") == KIND
