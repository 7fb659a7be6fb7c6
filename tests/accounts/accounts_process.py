"""The parts of accounts, put together as in one process of a deployment."""

from dataclasses import dataclass

from redis.asyncio import Redis

from service.accounts.denylist import Denylist
from service.accounts.passwords import Passwords
from service.accounts.profiles import ProfileService
from service.accounts.revocation import Revocation
from service.accounts.service import AccountService
from service.accounts.sessions import SessionStore
from service.accounts.tickets import Tickets
from service.accounts.tokens import Tokens
from service.accounts.users import UserStore
from service.accounts.verifier import CredentialVerifier
from service.common.identity import Identity
from service.datastores.mongo import Mongo
from service.realtime.bus import LocalBus
from service.realtime.connection import Connection
from service.realtime.registry import Registry
from service.realtime.timer_wheel import TimerWheel

SECRET = "a secret of the tests, long enough for each of the algorithms that a forger may try"
ACCESS_TTL = 900
REFRESH_TTL = 30 * 24 * 3600


class LiveConnection(Connection):
    """A connection that has not got its transport yet, and tells how it was closed."""

    closed: tuple[int, str] | None = None

    def close(self, code: int, reason: str) -> None:
        self.closed = self.closed or (code, reason)
        super().close(code, reason)


@dataclass
class AccountsProcess:
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

    def connect(self, caller: Identity) -> LiveConnection:
        connection = LiveConnection(self.registry, caller, "chat")
        self.registry.register(connection)
        return connection


def build_process(
    mongo: Mongo, redis: Redis, *, passwords: Passwords | None = None, bus: LocalBus | None = None
) -> AccountsProcess:
    """One process. Without a `bus` that it shares with others, every message to them is lost on the way."""
    users = UserStore(mongo.database)
    sessions = SessionStore(mongo.database)
    passwords = passwords or Passwords(time_cost=1, memory_cost=64)
    tokens = Tokens(SECRET, access_ttl=ACCESS_TTL, refresh_ttl=REFRESH_TTL)
    registry = Registry(TimerWheel())
    denylist = Denylist(redis)
    revocation = Revocation(sessions, denylist, bus or LocalBus(), registry, access_ttl=ACCESS_TTL)
    tickets = Tickets(redis)
    return AccountsProcess(
        users=users,
        sessions=sessions,
        passwords=passwords,
        tokens=tokens,
        registry=registry,
        denylist=denylist,
        revocation=revocation,
        tickets=tickets,
        verifier=CredentialVerifier(tokens, revocation, tickets),
        accounts=AccountService(users, sessions, passwords, tokens, revocation),
        profiles=ProfileService(users),
    )
