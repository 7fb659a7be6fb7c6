"""The model of the export."""

from typing import Any, Literal

from pydantic import BaseModel, Field

Kind = Literal[
    "profile",
    "session",
    "conversation",
    "message",
    "post",
    "comment",
    "reaction",
    "notification",
    "preferences",
    "block",
]


class ExportLine(BaseModel):
    """One object of the export. `data` is as elsewhere in the API; of a reaction, `emoji` and the ids of the message,
    post or comment."""

    kind: Kind = Field(examples=["profile"])
    data: dict[str, Any] = Field(examples=[{"id": "6650a1f2c3d4e5f60718293a", "username": "ann"}])
