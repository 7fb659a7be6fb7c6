"""Quiet hours against an oracle that looks at the clock minute by minute, and on days when clocks change."""

from bisect import bisect_left
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import accumulate
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.notifications.preferences import DEFAULTS, QuietHours
from service.notifications.quiet_hours import quiet_until

MINUTE = timedelta(minutes=1)
DAYS = timedelta(days=5)
"""How far the oracle looks back and ahead."""
MINUTES = 10 * 1440
ZONES = [
    "UTC",
    "Asia/Ho_Chi_Minh",
    "Asia/Kathmandu",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Antarctica/Troll",
]
"""With whole, half and quarter hours; clocks that change by one hour, half an hour or two; one that skipped a day."""
CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin, Troll: forward
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # Berlin, Troll: back
    datetime(2026, 3, 8, 7, tzinfo=UTC),  # New York, St. John's: forward
    datetime(2026, 11, 1, 6, tzinfo=UTC),  # New York, St. John's: back
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),  # Lord Howe: forward
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe, Chatham: back
    datetime(2026, 9, 26, 14, tzinfo=UTC),  # Chatham: forward
    datetime(2011, 12, 30, 10, tzinfo=UTC),  # Apia: 30 December did not take place
    datetime(2026, 2, 15, 2, tzinfo=UTC),  # Casablanca: back, for Ramadan
    datetime(2026, 3, 22, 2, tzinfo=UTC),  # Casablanca: forward
]


def until(start: str, end: str, zone: str, now: datetime) -> datetime | None:
    hours = QuietHours(start=start, end=end, timezone=zone)
    return quiet_until(DEFAULTS.model_copy(update={"quiet_hours": hours}), now)


@lru_cache
def clock(zone: str, change: datetime) -> tuple[list[datetime], list[datetime]]:
    """For each minute of the days around `change`: the latest time that the clocks have shown up to it, and the
    earliest that they show from it on."""
    first = change - DAYS
    shown = [(first + minute * MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) for minute in range(MINUTES)]
    return list(accumulate(shown, max)), list(accumulate(reversed(shown), min))[::-1]


def expected(start: str, end: str, zone: str, change: datetime) -> list[datetime | None]:
    """What `quiet_until` has to return for each minute of the days around `change`."""
    latest, earliest = clock(zone, change)
    quiet = [False] * MINUTES
    for number in range(-1, 2 * DAYS.days + 1) if start != end else ():
        day = (change - DAYS).date() + timedelta(days=number)
        begins, ends = (datetime.fromisoformat(f"{day} {time}") for time in (start, end))
        if ends < begins:
            ends += timedelta(days=1)
        for minute in range(bisect_left(latest, begins), bisect_left(earliest, ends)):
            quiet[minute] = True
    found: list[datetime | None] = [None] * MINUTES
    for minute in reversed(range(MINUTES - 1)):
        if quiet[minute]:
            found[minute] = found[minute + 1] or change - DAYS + (minute + 1) * MINUTE
    return found


times = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.sampled_from([0, 15, 29, 30, 31, 45, 59]))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ZONES), st.sampled_from(CHANGES), times, times, st.integers(0, 59))
def test_quiet_hours_end_as_the_clock_says(zone: str, change: datetime, start: str, end: str, first: int) -> None:
    """Around days on which clocks change somewhere, for hours within a day, across midnight, and none."""
    every_minute = expected(start, end, zone, change)
    for minute in range(2 * 1440 + first, 7 * 1440, 59):
        now = change - DAYS + minute * MINUTE
        assert every_minute[minute] == until(start, end, zone, now)
        # Nothing changes within a minute.
        assert every_minute[minute] == until(start, end, zone, now + timedelta(seconds=59, milliseconds=999))


@settings(deadline=None)
@given(st.sampled_from(ZONES), times, times, st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)))
def test_it_is_quiet_while_the_clock_is_between_start_and_end(zone: str, start: str, end: str, now: datetime) -> None:
    """Whatever else is quiet. The end is later than now, and it is not quiet then."""
    moment = now.replace(tzinfo=UTC)
    found = until(start, end, zone, moment)
    shown = f"{moment.astimezone(ZoneInfo(zone)):%H:%M}"
    if (start < end and start <= shown < end) or (start > end and not end <= shown < start):
        assert found is not None
    if found is not None:
        assert found > moment
        assert until(start, end, zone, found) is None
        assert found == until(start, end, zone, found - timedelta(milliseconds=1))


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("start", "end", "zone", "now", "ends"),
    [
        # Vietnam has no daylight saving time: 22:00 is 15:00 UTC.
        ("22:00", "07:00", "Asia/Ho_Chi_Minh", "2026-05-01T14:59:59", None),
        ("22:00", "07:00", "Asia/Ho_Chi_Minh", "2026-05-01T15:00:00", "2026-05-02T00:00:00"),
        ("22:00", "07:00", "Asia/Ho_Chi_Minh", "2026-05-02T00:00:00", None),
        ("13:00", "14:30", "Asia/Kathmandu", "2026-05-01T07:15:00", "2026-05-01T08:45:00"),
        # The night to summer time is an hour shorter, the one back an hour longer.
        ("22:00", "07:00", BERLIN, "2026-03-28T21:00:00", "2026-03-29T05:00:00"),
        ("22:00", "07:00", BERLIN, "2026-10-24T20:00:00", "2026-10-25T06:00:00"),
        # 02:00 to 03:00 does not exist on 29 March.
        ("22:00", "02:30", BERLIN, "2026-03-29T00:59:59", "2026-03-29T01:00:00"),
        ("22:00", "02:30", BERLIN, "2026-03-29T01:00:00", None),
        ("02:30", "07:00", BERLIN, "2026-03-29T00:59:59", None),
        ("02:30", "07:00", BERLIN, "2026-03-29T01:00:00", "2026-03-29T05:00:00"),
        ("02:15", "02:45", BERLIN, "2026-03-29T01:00:00", None),
        # 02:00 to 03:00 takes place twice on 25 October, from midnight UTC on.
        ("22:00", "02:30", BERLIN, "2026-10-25T00:30:00", "2026-10-25T01:30:00"),
        ("02:30", "07:00", BERLIN, "2026-10-25T00:30:00", "2026-10-25T06:00:00"),
        ("02:15", "02:45", BERLIN, "2026-10-25T00:15:00", "2026-10-25T01:45:00"),
        # All but one hour, which the clocks skip: it is quiet for two days.
        ("03:00", "02:00", BERLIN, "2026-03-28T12:00:00", "2026-03-30T00:00:00"),
        # 30 December 2011 did not take place in Samoa.
        ("22:00", "07:00", "Pacific/Apia", "2011-12-30T09:00:00", "2011-12-30T17:00:00"),
    ],
    ids=range(16),
)
def test_quiet_hours_by_example(start: str, end: str, zone: str, now: str, ends: str | None) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert (ends and datetime.fromisoformat(ends).replace(tzinfo=UTC)) == until(start, end, zone, moment)


def test_without_quiet_hours_it_is_never_quiet() -> None:
    """The same if they begin when they end."""
    assert quiet_until(DEFAULTS, datetime(2026, 1, 1, tzinfo=UTC)) is None
    for hour in range(24):
        assert until("00:00", "00:00", "UTC", datetime(2026, 1, 1, hour, tzinfo=UTC)) is None
