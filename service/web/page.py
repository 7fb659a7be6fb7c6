"""The app's page, with the script and the stylesheet that it loads."""

import re
from collections.abc import Mapping
from functools import partial

from service.http.asset import Asset
from service.web.bundle import bundle_modules, bundle_stylesheets

PAGE = "app/index.html"
ENTRY = "app/main.js"
STYLESHEET_LINKS = re.compile(r'<link rel="stylesheet" href="/[^"]+" />\s*')
SCRIPT = f'<script type="module" src="/{ENTRY}"></script>'
PRELOADS = "<!-- modules -->"
EMOJI = "app/emoji.json"

IMMUTABLE = "public, max-age=31536000, immutable"
"""Cache-Control of a bundle: its URL names its content (RFC 8246)."""


def build_page(files: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Asset]:
    """Build the page from the app's text files by path, which takes a tenth of a second. Returns

    - `page`, which loads `app.js` and `app.css` from `/bundle/<digest>/`, where the digest is the asset's;
    - `later.js`, which `app.js` loads so when the user first opens what the start does not need, and `emoji.json`;
    - `modules`, the same page with a request for each module and sheet: for developers.
    """
    html = files[PAGE]
    scripts = []

    def publish(name: str, source: str) -> str:
        scripts.append(Asset("text/javascript; charset=utf-8", source.encode(), headers, IMMUTABLE))
        return f"/bundle/{scripts[-1].digest}/{name}"

    script_url = publish("app.js", bundle_modules(files, ENTRY, partial(publish, "later.js")))
    later, script = scripts
    sheet = Asset("text/css; charset=utf-8", bundle_stylesheets(files, html).encode(), headers, IMMUTABLE)
    bundles = (
        f'<link rel="stylesheet" href="/bundle/{sheet.digest}/app.css" />\n    '
        f'<script type="module" src="{script_url}"></script>'
    )
    # Nested imports would otherwise load one level after the other.
    preloads = "".join(f'<link rel="modulepreload" href="/{path}" />' for path in files if path.endswith(".js"))
    emoji = Asset("application/json", files[EMOJI].encode(), headers, IMMUTABLE)
    with_bundles = STYLESHEET_LINKS.sub("", html).replace(SCRIPT, bundles).replace(PRELOADS, "")
    with_bundles = with_bundles.replace(f"/{EMOJI}", f"/bundle/{emoji.digest}/emoji.json")
    content_type = "text/html; charset=utf-8"
    return {
        "page": Asset(content_type, with_bundles.encode(), headers),
        "modules": Asset(content_type, html.replace(PRELOADS, preloads).encode(), headers),
        "app.js": script,
        "later.js": later,
        "app.css": sheet,
        "emoji.json": emoji,
    }
