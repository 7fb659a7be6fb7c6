"""Settings: defaults, accepted values, and errors."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.settings import PUSH_HOSTS, WEBHOOK_EVENTS, ApiKey, Settings, SettingsError, redis_nodes

SECRET = "x" * 32


def read(monkeypatch: pytest.MonkeyPatch, **environment: str) -> Settings:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Settings.from_environment()


def test_all_settings_are_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without settings, Loa listens on loopback with embedded datastores."""
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
def test_listens_on_all_addresses_if_port_is_set(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], host: str
) -> None:
    """Unless HOST is set."""
    assert host == read(monkeypatch, **environment).host


def test_redis_url_may_name_several_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """They share one password, which may contain commas."""
    settings = read(monkeypatch, REDIS_URL="rediss://user:a,b@one:1,[::1]:2,three/0?ssl_cert_reqs=required")
    assert settings.redis_url
    assert [
        "rediss://user:a,b@one:1/0?ssl_cert_reqs=required",
        "rediss://user:a,b@[::1]:2/0?ssl_cert_reqs=required",
        "rediss://user:a,b@three/0?ssl_cert_reqs=required",
    ] == redis_nodes(settings.redis_url)
    assert ["unix:///tmp/a,b.sock"] == redis_nodes("unix:///tmp/a,b.sock")


@pytest.mark.parametrize("prefix", ["{loa}", "a:b", "a b", "a*", "", "x" * 65])
def test_redis_prefix_is_a_plain_name(monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """It goes into hash tags and patterns of access control lists."""
    if not prefix:
        assert "{loa}" == read(monkeypatch, REDIS_PREFIX=prefix).redis_tag
        return
    with pytest.raises(SettingsError, match=r"^REDIS_PREFIX: "):
        read(monkeypatch, REDIS_PREFIX=prefix)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A `.env` file may contain empty values."""
    settings = read(monkeypatch, MONGODB_URI="", REDIS_URL="", JWT_SECRET="", ALLOWED_ORIGINS="", LOG_LEVEL="")
    assert Settings() == settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("MONGODB_URI", "localhost:27017"),
        ("AUTH_ISSUER", "loa"),
        ("AUTH_ISSUER", "https://site.example/"),
        ("AUTH_JWKS_URL", "site.example/jwks.json"),
        ("AUTH_JWKS_URL", "file:///etc/passwd"),
        ("AUTH_JWKS_URL", "https://user:password@site.example/jwks.json"),
        ("AUTH_JWKS_URL", "https://site.example/jwks.json#key"),
        ("AUTH_JWKS_URL", "https://site.example:port/"),
        ("AUTH_KEY", "too short"),
        ("AUTH_KEY", "-----BEGIN PUBLIC KEY-----"),
        ("LOCAL_ACCOUNTS", "maybe"),
        ("REDIS_URL", "localhost:6379"),
        ("REDIS_URL", "redis://:pass/word@localhost:6379"),
        ("REDIS_URL", "redis://one:6379,two:port"),
        ("REDIS_URL", "redis://one:6379,"),
        ("JWT_SECRET", "x" * 31),
        ("JWT_SECRET_PREVIOUS", f"{SECRET},pass word"),
        ("JWT_SECRET_PREVIOUS", ",".join([SECRET] * 5)),
        ("STATUS_TOKEN", "a short word"),
        ("STATUS_TOKEN", "words with spaces between them"),
        ("API_KEYS", "shop"),
        ("API_KEYS", f"pass-word-{SECRET}"),
        ("API_KEYS", f":pass-word-{SECRET}"),
        ("API_KEYS", f"a shop:pass-word-{SECRET}"),
        ("API_KEYS", f"{'x' * 33}:pass-word-{SECRET}"),
        ("API_KEYS", f"shop:word-{'x' * 26}"),
        ("API_KEYS", f"shop:pass word {SECRET}"),
        ("API_KEYS", f"shop:wörd-{SECRET}"),
        ("API_KEYS", f"shop:word-1-{SECRET},shop:word-2-{SECRET}"),
        ("API_KEYS", f"shop:word-{SECRET},forum:word-{SECRET}"),
        ("API_KEYS", ",".join(f"n{number}:{number:032}" for number in range(17))),
        ("NOTIFICATION_RETENTION_DAYS", "-1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318"),
        ("ALLOWED_ORIGINS", "example.org"),
        ("ALLOWED_ORIGINS", "https://example.org/path"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_CONCURRENCY", "65"),
        ("ACCESS_TOKEN_TTL", "0"),
        ("REFRESH_TOKEN_TTL", "a month"),
        ("SESSION_MAX_AGE", "0"),
        ("LOG_LEVEL", "LOUD"),
        ("RATE_LIMITS", "maybe"),
    ],
)
def test_an_invalid_value_is_reported_in_one_line_with_the_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The value is not repeated: it may be a password."""
    with pytest.raises(SettingsError) as caught:
        read(monkeypatch, **{name: value})
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert "word" not in message.removeprefix(name).replace("a password", "")


def test_mongodb_uri_requires_jwt_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """A generated secret would differ from machine to machine."""
    with pytest.raises(SettingsError, match=r"^JWT_SECRET: .*MONGODB_URI"):
        read(monkeypatch, MONGODB_URI="mongodb://localhost")
    assert SECRET == read(monkeypatch, MONGODB_URI="mongodb://localhost", JWT_SECRET=SECRET).jwt_secret


def test_secret_length_is_counted_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_embeds_if_a_datastore_is_missing(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], embeds: bool
) -> None:
    assert embeds == read(monkeypatch, **environment).embeds


