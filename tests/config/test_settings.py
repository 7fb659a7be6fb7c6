"""What the environment may say, and what is said back."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.settings import Settings, SettingsError, redis_nodes

SECRET = "x" * 32


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def test_everything_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has to be set: Loa listens on loopback, with embedded datastores."""
    settings = read(monkeypatch)
    assert (8000, "127.0.0.1", 1) == (settings.port, settings.host, settings.web_concurrency)
    assert settings.embeds


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ({"PORT": "5000"}, "0.0.0.0"),
        ({"PORT": "5000", "HOST": "127.0.0.2"}, "127.0.0.2"),
        ({"PORT": "0"}, "127.0.0.1"),
        ({"PORT": ""}, "127.0.0.1"),
    ],
)
def test_a_platform_that_gives_the_port_connects_from_outside(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], host: str
) -> None:
    """With PORT set, every address is listened on, unless HOST says which."""
    assert host == read(monkeypatch, **environment).host


def test_redis_may_be_several_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one cluster, with one password, which may have commas in it."""
    settings = read(monkeypatch, REDIS_URL="rediss://user:a,b@one:1,[::1]:2,three/0?ssl_cert_reqs=required")
    assert settings.redis_url
    assert [
        "rediss://user:a,b@one:1/0?ssl_cert_reqs=required",
        "rediss://user:a,b@[::1]:2/0?ssl_cert_reqs=required",
        "rediss://user:a,b@three/0?ssl_cert_reqs=required",
    ] == redis_nodes(settings.redis_url)
    assert ["unix:///tmp/a,b.sock"] == redis_nodes("unix:///tmp/a,b.sock")


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a `.env` file has them."""
    settings = read(monkeypatch, MONGODB_URI="", REDIS_URL="", JWT_SECRET="", ALLOWED_ORIGINS="", LOG_LEVEL="")
    assert Settings() == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("MONGODB_URI", "localhost:27017"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://:pass/word@localhost:6379"),
        ("REDIS_URL", "redis://one:6379,two:port"),
        ("REDIS_URL", "redis://one:6379,"),
        ("JWT_SECRET", "x" * 31),
        ("JWT_SECRET_PREVIOUS", f"{SECRET},pass word"),
        ("JWT_SECRET_PREVIOUS", ",".join([SECRET] * 5)),
        ("STATUS_TOKEN", "a short word"),
        ("STATUS_TOKEN", "words with spaces between them"),
        ("NOTIFICATION_RETENTION_DAYS", "-1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("ALLOWED_ORIGINS", "example.org"),
        ("ALLOWED_ORIGINS", "https://example.org/path"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "65"),
        ("ACCESS_TOKEN_TTL", "0"),
        ("REFRESH_TOKEN_TTL", "a month"),
        ("LOG_LEVEL", "LOUD"),
        ("RATE_LIMITS", "maybe"),
    ],
)
def test_a_wrong_value_is_told_in_one_line_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """And that keeps the value to itself: it may be a password."""
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert "word" not in message.removeprefix(name).replace("a password", "")


def test_a_database_of_ones_own_requires_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated one would differ from machine to machine."""
    with pytest.raises(SettingsError, match=r"^JWT_SECRET: .*MONGODB_URI"):
        read(monkeypatch, MONGODB_URI="mongodb://localhost")
    assert SECRET == read(monkeypatch, MONGODB_URI="mongodb://localhost", JWT_SECRET=SECRET).jwt_secret


def test_a_secret_is_measured_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven characters of three bytes each are enough."""
    assert read(monkeypatch, JWT_SECRET="ế" * 11).jwt_secret


@pytest.mark.parametrize(
    ("environment", "embeds"),
    [
        ({}, True),
        ({"REDIS_URL": "redis://localhost"}, True),
        ({"MONGODB_URI": "mongodb://localhost", "JWT_SECRET": SECRET}, True),
        ({"MONGODB_URI": "mongodb+srv://example.org/loa", "REDIS_URL": "rediss://h", "JWT_SECRET": SECRET}, False),
    ],
)
def test_one_missing_datastore_is_enough_to_embed(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], embeds: bool
) -> None:
    """And with both at hand nothing is embedded."""
    assert embeds == read(monkeypatch, **environment).embeds


def test_origins_are_folded_as_browsers_send_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """In small letters, without the slash, and without blanks."""
    settings = read(monkeypatch, ALLOWED_ORIGINS=" https://Example.org/ ,http://localhost:3000,")
    assert ("https://example.org", "http://localhost:3000") == settings.allowed_origins


def test_settings_cannot_be_changed() -> None:
    """They are read once and passed on."""
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_the_secret_is_not_shown() -> None:
    """Neither in a traceback nor in a log."""
    assert SECRET not in repr(Settings(jwt_secret=SECRET, jwt_secret_previous=(SECRET,)))
    assert "open-sesame-open" not in repr(Settings(status_token="open-sesame-open"))


def test_there_may_be_several_former_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Separated by commas; blanks around them are not theirs."""
    settings = read(monkeypatch, JWT_SECRET_PREVIOUS=f" {'a' * 32} ,{'b' * 32},")
    assert ("a" * 32, "b" * 32) == settings.jwt_secret_previous


def test_the_example_names_every_setting_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reader uncomments there works, and changes nothing."""
    lines = (Path(__file__).parents[2] / "config" / ".env.example").read_text().splitlines()
    example = dict(line.removeprefix("#").split("=", 1) for line in lines if re.match(r"#[A-Z_]+=", line))
    assert {field.upper() for field in Settings.model_fields} == example.keys()
    for name in ("MONGODB_URI", "REDIS_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        assert not Settings.model_fields[name.lower()].default
        del example[name]
    assert Settings() == read(monkeypatch, **example)


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://Example.org/", "https://example.org"),
        ("https://site.example:8443", "https://site.example:8443"),
        ("https://site.example:443", "https://site.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("null", "null"),
    ],
)
def test_an_allowed_origin_is_any_serialised_origin(monkeypatch: pytest.MonkeyPatch, written: str, origin: str) -> None:
    assert (origin,) == read(monkeypatch, ALLOWED_ORIGINS=written).allowed_origins


@pytest.mark.parametrize(
    "written", ["https://a/b", "https://u@a", "a.example", "https://a:99999", "https://", "https://a?b"]
)
def test_anything_else_is_no_origin(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS"):
        read(monkeypatch, ALLOWED_ORIGINS=written)


def test_heroku_is_one_trusted_proxy_and_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 == read(monkeypatch).trusted_proxies
    assert 1 == read(monkeypatch, DYNO="web.1").trusted_proxies
    assert 2 == read(monkeypatch, DYNO="web.1", TRUSTED_PROXIES="2").trusted_proxies
