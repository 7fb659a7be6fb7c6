"""What is stored with each change of a group, so that it is announced even if the process that made it ends."""

from service.chat.system_message import SystemMessage
from service.common.times import now
from service.datastores.mongo import Document

UNANNOUNCED = "unannounced"
"""The stored field that marks a conversation with a change that may not have been published: the time of the change."""
UNANNOUNCED_REMOVALS = "unannounced_removals"
"""Stored with it: the users who were removed, if that may not have been published to them."""
PENDING_MESSAGES = "pending_messages"
"""Stored with it: the system messages that may not have been appended yet. Each is there until it has been."""
CHANGED_AT = "changed_at"
"""The stored field with the time of the last version. Who has lost the history of changes finds them by it."""

CLEARINGS = "clearings"
"""The stored field that counts the versions that did not change who the participants are: one of them has deleted their
history."""


def versioned(change: Document) -> Document:
    """Return the update `change` of a conversation with what leads to its next version."""
    return {
        **change,
        "$set": {**change.get("$set", {}), CHANGED_AT: now()},
        "$inc": {**change.get("$inc", {}), "version": 1},
    }


def recorded(change: Document, *messages: SystemMessage) -> Document:
    """Return the update `change` of a group with what leads to its next version, which ConversationAnnouncer publishes.
    It also appends `messages`."""
    change = versioned(change)
    change["$set"][UNANNOUNCED] = change["$set"][CHANGED_AT]
    if messages:
        pending = {"$each": [message.as_document() for message in messages]}
        change["$push"] = {**change.get("$push", {}), PENDING_MESSAGES: pending}
    return change
