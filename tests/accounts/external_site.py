"""Processes that accept tokens of another site."""

import time
from typing import Any

import pytest

from config.auth_key import verification_key
from service.accounts.external_sessions import ExternalSessions
from service.accounts.external_tokens import ExternalTokens
from service.accounts.key_source import SingleKey
from service.accounts.verifier import CredentialVerifier
from service.common.errors import TokenRevoked
from service.common.identity import ACCESS, Identity
from tests.accounts.accounts_process import ACCESS_TTL, AccountsProcess
from tests.identity_provider import ISSUER, private_key, token

EARLIER = int(time.time()) - 10
EARLIEST = EARLIER - 10
"""Times at which tokens were issued, in Unix time, so that a revocation in a test is later."""


def now() -> int:
    return int(time.time())


def soon() -> int:
    """When a token is issued that no revocation up to this moment concerns. Clocks may differ by more."""
    return now() + 2


def accept_external(process: AccountsProcess) -> ExternalSessions:
    """Let the process accept tokens of the site."""
    key = SingleKey(verification_key(private_key("rsa").public_key()))
    external = ExternalSessions(
        ExternalTokens(ISSUER, key, clock=process.clock.time),
        process.external_ids,
        process.external_users,
        process.sessions,
        process.revocation,
        reread_after=ACCESS_TTL,
    )
    process.verifier = CredentialVerifier(process.tokens, process.revocation, process.tickets, external)
    return external


async def verify(process: AccountsProcess, sub: str = "42", **claims: Any) -> Identity:
    return await process.verifier.verify_scoped_token(token(sub, **claims), ACCESS, "a browser")


async def revoked(process: AccountsProcess, sub: str = "42", **claims: Any) -> None:
    with pytest.raises(TokenRevoked):
        await verify(process, sub, **claims)
