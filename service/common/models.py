"""Base classes of client input: request bodies, query strings, frames."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Input(BaseModel):
    """Base of every request body. Values are not converted to other types; unknown fields are rejected."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Query(BaseModel):
    """Base of every query string. Numbers are parsed; unknown and repeated parameters are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConnectionQuery(BaseModel):
    """A ticket or an access token, unless the Authorization header has one. Unknown parameters pass: proxies and
    libraries add some."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ticket: str | None = None
    token: str | None = None


def remove_default(schema: dict[str, Any]) -> None:
    """Remove a field's default from its JSON schema: an omitted field is not changed. For `json_schema_extra`."""
    del schema["default"]
