"""What a handler without Loa would do for each request of the workload `rest`: the same commands to the database, one
after the other, and the same answer, as a dict. No token is checked; the header X-User names the user.
"""

import os
from datetime import UTC, datetime
from typing import Any

from bson import ObjectId
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ReturnDocument, WriteConcern

PERSON = {"username": True, "display_name": True, "avatar": True}


def connect() -> Any:
    """The database of MONGODB_URI, with Loa's write concern."""
    client = AsyncIOMotorClient(os.environ["MONGODB_URI"], tz_aware=True)
    return client.get_default_database(write_concern=WriteConcern(w="majority", j=True))


async def conversations(database: Any, user_id: str, limit: int) -> dict[str, Any]:
    """The last active conversations, each with its participants, its last message and the unread count."""
    user = ObjectId(user_id)
    order = [("last_activity", -1), ("_id", -1)]
    found = await database.conversations.find({"participants": user}).sort(order).limit(limit + 1).to_list(None)
    await database.memberships.find({"user_id": user, "place": {"$gte": 0}}).to_list(None)
    ids = [conversation["_id"] for conversation in found]
    settings = await database.conversation_settings.find({"_id": {"$in": ids}, "user_id": user}).to_list(None)
    own = {setting["_id"]: setting for setting in settings}
    people = await _people(database, {member for each in found for member in each["participants"]})
    last_ids = [conversation["last"]["id"] for conversation in found]
    last = await database.messages.find({"_id": {"$in": last_ids}, "conversation_id": {"$in": ids}}).to_list(None)
    messages = {message["conversation_id"]: _message(message) for message in last}
    fields = {"last": 1, "last_rev": 1, f"reads.{user_id}": 1}
    heads = await database.conversations.find({"_id": {"$in": ids}, "participants": user}, fields).to_list(None)
    read = {head["_id"]: head["reads"].get(user_id, 0) for head in heads}
    items = [
        {
            "id": str(conversation["_id"]),
            "kind": conversation["kind"],
            "title": conversation["title"],
            "participant_count": len(conversation["participants"]),
            "participant_ids": [str(member) for member in conversation["participants"]],
            "participants": [people[member] for member in conversation["participants"]],
            "owner_id": str(conversation["owner_id"]),
            "history": conversation["history"],
            "role": "owner" if conversation["owner_id"] == user else "member",
            "created_at": _time(conversation["created_at"]),
            "last_activity_at": _time(conversation["last_activity"]),
            "last_message": messages.get(conversation["_id"]),
            "last_seq": conversation["last"]["seq"],
            "last_rev": conversation["last_rev"],
            "read_marks": {
                str(member): conversation["reads"].get(str(member), 0)
                for member in conversation["participants"]
                if member != user
            },
            "last_read_seq": read[conversation["_id"]],
            "unread_count": conversation["last"]["seq"] - read[conversation["_id"]],
            "mention_count": 0,
            "muted_until": own.get(conversation["_id"], {}).get("muted_until"),
            "archived": "archived_seq" in own.get(conversation["_id"], {}),
        }
        for conversation in found[:limit]
    ]
    return {"items": items, "next": items[-1]["id"] if len(found) > limit else None}


async def history(database: Any, user_id: str, conversation_id: str, limit: int) -> dict[str, Any]:
    """The last messages of a conversation."""
    key = {"_id": ObjectId(conversation_id), "participants": ObjectId(user_id)}
    conversation = await database.conversations.find_one(key)
    last = conversation["last"]["seq"]
    place = {"conversation_id": key["_id"], "seq": {"$gt": last - limit, "$lte": last}}
    found = await database.messages.find(place).to_list(None)
    await database.conversations.find_one(key, {f"starts.{user_id}": 1})
    return {"items": [_message(message) for message in found], "next": last - limit + 1}


async def send(database: Any, user_id: str, conversation_id: str, content: str) -> dict[str, Any]:
    """Number and store a message."""
    now = datetime.now(UTC)
    conversation = await database.conversations.find_one_and_update(
        # With $all the embedded database does not read all conversations of the user.
        {"_id": ObjectId(conversation_id), "participants": {"$all": [ObjectId(user_id)]}},
        {"$inc": {"last.seq": 1, "last_rev": 1}, "$set": {"last_activity": now}},
        return_document=ReturnDocument.AFTER,
    )
    message = {
        "conversation_id": conversation["_id"],
        "sender_id": ObjectId(user_id),
        "content": content,
        "reply_to": None,
        "created_at": now,
        "edited_at": None,
        "deleted": False,
        "reactions": {},
        "seq": conversation["last"]["seq"],
        "rev": conversation["last_rev"],
        "claims": [conversation["last_rev"]],
    }
    await database.messages.insert_one(message)
    return _message(message)


