"""Notifications in their JSON form."""

from collections.abc import Mapping
from typing import Any

from service.common.encoding import loads
from service.common.profiles import Profile, profile_of
from service.common.times import iso
from service.datastores.mongo import Document
from service.notifications.inbox_store import Inbox
from service.notifications.notification_store import REACTED_COMMENT


def notification_json(document: Document, inbox: Inbox, profiles: Mapping[str, Profile]) -> dict[str, Any]:
    """Return a stored notification in the form of `models.Notification`. Built by hand: models of a page would take a
    third of the time of its request."""
    seq: int = document["seq"]
    is_deleted: bool = document.get("deleted", False)
    sender = document["sender_id"]
    data: dict[str, Any] = {
        "notification_id": str(document["_id"]),
        "sender": sender_json(str(sender), profiles) if sender else None,
    }
    is_about_post = "post_id" in document
    if is_about_post:
        comment_id = document.get("comment_id") or document.get(REACTED_COMMENT)
        data["post_id"] = str(document["post_id"])
        data["comment_id"] = str(comment_id) if comment_id else None
    else:
        extra = document.get("extra")
        data["url"] = document.get("url")
        data["extra"] = None if extra is None else loads(extra)
        data["group_key"] = document.get("group_key")
    data["preview"] = document["preview"]
    data["created_at"] = iso(document["created_at"])
    # A deleted one may not be marked yet.
    data["read"] = is_deleted or inbox.has_read(seq)
    if is_deleted and is_about_post:
        data["deleted"] = True
    elif "emoji" in document:
        data["emoji"] = document["emoji"]
    return {"type": document["type"], "seq": seq, "data": data}


def sender_json(user_id: str, profiles: Mapping[str, Profile]) -> dict[str, Any]:
    """Return the user in the form of `models.Sender`; `profiles` need not have a profile of them."""
    profile = profile_of(user_id, profiles)
    return {"id": user_id, "display_name": profile.display_name, "avatar": profile.avatar}
