"""Ids: 24 hex digits in the API and the services, ObjectId in the stores."""

import hashlib
from typing import Annotated

from bson import ObjectId
from pydantic import AfterValidator, StringConstraints

from service.common.errors import NotFound

PATTERN = "^[0-9a-fA-F]{24}$"

Id = Annotated[str, StringConstraints(pattern=PATTERN), AfterValidator(str.lower)]


def new_id() -> str:
    return str(ObjectId())


def derived_id(text: str) -> ObjectId:
    """Return the id of the object that `text` identifies, 96 bits of its SHA-256: the `_id` alone keeps it unique."""
    return ObjectId(hashlib.sha256(text.encode()).digest()[:12])


def path_id(value: str) -> str:
    """Return an id from a URL path in lower case. Raises NotFound if it is malformed: no object has such an id."""
    if not ObjectId.is_valid(value) or len(value) != 24:
        raise NotFound
    return value.lower()
