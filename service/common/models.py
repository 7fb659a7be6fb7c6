"""Base classes of everything that a client sends: request bodies, query strings, frames."""

from pydantic import BaseModel, ConfigDict


class Input(BaseModel):
    """Base of every request body: types as they are, not as they could be made to be; unknown fields refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Query(BaseModel):
    """Base of every query string: numbers are read from their digits; unknown and repeated parameters refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ConnectionQuery(BaseModel):
    """Base of the query string of a socket or stream. Unknown parameters pass: a proxy or library may add its own."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ticket: str | None = None
    token: str | None = None
