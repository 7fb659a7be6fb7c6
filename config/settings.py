"""The settings: one frozen object, read from the environment at startup and passed as an argument."""

import base64
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key has at least the size of the hash."""

ISSUER = "loa"
"""The `iss` of Loa's own tokens."""

MIN_TOKEN_LENGTH = 16
"""Characters: too many to guess, even with frequent attempts."""
MAX_PREVIOUS_SECRETS = 4
"""Each is tried in turn on a token that the current secret has not signed."""

MIN_API_KEY = 32
"""Characters: nobody guesses one, so attempts need not be counted."""
MAX_API_KEYS = 16
"""Each is compared with what a request has."""
API_KEY_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")

WEBHOOK_EVENTS = (
    "message.created",
    "message.updated",
    "conversation.created",
    "conversation.updated",
    "post.created",
    "comment.created",
    "notification.created",
    "user.created",
    "user.deleted",
    "report.created",
)
WEBHOOK_SECRET_PREFIX = "whsec_"  # noqa: S105
WEBHOOK_SECRET_BYTES = range(24, 65)
"""Standard Webhooks 1.0, "Signature scheme": the size of a secret."""
MAX_WEBHOOK_SECRETS = 4
MAX_URL_LENGTH = 2048

ATTACHMENT_SCHEMES = ("file", "s3", "gs", "az")
MAX_ATTACHMENT_BYTES = 100 * 2**20
"""A file of this size is stored within the time that a request may take."""

PUSH_HOSTS = (
    "fcm.googleapis.com",  # Chrome, and most browsers that are built on it
    "jmt17.google.com",  # Chromium without Google's keys, as Linux distributions build it
    "updates.push.services.mozilla.com",  # Firefox
    "*.push.apple.com",  # Safari
    "*.notify.windows.com",  # Edge on Windows
)
PUSH_HOST = re.compile(r"(?:\*\.)?[a-z0-9-]+(?:\.[a-z0-9-]+)*(?::[1-9][0-9]{0,4})?")
MAX_PUSH_HOSTS = 64
PUSH_CONTACT = re.compile(r"(?:mailto:[!-?A-~]+@[!-?A-~]+|https://[!-~]+)")

DAY = 24 * 3600
DEFAULT_PORTS = {"http": 80, "https": 443}


def redis_nodes(url: str) -> list[str]:
    """Return a URL for each node of a REDIS_URL: `redis://:secret@a:6379,b:6379` names two with the same password.

    Raises ValueError if a port is not a number, or if one of several nodes has no host.
    """
    parts = urlsplit(url)
    user, at, nodes = parts.netloc.rpartition("@")
    found = [parts._replace(netloc=f"{user}{at}{node}") for node in nodes.split(",")]
    for node in found:
        node.port  # noqa: B018
        if len(found) > 1 and not node.hostname:
            raise ValueError
    return [node.geturl() for node in found] if len(found) > 1 else [url]


def _parts(text: str) -> tuple[str, ...]:
    """Return the parts of a comma-separated list, without empty ones."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _origin(text: str) -> str:
    """Return `text` as browsers serialise it: lower case, host in ASCII, no default port. Raises ValueError."""
    if text.lower() == "null":
        return "null"
    parts = urlsplit(text.rstrip("/"))
    try:
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port
    except ValueError:
        host, port = "", None
    extra = parts.path or parts.query or parts.fragment or "@" in parts.netloc
    if not parts.scheme or not host or extra:
        raise ValueError(f"{text!r} is not an origin such as https://example.org")
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != DEFAULT_PORTS.get(parts.scheme) else "")


def is_utf8(text: str) -> bool:
    """Return whether the bytes of `text`, from the environment or the command line, were UTF-8."""
    return not any("\udc80" <= character <= "\udcff" for character in text)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key with which a server of the site authenticates itself. The log has its name."""

    name: str
    key: str = field(repr=False)


class SettingsError(Exception):
    """A variable has an invalid value. The message is one line that names the variable."""


