"""The URLs of the avatars that users upload; others are on hosts anywhere."""

import re

UPLOADED = re.compile(r"/api/v1/attachments/([0-9a-f]{24})(?:/(?:avatar|thumbnail))?(?:\?[A-Za-z0-9_=&-]*)?")


def avatar_url(attachment_id: str) -> str:
    """Return the URL, a path on this server, that shows the attachment as long as it is somebody's avatar."""
    return f"/api/v1/attachments/{attachment_id}/avatar"


def uploaded_id(url: str | None) -> str | None:
    """Return the id of the attachment of which `url` is one of the URLs, with or without a signature; else None."""
    found = UPLOADED.fullmatch(url or "")
    return found[1] if found else None
