"""Times: aware datetimes in UTC in the code, ISO 8601 with milliseconds and `Z` in the API."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer


def now() -> datetime:
    """Return the current time in milliseconds, the precision of MongoDB: a response equals what has been stored."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Time = Annotated[datetime, PlainSerializer(iso, return_type=str)]
