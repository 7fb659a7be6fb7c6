"""A user's preferences: which notifications are stored and pushed, and when nothing is pushed."""

from functools import cache
from typing import Annotated, Literal
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from service.common.models import Input, remove_default
from service.notifications.models import BUILT_IN_TYPES, NotificationType

MAX_KINDS = 100
"""Types of a site's own, beside the built-in ones, that one user can have preferences for: 10 KB of document."""

TimeOfDay = Annotated[str, StringConstraints(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
"""`HH:MM`, from 00:00 to 23:59."""


@cache
def time_zones() -> frozenset[str]:
    """The names of the IANA time zone database. Reading them takes tens of milliseconds."""
    return frozenset(available_timezones())


def _check_time_zone(name: str) -> str:
    # Membership first: a name is part of a path wherever zoneinfo reads the zone.
    if name not in time_zones():
        raise ValueError("Is not a name of the IANA time zone database")
    return name


TimeZone = Annotated[
    str, StringConstraints(max_length=64), AfterValidator(_check_time_zone), Field(examples=["Asia/Ho_Chi_Minh"])
]


class _Part(BaseModel):
    """A part of a request and of a response: as strict as `Input`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class KindPreference(_Part):
    """`in_app`: notifications of this type are stored. `push`: those that are stored are pushed."""

    in_app: bool
    push: bool


class PushPreference(_Part):
    """`messages`: which chat messages are pushed. `preview`: pushes show what was written."""

    messages: Literal["all", "mentions", "none"]
    preview: bool


class QuietHours(_Part):
    """Nothing is pushed from `start` until `end`, by the clocks of `timezone`, across midnight if `end` is earlier.
    If both are the same, pushes are never held back."""

    start: TimeOfDay = Field(examples=["22:00"])
    end: TimeOfDay = Field(examples=["07:00"])
    timezone: TimeZone


WANTED = KindPreference(in_app=True, push=True)
"""The preference for each type that the user has not chosen one for."""
DEFAULT_PUSH = PushPreference(messages="all", preview=True)


class Preferences(BaseModel):
    """`kinds` has all built-in types, and those of the site's own that were set. The others are stored and pushed."""

    model_config = ConfigDict(frozen=True)

    kinds: dict[NotificationType, KindPreference]
    push: PushPreference
    quiet_hours: QuietHours | None

    def kind(self, type: str) -> KindPreference:
        """Return the preference for notifications of `type`."""
        return self.kinds.get(type, WANTED)


DEFAULTS = Preferences(kinds=dict.fromkeys(sorted(BUILT_IN_TYPES), WANTED), push=DEFAULT_PUSH, quiet_hours=None)


class PreferencesChange(Input):
    """Omitted fields are not changed. `kinds` replaces all earlier choices: types that it does not name get their
    defaults. A `quiet_hours` of null ends them."""

    kinds: dict[NotificationType, KindPreference] = Field(
        {}, max_length=MAX_KINDS + len(BUILT_IN_TYPES), json_schema_extra=remove_default
    )
    push: PushPreference = Field(DEFAULT_PUSH, json_schema_extra=remove_default)
    quiet_hours: QuietHours | None = Field(None, json_schema_extra=remove_default)
