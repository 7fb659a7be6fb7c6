"""The account services of one process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from redis.asyncio import Redis

from service.accounts.denylist import Denylist
from service.accounts.external_ids import ExternalIdStore
from service.accounts.external_users import ExternalUsers
from service.accounts.passwords import Passwords
from service.accounts.profiles import ProfileService
from service.accounts.revocation import Revocation, revocation_lease
from service.accounts.service import AccountService
from service.accounts.sessions import SessionStore
from service.accounts.tickets import Tickets
from service.accounts.tokens import Issued, TokenPair, Tokens
from service.accounts.users import UserStore
from service.accounts.verifier import CredentialVerifier
from service.common.identity import Identity
from service.common.profiles import Profile
from service.common.times import now
from service.datastores.mongo import Mongo
from service.realtime.bus import Bus, LocalBus
from service.realtime.connection import Connection
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel

SECRET = "a secret of the tests, long enough for each of the algorithms that a forger may try"
ACCESS_TTL = 900
REFRESH_TTL = 30 * 24 * 3600


class RecordingConnection(Connection):
    """A connection without a transport that records how it was closed."""

    closed: tuple[int, str] | None = None
    examined: ClassVar["set[RecordingConnection] | None"] = None
    """If set, it gets every connection of which an attribute is read."""

    def __getattribute__(self, name: str) -> Any:
        if RecordingConnection.examined is not None:
            RecordingConnection.examined.add(self)
        return super().__getattribute__(name)

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
        super().close(code, reason)


class Clock:
    """The current time plus an offset."""

    def __init__(self) -> None:
        self._offset = timedelta(0)

    def now(self) -> datetime:
        return now() + self._offset

    def time(self) -> float:
        """Unix time in seconds."""
        return self.now().timestamp()

    @contextmanager
    def shifted(self, offset: timedelta) -> Iterator[None]:
        """Within the block, the clock differs from the real time by `offset`."""
        self._offset = offset
        try:
            yield
        finally:
            self._offset = timedelta(0)


@dataclass
class AccountsProcess:
    clock: Clock
    users: UserStore
    sessions: SessionStore
    passwords: Passwords
    tokens: Tokens
    registry: Registry
    denylist: Denylist
    revocation: Revocation
    tickets: Tickets
    verifier: CredentialVerifier
    accounts: AccountService
    profiles: ProfileService
    external_ids: ExternalIdStore
    external_users: ExternalUsers
    changed_profiles: list[Profile]
    """Each announced change of a profile."""

    def connect(self, caller: Identity) -> RecordingConnection:
        connection = RecordingConnection(self.registry, caller, "chat")
        self.registry.register(connection)
        return connection


def token_pair(
    refresh_id: str = "first", *, expires_at: datetime | None = None, access_id: str = "access"
) -> TokenPair:
    """A pair for the store of sessions, which only reads ids and times."""
    expiry = int((expires_at or now() + timedelta(days=1)).timestamp())
    return TokenPair(Issued("", access_id, expiry), Issued("", refresh_id, expiry))


def build_process(
    mongo: Mongo,
    redis: Redis,
    *,
    passwords: Passwords | None = None,
    bus: Bus | None = None,
    registry: Registry | None = None,
) -> AccountsProcess:
    """Build the services of a process. Its bus messages reach only processes built with the same `bus`."""
    clock = Clock()
    users = UserStore(mongo.database)
    sessions = SessionStore(mongo.database, clock=clock.now)
    # Cheap parameters: most tests need a user, not a strong hash.
    passwords = passwords or Passwords(time_cost=1, memory_cost=64)
    tokens = Tokens(SECRET, access_ttl=ACCESS_TTL, refresh_ttl=REFRESH_TTL, clock=clock.time)
    registry = Registry(TimerWheel()) if registry is None else registry
    denylist = Denylist(redis)
    revocation = Revocation(
        sessions,
        denylist,
        bus or LocalBus(),
        registry,
        revocation_lease(redis),
        access_ttl=ACCESS_TTL,
        clock=clock.now,
    )
    tickets = Tickets(redis)
    external_ids = ExternalIdStore(mongo.database, clock=clock.now)
    changed_profiles: list[Profile] = []
    profiles = ProfileService(users, lambda profile, _: changed_profiles.append(profile))
    return AccountsProcess(
        clock=clock,
        users=users,
        sessions=sessions,
        passwords=passwords,
        tokens=tokens,
        registry=registry,
        denylist=denylist,
        revocation=revocation,
        tickets=tickets,
        verifier=CredentialVerifier(tokens, revocation, tickets),
        accounts=AccountService(users, sessions, passwords, tokens, revocation, clock.now),
        profiles=profiles,
        external_users=ExternalUsers(external_ids, users, profiles, sessions, revocation),
        external_ids=external_ids,
        changed_profiles=changed_profiles,
    )
