"""Quiet hours: from when until when nothing is pushed, by the clocks of the user's time zone."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from service.notifications.preferences import Preferences, QuietHours

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
DAYS_BEFORE, DAYS_AFTER = 2, 4
"""Days around the present one whose quiet hours are compared with it. A period begins at most a day before it ends; a
zone that moved across the date line skipped or repeated one more; and where the clocks skip the time between two
periods, they are one."""


def quiet_until(preferences: Preferences, now: datetime) -> datetime | None:
    """Return when the quiet hours that include `now` end, later than `now` and in UTC; None if pushes are due now.

    `now` is aware. Quiet hours begin when the clocks first show `start` or later, and end when they have shown `end`
    for the last time: hours that are repeated when daylight saving time ends are quiet both times. A `start` or `end`
    that the clocks skip is the moment at which they skip it.
    """
    hours = preferences.quiet_hours
    if hours is None or hours.start == hours.end:
        return None
    zone = ZoneInfo(hours.timezone)
    now = now.astimezone(UTC)
    today = now.astimezone(zone).date()
    until: datetime | None = None
    for days in range(-DAYS_BEFORE, DAYS_AFTER + 1):
        begin, end = _period(hours, zone, today + days * DAY)
        if begin <= (until or now) < end:
            until = end
    return until


def _period(hours: QuietHours, zone: ZoneInfo, day: date) -> tuple[datetime, datetime]:
    """Return the beginning and the end of the quiet hours that begin on `day`, in UTC."""
    start, end = time.fromisoformat(hours.start), time.fromisoformat(hours.end)
    last_day = day if start < end else day + DAY
    return _moment(zone, day, start, fold=0), _moment(zone, last_day, end, fold=1)


def _moment(zone: ZoneInfo, day: date, clock: time, *, fold: int) -> datetime:
    """Return, in UTC, when the clocks of `zone` show this time.

    If they show it twice, `fold` chooses (PEP 495: 0 the first, 1 the second). If they skip it: when they do.
    """
    local = datetime.combine(day, clock)
    early, late = sorted(local.replace(tzinfo=zone, fold=each).astimezone(UTC) for each in (0, 1))
    if early.astimezone(zone).replace(tzinfo=None) == local:
        return late if fold else early
    return _first(early, late, lambda moment: moment.astimezone(zone).replace(tzinfo=None) >= local)


def _first(early: datetime, late: datetime, condition: Callable[[datetime], bool]) -> datetime:
    """Return the first second after `early` at which `condition` holds. It holds from there on until `late`."""
    seconds = (late - early) // SECOND
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if condition(early + middle * SECOND) else (middle, high)
    return early + high * SECOND
