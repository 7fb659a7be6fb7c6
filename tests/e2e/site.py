"""A site beside Loa, on an origin of its own: pages, and a route from which they get tokens for their user."""

import json
import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from tests.e2e.user import User
from tests.running import Server


class Site:
    """Serves `page` and the files in `folder`. `/chat-token` returns a new token of `user`, or 401 without one.

    `server` is the Loa server that it stands beside.
    """

    server: Server

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.page = ""
        self.folder: Path | None = None
        self.user: User | None = None
        self.tokens: list[str] = []

    def answer(self, path: str) -> tuple[int, str, str]:
        """Return status, media type and body."""
        path = path.partition("?")[0]
        if path != "/chat-token":
            file = self.folder / path[1:] if self.folder else None
            if file and file.is_file():
                return 200, mimetypes.guess_type(path)[0] or "text/html", file.read_text()
            return 200, "text/html; charset=utf-8", self.page
        if not self.user:
            return 401, "application/json", "{}"
        self.tokens.append(self.user.new_token())
        return 200, "application/json", json.dumps({"access_token": self.tokens[-1]})


@contextmanager
def serving_site() -> Iterator[Site]:
    """Serve a site until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, kind, text = site.answer(self.path)
            body = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Stay quiet: pytest shows the output of failed tests only."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        # A host name other than the address of the Loa server: to a browser, another site.
        site = Site(f"http://localhost:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
