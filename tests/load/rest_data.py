"""What the requests of `rest` read, in Loa's database and, the same, in that of the peers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from bson import ObjectId

from service.common.times import now
from tests.load.database import LoadDatabase, User, stored_message, text_of

PEOPLE = 30
"""Users with whom the callers have their conversations."""
NOTIFICATIONS = 100
"""Of each caller."""

Documents = dict[str, list[dict[str, Any]]]
"""Documents by collection."""


class Caller(NamedTuple):
    """A user who makes requests, the conversation with the longest history, and somebody's post to comment on."""

    user: User
    conversation_id: str
    post_id: str


def create_callers(database: LoadDatabase, peers: str, count: int, conversations: int, messages: int) -> list[Caller]:
    """Create `count` users with so many `conversations`, the last of which has so many `messages`; the others have one.

    All is written to Loa's database, and to the one with the suffix `peers`.
    """
    people, users = database.new_users(PEOPLE), database.new_users(count)
    template = database.run(database.stores.conversations.find(ObjectId(database.create_group(people[:1]))))
    documents: Documents = {name: [] for name in ("conversations", "messages", "posts", "inboxes", "notifications")}
    # The author of the posts has had no notification yet.
    documents["inboxes"].append({"_id": people[0].id, "last_seq": 0})
    callers = []
    for user in users:
        for number in range(conversations):
            sender, size = people[number % PEOPLE].id, messages if number == conversations - 1 else 1
            conversation = _add_conversation(documents, template, user.id, sender, size)
        post: dict[str, Any] = {
            "_id": ObjectId(),
            "author_id": people[0].id,
            "content": "What do you say?",
            "comment_count": 0,
        }
        documents["posts"].append({**post, "created_at": now()})
        add_notifications(documents, user.id, [person.id for person in people], range(1, NOTIFICATIONS + 1))
        callers.append(Caller(user, str(conversation), str(post["_id"])))
    database.insert(documents)
    database.insert(documents | {"users": database.documents_of([*people, *users])}, peers)
    return callers


def _add_conversation(
    documents: Documents, template: dict[str, Any], user_id: ObjectId, sender_id: ObjectId, size: int
) -> ObjectId:
    conversation_id, at = ObjectId(), now()
    messages = [stored_message(conversation_id, sender_id, seq, text_of(seq), at) for seq in range(1, size + 1)]
    last = {"last": {"seq": size, "id": messages[-1]["_id"]}, "last_rev": size, "last_activity": at}
    participants = {"_id": conversation_id, "participants": [sender_id, user_id], "owner_id": sender_id}
    documents["conversations"].append({**template, **participants, **last})
    documents["messages"] += messages
    return conversation_id


def add_notifications(documents: Documents, user_id: ObjectId, senders: Sequence[ObjectId], seqs: range) -> None:
    """Add the user's inbox, and their notifications with these numbers."""
    documents["inboxes"].append({"_id": user_id, "last_seq": seqs[-1]})
    documents["notifications"] += [
        {
            "_id": ObjectId(),
            "user_id": user_id,
            "type": "NEW_COMMENT",
            "sender_id": senders[seq % len(senders)],
            "preview": text_of(seq)[:100],
            "post_id": ObjectId(),
            "comment_id": ObjectId(),
            "created_at": now(),
            "seq": seq,
        }
        for seq in seqs
    ]