class Settings(BaseSettings):
    """All settings. Each field is read from the environment variable of the same name in upper case.

    Without `mongodb_uri` or `redis_url`, an embedded server is started, whose files are in `data_dir`. Times are in
    seconds.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    port: int = Field(8000, ge=0, le=65535)
    host: str = ""
    mongodb_uri: str | None = None
    redis_url: str | None = None
    redis_prefix: str = Field("loa", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    """Part of the name of every key and channel: deployments that share a Redis have different ones."""
    data_dir: Path = Path(".data")
    jwt_secret: str = Field("", repr=False)
    jwt_secret_previous: Annotated[tuple[str, ...], NoDecode] = Field((), repr=False)
    api_keys: Annotated[tuple[ApiKey, ...], NoDecode] = Field((), repr=False)
    """Of the servers of a site; without any, the server API does not exist."""
    auth_issuer: str = ""
    """The `iss` of the tokens of the site that Loa stands beside. Empty: there are only tokens of Loa's own."""
    auth_jwks_url: str = ""
    auth_key: str = Field("", repr=False)
    """A PEM public key, or an HS256 secret."""
    auth_audience: str = ""
    local_accounts: Literal["on", "off"] = "on"
    """Whether people can register and sign in with a password."""
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: int = Field(default_factory=lambda: 1 if "DYNO" in os.environ else 0, ge=0, le=16)
    """Reverse proxies in front. Heroku, which sets DYNO, has one."""
    web_concurrency: int = Field(1, ge=1, le=64)
    access_token_ttl: int = Field(900, ge=1, le=DAY)
    refresh_token_ttl: int = Field(30 * DAY, ge=1, le=366 * DAY)
    session_max_age: int = Field(180 * DAY, ge=1, le=3660 * DAY)
    """Seconds after the sign-in for which the tokens of a session may be refreshed."""
    notification_retention_days: int = Field(90, ge=0, le=36_500)
    status_token: str = Field("", repr=False)
    webhook_url: str = Field("", repr=False)
    """Not in a log: its path may be what keeps it secret."""
    webhook_secret: Annotated[tuple[str, ...], NoDecode] = Field((), repr=False)
    webhook_events: Annotated[tuple[str, ...], NoDecode] = WEBHOOK_EVENTS
    webhook_private: Literal["on", "off"] = "off"
    attachments_url: str = ""
    """Where the files are that people attach; empty: in the database."""
    attachment_max_bytes: int = Field(25 * 2**20, ge=1024, le=MAX_ATTACHMENT_BYTES)
    push_hosts: Annotated[tuple[str, ...], NoDecode] = PUSH_HOSTS
    """The push services, each as `host`, or `*.host` for all names below it; either with `:port`."""
    push_delay: int = Field(10, ge=1, le=3600)
    """Seconds for which something is unread before it is pushed."""
    push_contact: str = ""
    push_private: Literal["on", "off"] = "off"
    search: Literal["on", "off"] = "on"
    otel_exporter_otlp_endpoint: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    rate_limits: Literal["on", "off"] = "on"

    @field_validator(
        "log_level", "rate_limits", "local_accounts", "webhook_private", "push_private", "search", mode="before"
    )
    @classmethod
    def _fold(cls, value: Any, info: Any) -> Any:
        if not isinstance(value, str):
            return value
        return value.upper() if info.field_name == "log_level" else value.lower()

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: Any) -> Any:
        """Accept any serialised origin (RFC 6454, 6.2): `https://a.example:8443`, `capacitor://localhost`, `null`."""
        if not isinstance(value, str):
            return value
        return tuple(map(_origin, _parts(value)))

    @field_validator("mongodb_uri")
    @classmethod
    def _check_mongodb_uri(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("must begin with mongodb:// or mongodb+srv://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        try:
            redis_nodes(value or "")
        except ValueError:
            # The message of the original error may quote a part of the password.
            raise ValueError(
                "a port is not a number, or a host is missing; a password that contains / ? # or @ must be URL-encoded"
            ) from None
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _check_secret(cls, value: str) -> str:
        if value and len(value.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"a secret must have at least {MIN_SECRET_BYTES} bytes")
        return value

    @field_validator("auth_issuer")
    @classmethod
    def _check_issuer(cls, value: str) -> str:
        if value == ISSUER:
            raise ValueError(f"must differ from {ISSUER!r}, the issuer of Loa's own tokens")
        return value

    @field_validator("auth_jwks_url")
    @classmethod
    def _check_jwks_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if value and not valid:
            raise ValueError("must be an http:// or https:// URL")
        if value and ("@" in parts.netloc or parts.fragment):
            raise ValueError("must not contain a user, a password or a fragment")
        return value

    @field_validator("auth_key")
    @classmethod
    def _check_auth_key(cls, value: str) -> str:
        if value:
            # Not before there is a key: loading the library takes a while.
            from config.auth_key import parse_auth_key

            parse_auth_key(value)
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value

    @field_validator("status_token")
    @classmethod
    def _check_status_token(cls, value: str) -> str:
        if value and not (
            MIN_TOKEN_LENGTH <= len(value) and value.isascii() and value.isprintable() and " " not in value
        ):
            raise ValueError(f"must have at least {MIN_TOKEN_LENGTH} characters, all printable ASCII without spaces")
        return value

    @field_validator("webhook_url")
    @classmethod
    def _check_webhook_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            valid = not value or (parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1))
        except ValueError:
            valid = False
        printable = value.isascii() and value.isprintable() and " " not in value
        if not valid or not printable or len(value) > MAX_URL_LENGTH:
            raise ValueError(f"must be an https:// URL in ASCII of at most {MAX_URL_LENGTH} characters")
        if "@" in parts.netloc or parts.fragment:
            raise ValueError("must have neither credentials nor a fragment")
        return value

    @field_validator("attachments_url")
    @classmethod
    def _check_attachments_url(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
        except ValueError:
            parts = urlsplit("")
        local = parts.scheme == "file"
        if value and (
            parts.scheme not in ATTACHMENT_SCHEMES
            or "@" in parts.netloc
            or parts.query
            or parts.fragment
            or local == bool(parts.netloc)
            or (local and len(parts.path) < 2)
            or (parts.scheme == "az" and len(parts.path) < 2)
        ):
            raise ValueError(
                "must be file:///directory, s3://bucket, gs://bucket or az://account/container, without credentials"
            )
        return value

    @field_validator("webhook_secret", "webhook_events", mode="before")
    @classmethod
    def _split_list(cls, value: Any) -> Any:
        return _parts(value) if isinstance(value, str) else value

    @field_validator("webhook_secret")
    @classmethod
    def _check_webhook_secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > MAX_WEBHOOK_SECRETS:
            raise ValueError(f"contains more than {MAX_WEBHOOK_SECRETS} secrets")
        for secret in value:
            try:
                key = base64.b64decode(secret.removeprefix(WEBHOOK_SECRET_PREFIX), validate=True)
            except ValueError:
                key = b""
            if not secret.startswith(WEBHOOK_SECRET_PREFIX) or len(key) not in WEBHOOK_SECRET_BYTES:
                raise ValueError("must be whsec_ and then 24 to 64 bytes in Base64")
        return value

    @field_validator("webhook_events")
    @classmethod
    def _check_webhook_events(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("must name an event; without WEBHOOK_URL there are no webhooks")
        for event in value:
            if event not in WEBHOOK_EVENTS:
                raise ValueError(f"{event[:64]!r} is none of {', '.join(WEBHOOK_EVENTS)}")
        return value

    @field_validator("push_contact")
    @classmethod
    def _check_push_contact(cls, value: str) -> str:
        if value and not PUSH_CONTACT.fullmatch(value):
            raise ValueError("must be mailto: and an e-mail address, or an https:// URL")
        return value

    @field_validator("push_hosts", mode="before")
    @classmethod
    def _split_push_hosts(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        return _parts(value.lower())

    @field_validator("push_hosts")
    @classmethod
    def _check_push_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not 1 <= len(value) <= MAX_PUSH_HOSTS:
            raise ValueError(f"must name 1 to {MAX_PUSH_HOSTS} hosts")
        for host in value:
            if not PUSH_HOST.fullmatch(host):
                raise ValueError(f"{host[:64]!r} is not a host such as push.example.org or *.push.example.org")
        return value

    @field_validator("jwt_secret_previous", mode="before")
    @classmethod
    def _split_secrets(cls, value: Any) -> Any:
        return _parts(value) if isinstance(value, str) else value

    @field_validator("jwt_secret_previous")
    @classmethod
    def _check_previous_secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > MAX_PREVIOUS_SECRETS:
            raise ValueError(f"contains more than {MAX_PREVIOUS_SECRETS} secrets")
        for secret in value:
            cls._check_secret(secret)
        return value

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split_api_keys(cls, value: Any) -> Any:
        """`name:key,…`; a key may contain colons."""
        if not isinstance(value, str):
            return value
        pairs = (part.partition(":") for part in _parts(value))
        return tuple(ApiKey(name.strip(), key.strip()) for name, _, key in pairs)

    @field_validator("api_keys")
    @classmethod
    def _check_api_keys(cls, value: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        # No message quotes a part of the value: without its name, a key would be taken for one.
        if len(value) > MAX_API_KEYS:
            raise ValueError(f"contains more than {MAX_API_KEYS} keys")
        for number, entry in enumerate(value, 1):
            key = entry.key
            if not API_KEY_NAME.fullmatch(entry.name):
                raise ValueError(f"entry {number} does not begin with a name of 1 to 32 of A-Z a-z 0-9 _ - and a colon")
            if len(key) < MIN_API_KEY or not (key.isascii() and key.isprintable()) or " " in key:
                raise ValueError(
                    f"the key of entry {number} must have at least {MIN_API_KEY} characters, all printable ASCII "
                    "without spaces"
                )
        if min(len({entry.name for entry in value}), len({entry.key for entry in value})) < len(value):
            raise ValueError("two entries have the same name or the same key")
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_host(cls, values: Any) -> Any:
        """A platform that sets PORT connects from outside, so listen on all addresses."""
        if isinstance(values, dict) and not values.get("host"):
            port_is_set = str(values.get("port") or 0).strip("0") != ""
            values["host"] = "0.0.0.0" if port_is_set else "127.0.0.1"  # noqa: S104
        return values

    @model_validator(mode="after")
    def _require_secret(self) -> "Settings":
        if self.mongodb_uri and not self.jwt_secret:
            raise ValueError("JWT_SECRET: required if MONGODB_URI is set")
        return self

    @model_validator(mode="after")
    def _check_auth(self) -> "Settings":
        if not self.auth_issuer:
            for name in ("auth_jwks_url", "auth_key", "auth_audience"):
                if getattr(self, name):
                    raise ValueError(f"AUTH_ISSUER: required if {name.upper()} is set")
        elif bool(self.auth_jwks_url) == bool(self.auth_key):
            raise ValueError("AUTH_ISSUER: needs AUTH_JWKS_URL or AUTH_KEY, and not both")
        if self.auth_key and self.auth_key in (self.jwt_secret, *self.jwt_secret_previous):
            raise ValueError("AUTH_KEY: must differ from JWT_SECRET")
        return self

    @model_validator(mode="after")
    def _check_webhooks(self) -> "Settings":
        if bool(self.webhook_url) != bool(self.webhook_secret):
            missing, given = ("SECRET", "URL") if self.webhook_url else ("URL", "SECRET")
            raise ValueError(f"WEBHOOK_{missing}: required if WEBHOOK_{given} is set")
        if self.webhook_url.startswith("http:") and self.webhook_private == "off":
            raise ValueError("WEBHOOK_URL: must begin with https://, unless WEBHOOK_PRIVATE is on")
        return self

    @property
    def max_access_ttl(self) -> int:
        """Seconds for which an access token may be valid, whether a user or a server of the site requests it."""
        return DAY if self.api_keys else self.access_token_ttl

    @property
    def redis_tag(self) -> str:
        """The prefix of all keys and channels but those of the rate limits; a hash tag (see `pool_options`)."""
        return f"{{{self.redis_prefix}}}"

    @property
    def redis_limits_tag(self) -> str:
        """The prefix of the keys of the rate limits: a hash tag of their own."""
        return f"{{{self.redis_prefix}:limits}}"

    @property
    def embeds(self) -> bool:
        """Whether an embedded datastore is needed, and with it the data directory."""
        return not (self.mongodb_uri and self.redis_url)

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the settings from `os.environ`. Raises SettingsError."""
        for setting in cls.model_fields:
            name = setting.upper()
            if not is_utf8(os.environ.get(name, "")):
                raise SettingsError(f"{name}: is not valid UTF-8")
        try:
            return cls()
        except ValidationError as error:
            problem = error.errors()[0]
            reason = problem["msg"].removeprefix("Value error, ")
            name = str(problem["loc"][0]).upper() if problem["loc"] else ""
            raise SettingsError(f"{name}: {reason}" if name else reason) from None
