"""A site beside Loa, on an origin of its own: pages, and a route from which they get tokens for their user."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from tests.e2e.user import User


class Site:
    """`page` is served at every path but `/chat-token`, which returns a new token of `user`, or 401 without one."""

    def __init__(self) -> None:
        self.page = ""
        self.user: User | None = None
        self.tokens: list[str] = []

    def answer(self, path: str) -> tuple[int, str, str]:
        """Return status, media type and body."""
        if path != "/chat-token":
            return 200, "text/html; charset=utf-8", self.page
        if not self.user:
            return 401, "application/json", "{}"
        self.tokens.append(self.user.new_token())
        return 200, "application/json", json.dumps({"access_token": self.tokens[-1]})


@contextmanager
def serving_site() -> Iterator[tuple[Site, str]]:
    """Serve a site until the end of the block; also returns its origin."""
    site = Site()

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
        thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            # A host name other than the address of the Loa server: to a browser, another site.
            yield site, f"http://localhost:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
