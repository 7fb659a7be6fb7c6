"""Serves the browser app: the page at `/` and its static files."""

from pathlib import Path

from sanic import HTTPResponse, Request
from sanic.exceptions import NotFound

from service.http.asset import Asset, LazyAssets
from service.http.blueprint import Blueprint
from service.web.page import PAGE, build_page

ROOT = Path(__file__).parent
FOLDERS = ("app", "client")
WORKER = "worker/service-worker.js"
"""Served at the root: the folder of a service worker's script limits which pages it serves."""
LOCAL_ACCOUNTS = b'<meta name="loa:local-accounts" content="on" />'
NO_LOCAL_ACCOUNTS = b'<meta name="loa:local-accounts" content="off" />'

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
TEXT = (".html", ".css", ".js", ".json")

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Avatars are hosted anywhere: users enter their URLs, which are https (`check_public_url`). Previews are blobs.
        "img-src 'self' https: blob:",
        # Trusted Types: no string can become markup or script, not even by a bug in the app.
        "require-trusted-types-for 'script'",
        # Except for the address of the service worker (`client/push.js`).
        "trusted-types loa",
        "object-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
}


def blueprint(*, local_accounts: bool = True) -> Blueprint:
    """Build the blueprint. All files are read into memory here, so no request path can lead to another file.

    `local_accounts`: whether the page offers to register and to sign in.
    """
    files = {
        file.relative_to(ROOT).as_posix(): file.read_bytes()
        for folder in FOLDERS
        for file in sorted((ROOT / folder).rglob("*"))
        if file.suffix in CONTENT_TYPES
    }
    if not local_accounts:
        files[PAGE] = files[PAGE].replace(LOCAL_ACCOUNTS, NO_LOCAL_ACCOUNTS)
    assets = {path: Asset(CONTENT_TYPES[Path(path).suffix], plain, HEADERS) for path, plain in files.items()}
    text = {path: plain.decode() for path, plain in files.items() if Path(path).suffix in TEXT}
    page_assets = LazyAssets(lambda _: build_page(text, HEADERS))
    worker = Asset(CONTENT_TYPES[".js"], (ROOT / WORKER).read_bytes(), HEADERS)
    bp = Blueprint("web")

    @bp.get("/service-worker.js")
    async def service_worker(request: Request) -> HTTPResponse:
        return await worker.respond(request)

    @bp.get("/")
    async def page(request: Request) -> HTTPResponse:
        """`/?modules` loads each module by itself, as it is in the repository."""
        name = "modules" if request.query_string == "modules" else "page"
        return await (await page_assets.get(name, request.app)).respond(request)

    @bp.get("/bundle/<digest:str>/<name:(?:app.js|app.css|later.js|emoji.json)>")
    async def bundle(request: Request, digest: str, name: str) -> HTTPResponse:
        asset = await page_assets.get(name, request.app)
        response = await asset.respond(request)
        if digest != asset.digest:
            if name == "later.js":
                # It uses the modules of its own version.
                raise NotFound
            # During a deployment, a process of one version is asked for the bundle of the other. Any version runs.
            response.headers["Cache-Control"] = "no-store"
        return response

    @bp.get("/<folder:(?:app|client)>/<path:path>")
    async def file(request: Request, folder: str, path: str) -> HTTPResponse:
        asset = assets.get(f"{folder}/{path}")
        if asset is None:
            raise NotFound
        return await asset.respond(request)

    return bp
