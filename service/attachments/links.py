"""The URLs of attachments, which are signed: an `<img>` sends no token."""

import hmac
import time
from collections.abc import Iterable, Sequence
from typing import Any

from bson import ObjectId

from service.common import base64url
from service.common.errors import TokenExpired, TokenInvalid
from service.datastores.mongo import Document

PATH = "/api/v1/attachments"
THUMBNAIL = "thumbnail"
PURPOSE = b"loa: URLs of attachments"
"""The key is derived for this purpose: nothing that is signed with the secret itself is ever taken for a signature."""
VALIDITY = 3600
"""Seconds for which a URL is valid at least."""
STEP = 900
"""Seconds for which the URL of a file stays the same, so that browsers find it in their cache. It is valid for so much
longer at most."""


class AttachmentLinks:
    """Signs and verifies URLs. One signature is valid for a file and its thumbnail.

    A URL is the same for everybody, because a message is encoded once for all of its recipients: who has got it may
    read the file until it expires. Only those get it who see what the file belongs to.
    """

    def __init__(self, secret: str, previous: Sequence[str] = ()) -> None:
        """Signs with a key derived from `secret`; accepts what was signed with one of `previous`, too."""
        self._keys = [hmac.digest(each.encode(), PURPOSE, "sha256") for each in (secret, *previous)]

    def sign(self, attachment_id: str, expires: int) -> str:
        return _signature(self._keys[0], attachment_id, expires)

    def verify(self, attachment_id: str, expires: int, signature: str) -> None:
        """Raises TokenInvalid if this is not the signature of the file's URL, TokenExpired if it has expired."""
        given = signature.encode()
        if not any(hmac.compare_digest(given, _signature(key, attachment_id, expires).encode()) for key in self._keys):
            raise TokenInvalid("The signature of the URL is invalid.")
        if expires < time.time():
            raise TokenExpired("The URL has expired.")

    def as_json(self, attachment: Document) -> dict[str, Any]:
        """Return the Attachment of what `summary` returned."""
        attachment_id = str(attachment["id"])
        expires = (int(time.time()) // STEP + 1) * STEP + VALIDITY
        query = f"?expires={expires}&signature={self.sign(attachment_id, expires)}"
        url = f"{PATH}/{attachment_id}"
        return {
            "id": attachment_id,
            "name": attachment["name"],
            "description": attachment.get("description"),
            "content_type": attachment["content_type"],
            "size": attachment["size"],
            "width": attachment["width"],
            "height": attachment["height"],
            "url": url + query,
            "thumbnail_url": f"{url}/{THUMBNAIL}{query}" if attachment["thumbnail"] else None,
        }

    def list_of(self, attachments: Iterable[Document]) -> list[dict[str, Any]]:
        """Return the Attachments of what `summary` returned for each."""
        return [self.as_json(each) for each in attachments]


def summary(document: Document) -> Document:
    """Return what a message, post or comment keeps of its attachment `document`, so that reading it reads no other."""
    fields = {name: document[name] for name in ("name", "content_type", "size", "width", "height")}
    attachment_id: ObjectId = document["_id"]
    described = {"description": document["description"]} if document.get("description") else {}
    return {"id": attachment_id, **fields, **described, "thumbnail": document["thumbnail"] is not None}


def _signature(key: bytes, attachment_id: str, expires: int) -> str:
    return base64url.encode(hmac.digest(key, f"{attachment_id}:{expires}".encode(), "sha256"))
