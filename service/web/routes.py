"""Serves the browser app: the page at `/` and its static files."""

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from sanic import Blueprint, HTTPResponse, Request

from service.common.errors import NotFound

ROOT = Path(__file__).parent
FOLDERS = ("app", "client")
PAGE = "app/index.html"
MODULES_PLACEHOLDER = b"<!-- modules -->"
"""Replaced by preload links for all modules: nested imports would otherwise load one level after the other."""

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""By file extension. Other files in the folders are not served."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Avatars are hosted anywhere: users enter their URLs, which are https (`check_public_url`).
        "img-src 'self' https:",
        # Trusted Types: no string can become markup or script, not even by a bug in the app.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
HEADERS = {
    # Revalidate always, which costs one 304: after a deployment, no page may mix old and new modules.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Asset(NamedTuple):
    """A static file, plain and compressed with gzip."""

    content_type: str
    plain: bytes
    gzipped: bytes
    digest: str

    @classmethod
    def build(cls, content_type: str, plain: bytes) -> "Asset":
        return cls(content_type, plain, gzip.compress(plain, mtime=0), hashlib.sha256(plain).hexdigest()[:32])

    def respond(self, request: Request) -> HTTPResponse:
        """Return the file, or 304 if the client has the current version."""
        use_gzip = "gzip" in request.headers.get("accept-encoding", "")
        # An entity tag identifies the bytes sent, so each encoding has its own (RFC 9110, 8.8.3).
        etag = f'"{self.digest}-gzip"' if use_gzip else f'"{self.digest}"'
        headers = {**HEADERS, "ETag": etag}
        if etag in (known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")):
            return HTTPResponse(status=304, headers=headers)
        if use_gzip:
            headers["Content-Encoding"] = "gzip"
        body = self.gzipped if use_gzip else self.plain
        return HTTPResponse(body, headers=headers, content_type=self.content_type)


def blueprint() -> Blueprint:
    """Build the blueprint. All files are read into memory here, so no request path can lead to another file."""
    files = {
        file.relative_to(ROOT).as_posix(): file.read_bytes()
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in CONTENT_TYPES
    }
    modules = "".join(f'<link rel="modulepreload" href="/{path}" />' for path in files if path.endswith(".js"))
    files[PAGE] = files[PAGE].replace(MODULES_PLACEHOLDER, modules.encode())
    assets = {path: Asset.build(CONTENT_TYPES[Path(path).suffix], plain) for path, plain in files.items()}
    bp = Blueprint("web")

    @bp.get("/")
    async def page(request: Request) -> HTTPResponse:
        return assets[PAGE].respond(request)

    @bp.get("/<folder:(?:app|client)>/<path:path>")
    async def file(request: Request, folder: str, path: str) -> HTTPResponse:
        asset = assets.get(f"{folder}/{path}")
        if asset is None:
            raise NotFound
        return asset.respond(request)

    return bp
