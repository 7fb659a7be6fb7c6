"""Which origins may open a socket or stream."""

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
    """Without a proxy."""

    @pytest.mark.parametrize(
        ("origin", "host"),
        [
            ("http://chat.example", "chat.example"),
            ("http://chat.example", "chat.example:80"),
            ("http://chat.example:80", "chat.example"),
            ("http://localhost:8000", "localhost:8000"),
            ("http://[::1]:8000", "[::1]:8000"),
            ("http://CHAT.example", "chat.EXAMPLE"),
            # A proxy that terminates TLS without saying so.
            ("https://chat.example", "chat.example"),
            ("https://chat.example", "chat.example:443"),
            # Configured.
            ("https://front.example", "chat.example"),
            ("HTTPS://front.example", "chat.example"),
            ("http://localhost:5173", "localhost:8000"),
        ],
    )
    def test_accepts_its_own_and_configured_origins(self, app: Sanic[Any, Any], origin: str, host: str) -> None:
        """The host and port of the request, or an origin of the list."""
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
    def test_rejects_other_origins(self, app: Sanic[Any, Any], origin: str, host: str) -> None:
        """Another host, port or scheme, or something that is not an origin."""
        assert not passes(app, ("origin", origin), ("host", host))

    def test_accepts_a_request_without_origin(self, app: Sanic[Any, Any]) -> None:
        """It does not come from a browser."""
        assert passes(app, ("host", "chat.example"))

    def test_rejects_two_origins(self, app: Sanic[Any, Any]) -> None:
        assert not passes(
            app, ("origin", "http://chat.example"), ("origin", "https://evil.example"), ("host", "chat.example")
        )

    def test_ignores_forwarded_headers(self, app: Sanic[Any, Any]) -> None:
        """Without a trusted proxy the client itself sent them."""
        assert not passes(
            app,
            ("origin", "https://evil.example"),
            ("host", "chat.example"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil.example"),
        )


class TestBehindProxy:
    """Behind one trusted proxy, which sends X-Forwarded headers."""

    @pytest.fixture
    def app(self, app: Sanic[Any, Any]) -> Sanic[Any, Any]:
        app.config.PROXIES_COUNT = 1
        return app

    @pytest.mark.parametrize(
        ("origin", "scheme", "allowed"),
        [
            ("https://chat.example", "https", True),
            # Anyone on the network may have modified the page.
            ("http://chat.example", "https", False),
            ("http://chat.example", "http", True),
            ("https://evil.example", "https", False),
        ],
    )
    def test_compares_with_the_forwarded_host_and_scheme(
        self, app: Sanic[Any, Any], origin: str, scheme: str, allowed: bool
    ) -> None:
        assert allowed == passes(
            app,
            ("origin", origin),
            ("host", "10.0.0.7:8000"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "chat.example"),
            ("x-forwarded-proto", scheme),
        )

    def test_falls_back_to_the_host_header(self, app: Sanic[Any, Any]) -> None:
        """Heroku keeps Host and adds only the scheme."""
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
