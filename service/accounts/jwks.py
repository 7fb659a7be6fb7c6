"""The keys of another site's issuer, fetched from its JWKS URL (RFC 7517) and kept while it cannot be reached."""

import asyncio
import random
import time
from typing import Any, NamedTuple

import httpx
import structlog
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from config.auth_key import VerificationKey, verification_key
from service.common.encoding import loads
from service.common.errors import Unavailable
from service.common.tasks import cancel_and_wait, count_failure

log = structlog.get_logger()

FETCH_TIMEOUT = 5.0
"""Seconds until the whole document has to be there."""
MAX_BYTES = 256 * 1024
"""Of the document. Those of large identity providers have 20 KB."""
MAX_KEYS = 100
MAX_CANDIDATES = 8
"""Keys that are tried on one token: on one that does not name its key, all of them could be meant."""
MIN_INTERVAL = 30.0
"""Seconds between two fetches for the sake of an unknown `kid`, which anybody can make up."""
MAX_AGE = 300.0
"""Seconds after which the document is fetched again, so that a key that was withdrawn is forgotten."""

PARSERS: dict[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}
"""By `kty`. Not `oct`: a document that everybody can read has no secrets."""


class FetchFailed(Exception):
    """The message says why, in a few words. It quotes nothing of the answer."""


class NamedKey(NamedTuple):
    kid: str | None
    key: VerificationKey


class Jwks:
    """Implements KeySource. One fetch is under way at a time, for all who wait for it.

    A task fetches the document at the start and every MAX_AGE seconds. Between, a `kid` that is not among the keys
    triggers a fetch, at most every MIN_INTERVAL seconds. If a fetch fails, the keys that are known stay.
    """

    def __init__(self, url: str, *, min_interval: float = MIN_INTERVAL, max_age: float = MAX_AGE) -> None:
        self._url = url
        self._min_interval = min_interval
        self._max_age = max_age
        self._found: list[NamedKey] | None = None
        self._failed = False
        self._fetch_after = 0.0
        """By the monotonic clock: when an unknown `kid` may trigger a fetch again."""
        self._fetch: asyncio.Task[None] | None = None
        self._refresh: asyncio.Task[None] | None = None
        self._client: httpx.AsyncClient | None = None

    async def start(self) -> None:
        """Begin to fetch the keys. Does not wait for them."""
        self._client = httpx.AsyncClient(
            timeout=FETCH_TIMEOUT,
            follow_redirects=False,
            # Nothing to decompress: a small answer could become a huge one.
            headers={"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"},
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=0),
        )
        self._refresh = asyncio.create_task(self._refresh_forever())

    async def close(self) -> None:
        await cancel_and_wait(self._refresh)
        await cancel_and_wait(self._fetch)
        if self._client:
            await self._client.aclose()

    async def keys(self, kid: str | None) -> list[VerificationKey]:
        """Return the keys with this `kid`, or for None those that could be meant.

        Raises Unavailable if the URL cannot be reached and the keys that are known do not help.
        """
        if not (keys := self._matching(kid)):
            await self._fetch_if_allowed()
            keys = self._matching(kid)
        if not keys and (self._found is None or self._failed):
            raise Unavailable("The keys of the tokens cannot be fetched.")
        return keys

    def _matching(self, kid: str | None) -> list[VerificationKey]:
        matching = [each.key for each in self._found or () if kid is None or each.kid == kid]
        return matching[:MAX_CANDIDATES]

    async def _refresh_forever(self) -> None:
        while True:
            await self._fetch_once()
            wait = self._max_age if self._found is not None and not self._failed else self._min_interval
            await asyncio.sleep(random.uniform(0.8, 1.0) * wait)  # noqa: S311

    async def _fetch_if_allowed(self) -> None:
        """Fetch the document, or wait for a fetch that is under way, unless one has been made just before."""
        if self._fetch is not None or time.monotonic() >= self._fetch_after:
            await self._fetch_once()

    async def _fetch_once(self) -> None:
        if self._fetch is None:
            self._fetch_after = time.monotonic() + self._min_interval
            self._fetch = asyncio.create_task(self._update())
        # Shielded: a client that disconnects does not end it for the others.
        await asyncio.shield(self._fetch)

    async def _update(self) -> None:
        try:
            async with asyncio.timeout(FETCH_TIMEOUT):
                body = await self._read()
            # In a thread: a hundred keys take a while.
            self._found = await asyncio.to_thread(parse_jwks, body)
            self._failed = False
        except Exception as error:
            self._failed = True
            count_failure("jwks")
            # Not the text of an HTTP error: it may quote the URL.
            reason = str(error) if isinstance(error, FetchFailed) else type(error).__name__
            log.warning("jwks_not_fetched", reason=reason)
        finally:
            self._fetch = None

    async def _read(self) -> bytes:
        """Return the document. Raises FetchFailed, httpx.HTTPError."""
        assert self._client
        async with self._client.stream("GET", self._url) as response:
            if response.status_code != 200:
                raise FetchFailed(f"status {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise FetchFailed("the answer is compressed")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise FetchFailed(f"more than {MAX_BYTES} bytes")
            return bytes(body)


def parse_jwks(body: bytes) -> list[NamedKey]:
    """Return the keys of a JWK set that can verify signatures; others are left out. Raises FetchFailed."""
    try:
        document = loads(body)
    except (ValueError, RecursionError):
        raise FetchFailed("not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise FetchFailed("not a JWK set")
    found = [key for entry in entries[:MAX_KEYS] if isinstance(entry, dict) and (key := _named_key(entry))]
    if not found:
        raise FetchFailed("no key that can be used")
    return found


def _named_key(entry: dict[str, Any]) -> NamedKey | None:
    kind, kid = entry.get("kty"), entry.get("kid")
    operations = entry.get("key_ops", ["verify"])
    parser = PARSERS.get(kind) if isinstance(kind, str) and "d" not in entry else None
    is_for_signatures = entry.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations
    if not (parser and is_for_signatures and (kid is None or isinstance(kid, str))):
        return None
    try:
        key = verification_key(parser.from_jwk(entry))
    except (InvalidKeyError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if "alg" in entry:
        key = key._replace(algorithms=key.algorithms & {entry["alg"]} if isinstance(entry["alg"], str) else frozenset())
    return NamedKey(kid, key) if key.algorithms else None
