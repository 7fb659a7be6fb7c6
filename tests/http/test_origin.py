"""Which browsers may open a socket or a stream."""

from typing import Any

import pytest
from sanic import Request, Sanic
from sanic.compat import Header

from service.common.errors import OriginNotAllowed
from service.http.origin import OriginCheck
from service.http.proxy_headers import ProxiedRequest

ALLOWED = ("https://front.example", "http://localhost:5173")


@pytest.fixture
def app() -> Sanic[Any, Any]:
    Sanic.test_mode = True
    return Sanic("origin-test", configure_logging=False)


def request(app: Sanic[Any, Any], headers: list[tuple[str, str]]) -> Request:
    return ProxiedRequest(b"/api/v1/ws/chat", Header(headers), "1.1", "GET", None, app)  # type: ignore[arg-type]


def passes(app: Sanic[Any, Any], *headers: tuple[str, str]) -> bool:
    try:
        OriginCheck(ALLOWED).check(request(app, list(headers)))
    except OriginNotAllowed:
        return False
    return True


class TestPlainServer:
    """Nothing in front of it."""

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://chat.example", "chat.example"),
            ("http://chat.example", "chat.example:80"),
            ("http://chat.example:80", "chat.example"),
            ("http://localhost:8000", "localhost:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("http://CHAT.example", "chat.EXAMPLE"),
            # A proxy that ends TLS and says nothing of it.
            ("https://chat.example", "chat.example"),
            ("https://chat.example", "chat.example:443"),
            # Configured.
            ("https://front.example", "chat.example"),
            ("HTTPS://front.example", "chat.example"),
            ("http://localhost:5173", "localhost:8000"),
        ],
    )
    def test_lets_its_own_pages_and_the_configured_in(self, app: Sanic[Any, Any], origin: str, host: str) -> None:
        """The same host and port as the request, or one of the list."""
        assert passes(app, ("origin", origin), ("host", host))

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("https://evil.example", "chat.example"),
            ("http://chat.example.evil.example", "chat.example"),
            ("http://chat.example:8001", "chat.example:8000"),
            ("http://chat.example", "chat.example:8000"),
            ("https://chat.example", "chat.example:80"),
            ("null", "chat.example"),
            ("", "chat.example"),
            ("file://", "chat.example"),
            ("chat.example", "chat.example"),
            ("ftp://chat.example", "chat.example"),
            ("http://evil.example@chat.example:99999", "chat.example"),
            ("http://chat.example/evil", "chat.example"),
            ("http://chat.example:x", "chat.example:x"),
            ("http://", ""),
            ("http://front.example", "chat.example"),
            ("https://front.example:8443", "chat.example"),
            ("https://front.example, https://evil.example", "chat.example"),
        ],
    )
    def test_keeps_foreign_pages_out(self, app: Sanic[Any, Any], origin: str, host: str) -> None:
        """Another host, port or scheme; no page at all; no port that is a number."""
        assert not passes(app, ("origin", origin), ("host", host))

    def test_lets_in_who_is_no_browser(self, app: Sanic[Any, Any]) -> None:
        """Only browsers send an Origin, and only their users need this protection."""
        assert passes(app, ("host", "chat.example"))

    def test_keeps_out_who_sends_two(self, app: Sanic[Any, Any]) -> None:
        """One of them may be the right one."""
        assert not passes(
            app, ("origin", "http://chat.example"), ("origin", "https://evil.example"), ("host", "chat.example")
        )

    def test_does_not_believe_forwarded_headers(self, app: Sanic[Any, Any]) -> None:
        """No proxy is configured, so whoever sends them made them up."""
        assert not passes(
            app,
            ("origin", "https://evil.example"),
            ("host", "chat.example"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil.example"),
        )


class TestBehindProxy:
    """PROXIES_COUNT says that one is in front, and it says what it was asked for."""

    @pytest.fixture
    def app(self, app: Sanic[Any, Any]) -> Sanic[Any, Any]:
        app.config.PROXIES_COUNT = 1
        return app

    @pytest.mark.parametrize(
        ("origin", "scheme", "allowed"),
        [
            ("https://chat.example", "https", True),
            # The page may have been written by anyone on the way.
            ("http://chat.example", "https", False),
            ("http://chat.example", "http", True),
            ("https://evil.example", "https", False),
        ],
    )
    def test_compares_with_what_the_proxy_was_asked_for(
        self, app: Sanic[Any, Any], origin: str, scheme: str, allowed: bool
    ) -> None:
        """Host and scheme are the public ones."""
        assert allowed == passes(
            app,
            ("origin", origin),
            ("host", "10.0.0.7:8000"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "chat.example"),
            ("x-forwarded-proto", scheme),
        )

    def test_falls_back_on_the_host(self, app: Sanic[Any, Any]) -> None:
        """Heroku passes Host on and says only the scheme."""
        assert passes(
            app,
            ("origin", "https://chat.example"),
            ("host", "chat.example"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
        )

    @pytest.mark.parametrize(
        ("origin", "host", "port", "allowed"),
        [
            ("https://chat.example:8443", "chat.example", "8443", True),
            ("https://chat.example:8443", "chat.example", "443", False),
            # The host has its port; a container behind a mapped port names another.
            ("https://chat.example:8443", "chat.example:8443", "443", True),
            ("https://chat.example", "chat.example", "8443", True),
            ("https://evil.example:8443", "chat.example", "8443", False),
        ],
    )
    def test_a_port_beside_the_host_counts(
        self, app: Sanic[Any, Any], origin: str, host: str, port: str, allowed: bool
    ) -> None:
        assert allowed == passes(
            app,
            ("origin", origin),
            ("host", "10.0.0.7:8000"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", host),
            ("x-forwarded-port", port),
        )
