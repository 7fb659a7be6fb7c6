"""Times: aware datetimes in UTC inside, ISO 8601 with milliseconds and `Z` on the wire."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import PlainSerializer


def now() -> datetime:
    """This moment, to the millisecond: what MongoDB can store, so that what is answered is what is kept."""
    moment = datetime.now(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


Time = Annotated[datetime, PlainSerializer(iso, return_type=str)]
