"""Where the keys come from that verify the tokens of another site."""

from typing import Protocol

from config.auth_key import VerificationKey, parse_auth_key


class KeySource(Protocol):
    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def keys(self, kid: str | None) -> list[VerificationKey]:
        """Return the keys that may have signed a token with this `kid`; none if it is unknown. Raises Unavailable."""
        ...


class SingleKey:
    """The one key of AUTH_KEY; the `kid` of a token is ignored. Implements KeySource."""

    def __init__(self, key: VerificationKey) -> None:
        self._keys = [key]

    async def start(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""

    async def keys(self, kid: str | None) -> list[VerificationKey]:
        return self._keys


def key_source(jwks_url: str, auth_key: str) -> KeySource:
    """Return the source for the one of these settings that is set."""
    if not jwks_url:
        return SingleKey(parse_auth_key(auth_key))
    # Loading the HTTP client takes a while, and without a URL it is not needed.
    from service.accounts.jwks import Jwks

    return Jwks(jwks_url)
