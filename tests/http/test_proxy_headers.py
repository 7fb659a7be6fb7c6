"""`X-Forwarded-…` headers of trusted proxies."""

import pytest
from sanic.compat import Header

from service.http.proxy_headers import parse_forwarded

FOR = ("x-forwarded-for", "1.2.3.4")


def parse(proxies: int, *headers: tuple[str, str]) -> dict[str, int | str]:
    return parse_forwarded(Header(headers), proxies)


def test_without_proxies_no_entry_is_trusted() -> None:
    assert {} == parse(0, FOR, ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil.example"))


def test_a_request_that_bypassed_a_proxy_is_not_trusted() -> None:
    assert {} == parse(1, ("x-forwarded-proto", "https"))
    assert {} == parse(2, FOR, ("x-forwarded-host", "evil.example"))


def test_the_outermost_trusted_proxy_names_the_client() -> None:
    """Entries of all lines count, in their order; the client wrote those before."""
    lines = [("x-forwarded-for", "6.6.6.6, 9.9.9.9"), ("x-forwarded-for", "1.2.3.4 , 10.0.0.1")]
    assert "10.0.0.1" == parse(1, *lines)["for"]
    assert "1.2.3.4" == parse(2, *lines)["for"]


def test_the_line_that_the_client_sent_does_not_count() -> None:
    """A proxy may add a line of its own instead of replacing that of the client."""
    found = parse(1, FOR, ("x-forwarded-proto", "http"), ("x-forwarded-proto", "https"))
    assert "https" == found["proto"]
    found = parse(1, FOR, ("x-forwarded-host", "evil.example"), ("x-forwarded-host", "chat.example:8443"))
    assert "chat.example:8443" == found["host"]


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("1.2.3.4:5678", "1.2.3.4"),
        ("2001:DB8::1", "[2001:db8::1]"),
        ("[2001:db8::1]", "[2001:db8::1]"),
        ("[2001:db8::1]:443", "[2001:db8::1]"),
        ("unknown", "unknown"),
        ("x" * 1000, "x" * 64),
    ],
)
def test_an_address_has_no_port_and_a_bound(entry: str, address: str) -> None:
    assert address == parse(1, ("x-forwarded-for", entry))["for"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-forwarded-proto", "javascript"),
        ("x-forwarded-host", "a/b"),
        ("x-forwarded-host", "u@a"),
        ("x-forwarded-port", "0"),
        ("x-forwarded-port", "99999"),
        ("x-forwarded-port", "-1"),
    ],
)
def test_invalid_hosts_schemes_and_ports_are_ignored(name: str, value: str) -> None:
    assert {"for": "1.2.3.4"} == parse(1, FOR, (name, value))
