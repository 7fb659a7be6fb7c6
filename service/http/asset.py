"""A response that is the same for everybody: kept as bytes, plain and compressed, with an entity tag."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sanic import HTTPResponse, Request, Sanic


class Asset(NamedTuple):
    """A static file or document, plain and compressed with gzip."""

    content_type: str
    plain: bytes
    gzipped: bytes
    digest: str
    headers: Mapping[str, str]

    @classmethod
    def build(
        cls, content_type: str, plain: bytes, headers: Mapping[str, str], cache_control: str = "no-cache"
    ) -> "Asset":
        """By default, clients revalidate always, which costs one 304: after a deployment, no page may mix old and new
        files."""
        headers = {"Cache-Control": cache_control, "Vary": "Accept-Encoding", **headers}
        digest = hashlib.sha256(plain).hexdigest()[:32]
        return cls(content_type, plain, gzip.compress(plain, mtime=0), digest, headers)

    def respond(self, request: Request) -> HTTPResponse:
        """Return the asset, or 304 if the client has the current version."""
        use_gzip = "gzip" in request.headers.get("accept-encoding", "")
        # An entity tag identifies the bytes sent, so each encoding has its own (RFC 9110, 8.8.3).
        etag = f'"{self.digest}-gzip"' if use_gzip else f'"{self.digest}"'
        headers = {**self.headers, "ETag": etag}
        if etag in (known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")):
            return HTTPResponse(status=304, headers=headers)
        if use_gzip:
            headers["Content-Encoding"] = "gzip"
        body = self.gzipped if use_gzip else self.plain
        return HTTPResponse(body, headers=headers, content_type=self.content_type)


class LazyAssets:
    """Assets that are built on the first request, because that takes a while: once, and in a thread, so that other
    requests and connections do not wait."""

    def __init__(self, build: Callable[[Sanic[Any, Any]], Mapping[str, Asset]]) -> None:
        self._build = build
        self._building: asyncio.Task[Mapping[str, Asset]] | None = None

    async def get(self, name: str, app: Sanic[Any, Any]) -> Asset:
        """Return the asset of that name."""
        if self._building is None:
            self._building = asyncio.create_task(asyncio.to_thread(self._build, app))
        # Shielded: a client that disconnects does not end it for the others.
        return (await asyncio.shield(self._building))[name]
