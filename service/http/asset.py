"""A response that is the same for everybody: kept as bytes, plain and compressed, with an entity tag."""

import asyncio
import gzip
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import brotli
from sanic import HTTPResponse, Request, Sanic

from service.http.content_coding import BROTLI, GZIP, accepted

BROTLI_QUALITY = 9
"""Of 11. The two above make files that are a tenth smaller, in ten times the time, once for each process."""
CODERS: Mapping[str, Callable[[bytes], bytes]] = {
    BROTLI: lambda plain: brotli.compress(plain, quality=BROTLI_QUALITY),
    GZIP: lambda plain: gzip.compress(plain, mtime=0),
}
"""By content coding; the best one first."""


class Asset:
    """A static file or document, compressed once for each content coding that clients ask for: in a thread, because
    that may take a tenth of a second."""

    def __init__(
        self, content_type: str, plain: bytes, headers: Mapping[str, str], cache_control: str = "no-cache"
    ) -> None:
        """By default, clients revalidate always, which costs one 304: after a deployment, no page may mix old and new
        files."""
        self.content_type = content_type
        self.headers = {"Cache-Control": cache_control, "Vary": "Accept-Encoding", **headers}
        self.digest = hashlib.sha256(plain).hexdigest()[:32]
        self._plain = plain
        self._coding: dict[str, asyncio.Task[bytes]] = {}

    async def respond(self, request: Request) -> HTTPResponse:
        """Return the asset, or 304 if the client has the current version."""
        codings = accepted(request.headers.get("accept-encoding", ""))
        coding = next((each for each in CODERS if each in codings), None)
        # An entity tag identifies the bytes sent, so each coding has its own (RFC 9110, 8.8.3).
        etag = f'"{self.digest}-{coding}"' if coding else f'"{self.digest}"'
        headers = {**self.headers, "ETag": etag}
        if etag in (known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")):
            return HTTPResponse(status=304, headers=headers)
        if coding:
            headers["Content-Encoding"] = coding
        return HTTPResponse(await self._body(coding), headers=headers, content_type=self.content_type)

    async def _body(self, coding: str | None) -> bytes:
        if coding is None:
            return self._plain
        if coding not in self._coding:
            self._coding[coding] = asyncio.create_task(asyncio.to_thread(CODERS[coding], self._plain))
        # Shielded: a client that disconnects does not end it for the others.
        return await asyncio.shield(self._coding[coding])


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