def test_origins_are_normalised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower case, without trailing slash and spaces."""
    settings = read(monkeypatch, ALLOWED_ORIGINS=" https://Example.org/ ,http://localhost:3000,")
    assert ("https://example.org", "http://localhost:3000") == settings.allowed_origins


def test_api_keys_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key may contain colons. Spaces around an entry are none of it."""
    settings = read(monkeypatch, API_KEYS=f" shop:{SECRET} ,forum-2 : a:{SECRET},")
    assert (ApiKey("shop", SECRET), ApiKey("forum-2", f"a:{SECRET}")) == settings.api_keys
    assert () == read(monkeypatch, API_KEYS="").api_keys


def test_access_tokens_live_longer_only_with_api_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of revoked sessions keeps each for as long as a token of it may be valid."""
    assert 900 == read(monkeypatch).max_access_ttl
    assert 24 * 3600 == read(monkeypatch, API_KEYS=f"shop:{SECRET}").max_access_ttl


def test_settings_are_immutable() -> None:
    with pytest.raises(ValidationError):
        Settings().port = 1  # type: ignore[misc]


def test_repr_hides_secrets() -> None:
    """Neither tracebacks nor logs contain them."""
    assert SECRET not in repr(Settings(jwt_secret=SECRET, jwt_secret_previous=(SECRET,)))
    assert SECRET not in repr(Settings(api_keys=(ApiKey("shop", SECRET),)))
    assert SECRET not in repr(ApiKey("shop", SECRET))
    assert "open-sesame-open" not in repr(Settings(status_token="open-sesame-open"))


def test_previous_secrets_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces around them are removed."""
    settings = read(monkeypatch, JWT_SECRET_PREVIOUS=f" {'a' * 32} ,{'b' * 32},")
    assert ("a" * 32, "b" * 32) == settings.jwt_secret_previous


def test_the_example_file_lists_all_settings_with_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Uncommenting a line changes nothing."""
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
def test_an_invalid_allowed_origin_is_rejected(monkeypatch: pytest.MonkeyPatch, written: str) -> None:
    with pytest.raises(SettingsError, match="ALLOWED_ORIGINS"):
        read(monkeypatch, ALLOWED_ORIGINS=written)


def test_heroku_is_one_trusted_proxy_and_elsewhere_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 == read(monkeypatch).trusted_proxies
    assert 1 == read(monkeypatch, DYNO="web.1").trusted_proxies
    assert 2 == read(monkeypatch, DYNO="web.1", TRUSTED_PROXIES="2").trusted_proxies


ISSUER = {"AUTH_ISSUER": "https://site.example/"}
JWKS = {"AUTH_JWKS_URL": "https://site.example/jwks.json"}


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        (ISSUER, "AUTH_ISSUER"),
        ({**ISSUER, **JWKS, "AUTH_KEY": SECRET}, "AUTH_ISSUER"),
        (JWKS, "AUTH_ISSUER"),
        ({"AUTH_KEY": SECRET}, "AUTH_ISSUER"),
        ({"AUTH_AUDIENCE": "loa"}, "AUTH_ISSUER"),
        ({**ISSUER, "AUTH_KEY": SECRET, "JWT_SECRET": SECRET}, "AUTH_KEY"),
        ({**ISSUER, "AUTH_KEY": SECRET, "JWT_SECRET_PREVIOUS": SECRET}, "AUTH_KEY"),
    ],
    ids=["no key", "two keys", "JWKS only", "key only", "audience only", "Loa's secret", "Loa's previous secret"],
)
def test_an_issuer_has_one_key_which_is_not_loas_own(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], named: str
) -> None:
    with pytest.raises(SettingsError, match=f"^{named}: ") as error:
        read(monkeypatch, **environment)
    assert SECRET not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("key", [JWKS, {"AUTH_KEY": SECRET}], ids=["JWKS", "secret"])
def test_a_site_signs_people_in(monkeypatch: pytest.MonkeyPatch, key: dict[str, str]) -> None:
    """Beside Loa's own accounts, unless these are off."""
    assert "on" == read(monkeypatch, **ISSUER, **key, AUTH_AUDIENCE="loa").local_accounts
    settings = read(monkeypatch, LOCAL_ACCOUNTS="OFF")
    assert ("off", "https://site.example/") == (settings.local_accounts, settings.auth_issuer)
    assert SECRET not in repr(settings)


