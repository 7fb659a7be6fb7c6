"""The browser's side of Loa: the page at `/`, and the modules, styles and pictures that it is made of."""

import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from sanic import Blueprint, HTTPResponse, Request
from sanic_ext import openapi

from service.common.errors import NotFound

ROOT = Path(__file__).parent
FOLDERS = ("app", "client")
PAGE = "app/index.html"
MODULES = b"<!-- modules -->"
"""Here the page names all its modules, so that they come at once: one imports another, which imports another."""

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
"""What is served; a file of another kind in these folders is not."""

POLICY = "; ".join(
    (
        "default-src 'self'",
        # Avatars are where their owners have put them.
        "img-src 'self' https: http: data:",
        # Content is text: not even a mistake of ours can turn a string into markup or script.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
HEADERS = {
    # Always ask, which costs one 304: after a deployment nobody runs yesterday's module beside today's.
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Asset(NamedTuple):
    """A file as it is sent. `packed` is its gzip form, which every browser takes."""

    content_type: str
    plain: bytes
    packed: bytes
    digest: str

    @classmethod
    def of(cls, content_type: str, plain: bytes) -> "Asset":
        return cls(content_type, plain, gzip.compress(plain, mtime=0), hashlib.sha256(plain).hexdigest()[:32])

    def answer(self, request: Request) -> HTTPResponse:
        """The file, or 304 where the client has it already."""
        pack = "gzip" in request.headers.get("accept-encoding", "")
        # One for each form: an entity tag names the bytes that are sent.
        tag = f'"{self.digest}-gzip"' if pack else f'"{self.digest}"'
        headers = {**HEADERS, "ETag": tag}
        if tag in (known.strip().removeprefix("W/") for known in request.headers.get("if-none-match", "").split(",")):
            return HTTPResponse(status=304, headers=headers)
        if pack:
            headers["Content-Encoding"] = "gzip"
        body = self.packed if pack else self.plain
        return HTTPResponse(body, headers=headers, content_type=self.content_type)


def blueprint() -> Blueprint:
    """All files are read here, once: what is not in this table is not there, so no path leads anywhere else."""
    files = {
        file.relative_to(ROOT).as_posix(): file.read_bytes()
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in TYPES
    }
    modules = "".join(f'<link rel="modulepreload" href="/{path}" />' for path in files if path.endswith(".js"))
    files[PAGE] = files[PAGE].replace(MODULES, modules.encode())
    assets = {path: Asset.of(TYPES[Path(path).suffix], plain) for path, plain in files.items()}
    bp = Blueprint("web")

    @bp.get("/")
    @openapi.exclude()
    async def page(request: Request) -> HTTPResponse:
        return assets[PAGE].answer(request)

    @bp.get("/<folder:(?:app|client)>/<path:path>")
    @openapi.exclude()
    async def file(request: Request, folder: str, path: str) -> HTTPResponse:
        asset = assets.get(f"{folder}/{path}")
        if asset is None:
            raise NotFound
        return asset.answer(request)

    return bp