async def comment(database: Any, user_id: str, post_id: str, content: str) -> dict[str, Any]:
    """Number and store a comment, and a notification of the post's author."""
    user, now = ObjectId(user_id), datetime.now(UTC)
    post = await database.posts.find_one({"_id": ObjectId(post_id)}, {"author_id": True})
    people = await _people(database, {user})
    await database.blocks.find_one({"user_id": user, "blocked_id": post["author_id"]})
    count = {"$inc": {"comment_count": 1}}
    post = await database.posts.find_one_and_update({"_id": post["_id"]}, count, return_document=ReturnDocument.AFTER)
    stored = {
        "post_id": post["_id"],
        "author_id": user,
        "content": content,
        "created_at": now,
        "number": post["comment_count"],
    }
    await database.comments.insert_one(stored)
    await database.blocks.find_one({"user_id": post["author_id"], "blocked_id": user})
    await database.post_mutes.find_one({"user_id": post["author_id"], "post_id": post["_id"]})
    inbox = await database.inboxes.find_one_and_update(
        {"_id": post["author_id"]}, {"$inc": {"last_seq": 1}}, upsert=True, return_document=ReturnDocument.AFTER
    )
    notification = {
        "user_id": post["author_id"],
        "type": "NEW_COMMENT",
        "sender_id": user,
        "post_id": post["_id"],
        "comment_id": stored["_id"],
        "preview": content[:100],
        "created_at": now,
        "seq": inbox["last_seq"],
    }
    await database.notifications.insert_one(notification)
    return {
        "id": str(stored["_id"]),
        "post_id": post_id,
        "parent_id": None,
        "author": people[user],
        "content": content,
        "attachments": [],
        "reactions": {},
        "my_reactions": [],
        "created_at": _time(now),
        "edited_at": None,
        "deleted": False,
    }


async def notifications(database: Any, user_id: str, limit: int) -> dict[str, Any]:
    """The last notifications, each with its sender."""
    user = ObjectId(user_id)
    inbox = await database.inboxes.find_one({"_id": user})
    last, read = inbox["last_seq"], inbox.get("read_up_to", 0)
    # The number in the inbox may lag behind.
    place = {"user_id": user, "seq": {"$gt": last - limit - 1}}
    found = sorted(await database.notifications.find(place).to_list(None), key=_seq, reverse=True)
    people = await _people(database, {notification["sender_id"] for notification in found})
    items = [
        {
            "type": notification["type"],
            "seq": notification["seq"],
            "data": {
                "notification_id": str(notification["_id"]),
                "sender": _sender(people[notification["sender_id"]]),
                "post_id": str(notification["post_id"]),
                "comment_id": str(notification["comment_id"]),
                "preview": notification["preview"],
                "created_at": _time(notification["created_at"]),
                "read": notification["seq"] <= read,
            },
        }
        for notification in found[:limit]
    ]
    return {"items": items, "next": items[-1]["seq"] if len(found) > limit else None}


async def _people(database: Any, ids: set[ObjectId]) -> dict[ObjectId, dict[str, Any]]:
    found = await database.users.find({"_id": {"$in": list(ids)}}, PERSON).to_list(None)
    return {
        person["_id"]: {
            "id": str(person["_id"]),
            "username": person["username"],
            "display_name": person["display_name"],
            "avatar": person["avatar"],
        }
        for person in found
    }


def _sender(person: dict[str, Any]) -> dict[str, Any]:
    return {name: person[name] for name in ("id", "display_name", "avatar")}


def _message(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": str(message["_id"]),
        "kind": "text",
        "conversation_id": str(message["conversation_id"]),
        "seq": message["seq"],
        "rev": message["rev"],
        "sender_id": str(message["sender_id"]),
        "content": message["content"],
        "nonce": None,
        "reply_to": message["reply_to"],
        "attachments": [],
        "event": None,
        "created_at": _time(message["created_at"]),
        "edited_at": message["edited_at"],
        "mentions": [],
        "deleted": message["deleted"],
        "reactions": message["reactions"],
        "reaction_counts": {emoji: len(users) for emoji, users in message["reactions"].items()},
    }


def _seq(document: dict[str, Any]) -> int:
    seq: int = document["seq"]
    return seq


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