HOOKS = {"WEBHOOK_URL": "https://example.org/loa?a=b", "WEBHOOK_SECRET": "whsec_" + "QUJD" * 8}


def test_webhooks_need_a_url_and_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default all events are sent, to public addresses over TLS."""
    settings = read(monkeypatch, **HOOKS)
    assert (HOOKS["WEBHOOK_URL"], (HOOKS["WEBHOOK_SECRET"],)) == (settings.webhook_url, settings.webhook_secret)
    assert (WEBHOOK_EVENTS, "off") == (settings.webhook_events, settings.webhook_private)
    assert HOOKS["WEBHOOK_SECRET"] not in repr(settings)
    assert "example.org" not in repr(settings)


def test_webhooks_may_have_several_secrets_and_selected_events(monkeypatch: pytest.MonkeyPatch) -> None:
    other = "whsec_" + "REVG" * 8
    several = {"WEBHOOK_SECRET": f"{HOOKS['WEBHOOK_SECRET']}, {other}", "WEBHOOK_EVENTS": "user.deleted, post.created"}
    settings = read(monkeypatch, **{**HOOKS, **several})
    assert (HOOKS["WEBHOOK_SECRET"], other) == settings.webhook_secret
    assert ("user.deleted", "post.created") == settings.webhook_events


def test_push_services_are_those_of_the_vendors_or_the_named_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    assert PUSH_HOSTS == read(monkeypatch).push_hosts
    named = read(monkeypatch, PUSH_HOSTS=" Push.example.org:8443, *.example.com,")
    assert ("push.example.org:8443", "*.example.com") == named.push_hosts


@pytest.mark.parametrize("contact", ["mailto:me@example.org", "https://example.org/contact"])
def test_push_services_are_told_a_contact(monkeypatch: pytest.MonkeyPatch, contact: str) -> None:
    assert contact == read(monkeypatch, PUSH_CONTACT=contact).push_contact


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PUSH_CONTACT", "me@example.org"),
        ("PUSH_CONTACT", "mailto:me"),
        ("PUSH_CONTACT", "mailto: me@example.org"),
        ("PUSH_CONTACT", "http://example.org"),
        ("PUSH_DELAY", "0"),
        ("PUSH_DELAY", "3601"),
        ("PUSH_PRIVATE", "perhaps"),
        ("SEARCH", "perhaps"),
    ],
)
def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}: "):
        read(monkeypatch, **{variable: value})


@pytest.mark.parametrize(
    "value",
    [
        ",",
        "https://push.example.org",
        "push.example.org/path",
        "*",
        "push.*.org",
        "push.example.org:0",
        "push_example.org",
        "user@example.org",
        "[::1]",
        ",".join(f"{number}.example.org" for number in range(65)),
    ],
    ids=range(10),
)
def test_wrong_push_hosts_are_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    with pytest.raises(SettingsError, match=r"^PUSH_HOSTS: "):
        read(monkeypatch, PUSH_HOSTS=value)


def test_a_private_receiver_needs_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://127.0.0.1:9000/hooks"
    assert url == read(monkeypatch, **{**HOOKS, "WEBHOOK_URL": url, "WEBHOOK_PRIVATE": "On"}).webhook_url


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("WEBHOOK_URL", "example.org/loa"),
        ("WEBHOOK_URL", "ftp://example.org/"),
        ("WEBHOOK_URL", "https:///loa"),
        ("WEBHOOK_URL", "https://example.org:port/"),
        ("WEBHOOK_URL", "https://user:pass@example.org/"),
        ("WEBHOOK_URL", "https://example.org/#part"),
        ("WEBHOOK_URL", "https://example.org/a b"),
        ("WEBHOOK_URL", "https://example.org/" + "x" * 2048),
        ("WEBHOOK_URL", "http://example.org/"),
        ("WEBHOOK_URL", ""),
        ("WEBHOOK_SECRET", ""),
        ("WEBHOOK_SECRET", "QUJD" * 8),
        ("WEBHOOK_SECRET", "whsec_" + "QUJD" * 7),
        ("WEBHOOK_SECRET", "whsec_" + "QUJD" * 22),
        ("WEBHOOK_SECRET", "whsec_" + "QUJ*" * 8),
        ("WEBHOOK_SECRET", ",".join([HOOKS["WEBHOOK_SECRET"]] * 5)),
        ("WEBHOOK_EVENTS", "message.created,message.deleted"),
        ("WEBHOOK_EVENTS", ","),
        ("WEBHOOK_PRIVATE", "perhaps"),
    ],
)
def test_a_wrong_webhook_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """Without the secret."""
    with pytest.raises(SettingsError, match=f"^{variable}: ") as caught:
        read(monkeypatch, **{**HOOKS, variable: value})
    assert "QUJ" not in str(caught.value)
    assert "pass" not in str(caught.value)
