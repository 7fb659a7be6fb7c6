"""Times: aware datetimes in UTC in the code, ISO 8601 with milliseconds and `Z` in the API."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, PlainSerializer, WithJsonSchema


def now() -> datetime:
    """Return the current time in milliseconds, the precision of MongoDB: a response equals what has been stored."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Time = Annotated[datetime, PlainSerializer(iso, return_type=str)]


MAX_INPUT = 40
"""Characters of a time in a request: more than one with nanoseconds and an offset has."""


def _parse(value: object) -> object:
    # Here, and not by pydantic: strict validation accepts no text for a time.
    if not isinstance(value, str) or len(value) > MAX_INPUT:
        raise ValueError("Is not a time in ISO 8601")
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("Is not a time in ISO 8601") from None


def _in_utc(moment: datetime) -> datetime:
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Is not within the years 1 to 9999") from None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


InputTime = Annotated[
    AwareDatetime,
    BeforeValidator(_parse),
    AfterValidator(_in_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": MAX_INPUT}),
]
"""A time in the body of a request, with an offset or `Z`."""
