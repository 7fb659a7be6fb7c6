"""Limits of signing in: guessing is slowed down, and nobody can lock the owner of an account out."""

import hashlib

from service.common.errors import RateLimited
from service.http.limits import (
    KNOWN_ADDRESS,
    SIGN_IN,
    SIGN_IN_ADDRESS,
    SIGN_IN_STRANGERS,
    SIGN_IN_UNDER_ATTACK,
    RateLimits,
)


class SignInLimits:
    """Counts attempts per account and source. A source is an address, or a device that presents an earlier token.

    So attempts from elsewhere do not count against the owner. Against guesses from many addresses, attempts of unknown
    addresses are counted together, too: beyond SIGN_IN_STRANGERS each of them gets only the few of
    SIGN_IN_UNDER_ATTACK, which slows down an owner at a new place, but does not lock them out. Devices, and addresses
    from which somebody has signed in to the account, are not affected. Usernames that nobody has are counted in the
    same way. Nor do the attempts of others at its address, on any account, affect a device.
    """

    def __init__(self, limits: RateLimits) -> None:
        self._limits = limits

    async def check(self, username: str, address: str, device: str | None = None) -> None:
        """Count an attempt. Raises RateLimited.

        `device`: the id of an earlier session of this user, if the client has proved that it had it.
        """
        account = _digest(username)
        if not device:
            await self._limits.check(SIGN_IN_ADDRESS, address)
        await self._limits.check(SIGN_IN, device or address, account)
        if device or await self._limits.is_reached(KNOWN_ADDRESS, _digest(address, username)):
            return
        try:
            await self._limits.check(SIGN_IN_STRANGERS, account)
        except RateLimited:
            await self._limits.check(SIGN_IN_UNDER_ATTACK, address, account)

    async def remember(self, username: str, address: str) -> None:
        """Remember that somebody has signed in from this address, as a digest, for the period of KNOWN_ADDRESS."""
        await self._limits.count(KNOWN_ADDRESS, _digest(address, username))


def _digest(*parts: str) -> str:
    """Return a key for `parts`: user input of any length, which Redis should not keep in plain text."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
