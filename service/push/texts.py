"""The words of pushes, in the languages of the app."""

import re
from collections.abc import Mapping

LANGUAGES = ("en", "vi")
MAX_HEADER = 512
"""Characters of an `Accept-Language` that are read."""
PREFERENCE = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,64})?\s*(?:;\s*q=([01](?:\.[0-9]{0,3})?)\s*)?")

TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "message": "New message",
        "notification": "New notification",
        "NEW_COMMENT": "commented on your post",
        "NEW_REPLY": "replied to your comment",
        "NEW_MENTION": "mentioned you",
        "NEW_REACTION": "reacted to what you wrote",
        "names.one": "{name} and {count} other",
        "names.other": "{name} and {count} others",
        "someone": "Someone",
        "summary": "While you were away",
        "messages.one": "{count} unread message",
        "messages.other": "{count} unread messages",
        "notifications.one": "{count} unread notification",
        "notifications.other": "{count} unread notifications",
    },
    "vi": {
        "message": "Tin nhắn mới",
        "notification": "Thông báo mới",
        "NEW_COMMENT": "đã bình luận về bài viết của bạn",
        "NEW_REPLY": "đã trả lời bình luận của bạn",
        "NEW_MENTION": "đã nhắc đến bạn",
        "NEW_REACTION": "đã bày tỏ cảm xúc về nội dung của bạn",
        "names.one": "{name} và {count} người khác",
        "names.other": "{name} và {count} người khác",
        "someone": "Ai đó",
        "summary": "Khi bạn vắng mặt",
        "messages.one": "{count} tin nhắn chưa đọc",
        "messages.other": "{count} tin nhắn chưa đọc",
        "notifications.one": "{count} thông báo chưa đọc",
        "notifications.other": "{count} thông báo chưa đọc",
    },
}


def text(language: str, key: str) -> str:
    return TEXTS[language][key]


def counted(language: str, key: str, count: int, **values: str) -> str:
    """Return the plural form for `count`, with `values` filled in."""
    return TEXTS[language][f"{key}.{'one' if count == 1 else 'other'}"].format(count=count, **values)


def preferred_language(header: str) -> str:
    """Return the language of LANGUAGES that an `Accept-Language` (RFC 9110, 12.5.4) prefers, or English."""
    best, quality = LANGUAGES[0], 0.0
    for part in header[:MAX_HEADER].split(","):
        match = PREFERENCE.fullmatch(part)
        if match and match[1].lower() in LANGUAGES and float(match[2] or 1) > quality:
            best, quality = match[1].lower(), float(match[2] or 1)
    return best
