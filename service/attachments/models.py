"""The request and response models of attachments."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from service.common.content import OptionalContent, check_content, check_no_nul, check_optional_content
from service.common.ids import Id
from service.common.models import Input, Query

MAX_NAME = 255
MAX_DESCRIPTION = 250
SIGNATURE = "^[A-Za-z0-9_-]{43}$"
"""HMAC-SHA256 in Base64url."""
MAX_ATTACHMENTS = 10
"""Of one message, post or comment."""

AttachmentIds = Annotated[list[Id], Field(max_length=MAX_ATTACHMENTS)]


class WithAttachments(BaseModel):
    """Base of what creates a message, post or comment. `attachments`: ids of files that the author has uploaded and not
    used before; `content` may be empty if there is one."""

    attachments: AttachmentIds = []
    content: OptionalContent

    @field_validator("attachments")
    @classmethod
    def _check_unique(cls, value: list[str]) -> list[str]:
        if len(set(value)) < len(value):
            raise ValueError("Contains an attachment twice")
        return value

    @field_validator("content")
    @classmethod
    def _check_not_empty(cls, value: str, info: ValidationInfo) -> str:
        return value if info.data.get("attachments") else check_content(value)


class Attachment(BaseModel):
    """`content_type` is what the server has found in the bytes. `width` and `height`, in pixels, and `thumbnail_url`
    are null unless it is an image. `description`: what an image shows, for those who do not see it; null without one.
    A URL reads the file for an hour, without a token."""

    id: str
    name: str
    description: str | None
    content_type: str
    size: int
    width: int | None
    height: int | None
    url: str
    thumbnail_url: str | None


class UploadQuery(Query):
    """`name`: the file's name. What could mislead a reader, such as invisible characters, is removed from it."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(check_no_nul)] = "file"


class AttachmentChange(Input):
    """`description`: what an image shows; empty for none."""

    description: Annotated[
        str,
        StringConstraints(strip_whitespace=True, max_length=MAX_DESCRIPTION),
        AfterValidator(check_optional_content),
    ]


class DownloadQuery(Query):
    """Both are part of the URLs of an Attachment, and replace the token. `expires`: seconds since 1970."""

    expires: Annotated[int, Field(ge=0, le=2**53)] | None = None
    signature: Annotated[str, StringConstraints(pattern=SIGNATURE)] | None = None

    @model_validator(mode="after")
    def _check_both(self) -> "DownloadQuery":
        if (self.expires is None) != (self.signature is None):
            raise ValueError("expires and signature belong together")
        return self
