"""The settings: one frozen object, read from the environment once at the start and passed on from there."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIN_SECRET_BYTES = 32
"""RFC 7518, section 3.2: an HS256 key has at least the size of the hash."""

MIN_TOKEN = 16
"""Characters: too many to guess, even for one who may try often."""
MAX_FORMER_SECRETS = 4
"""Each is tried on every token that none before it has signed."""

DAY = 24 * 3600
DEFAULT_PORTS = {"http": 80, "https": 443}


def redis_nodes(url: str) -> list[str]:
    """A URL for each node that a REDIS_URL names: `redis://:secret@a:6379,b:6379` names two, with one password.

    Raises ValueError where a port is none, or one of several has no host.
    """
    parts = urlsplit(url)
    user, at, nodes = parts.netloc.rpartition("@")
    found = [parts._replace(netloc=f"{user}{at}{node}") for node in nodes.split(",")]
    for node in found:
        node.port  # noqa: B018
        if len(found) > 1 and not node.hostname:
            raise ValueError
    return [node.geturl() for node in found] if len(found) > 1 else [url]


def _origin(text: str) -> str:
    """`text` as a browser serialises it: lower case, host names in ASCII, no default port. Raises ValueError."""
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


class SettingsError(Exception):
    """A variable holds what it cannot. The message is one line and names it."""


class Settings(BaseSettings):
    """What an operator can set. Every field is the environment variable of its name in capitals.

    A missing `mongodb_uri` or `redis_url` means: an embedded server for it, its files in `data_dir`.
    Times are in seconds.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    port: int = Field(8000, ge=0, le=65535)
    host: str = ""
    mongodb_uri: str | None = None
    redis_url: str | None = None
    data_dir: Path = Path(".data")
    jwt_secret: str = Field("", repr=False)
    jwt_secret_previous: Annotated[tuple[str, ...], NoDecode] = Field((), repr=False)
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    trusted_proxies: int = Field(default_factory=lambda: 1 if "DYNO" in os.environ else 0, ge=0, le=16)
    """Reverse proxies in front. Heroku, which sets DYNO, has one."""
    web_concurrency: int = Field(1, ge=1, le=64)
    access_token_ttl: int = Field(900, ge=1, le=DAY)
    refresh_token_ttl: int = Field(30 * DAY, ge=1, le=366 * DAY)
    notification_retention_days: int = Field(90, ge=0, le=36_500)
    status_token: str = Field("", repr=False)
    otel_exporter_otlp_endpoint: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    rate_limits: Literal["on", "off"] = "on"

    @field_validator("log_level", "rate_limits", mode="before")
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
        return tuple(_origin(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("mongodb_uri")
    @classmethod
    def _check_mongodb_uri(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("mongodb://", "mongodb+srv://")):
            raise ValueError("it begins with mongodb:// or mongodb+srv://")
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("it begins with redis://, rediss:// or unix://")
        try:
            redis_nodes(value or "")
        except ValueError:  # its own text would quote what may be a piece of the password
            raise ValueError(
                "a port is not a number, or a host is missing; a password with / ? # or @ in it has to be quoted"
            ) from None
        return value

    @field_validator("jwt_secret")
    @classmethod
    def _check_secret(cls, value: str) -> str:
        if value and len(value.encode()) < MIN_SECRET_BYTES:
            raise ValueError(f"a secret has at least {MIN_SECRET_BYTES} bytes")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("it begins with http:// or https://")
        return value

    @field_validator("status_token")
    @classmethod
    def _check_status_token(cls, value: str) -> str:
        if value and not (MIN_TOKEN <= len(value) and value.isascii() and value.isprintable() and " " not in value):
            raise ValueError(f"it needs {MIN_TOKEN} characters or more, of those that a header can hold")
        return value

    @field_validator("jwt_secret_previous", mode="before")
    @classmethod
    def _split_secrets(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("jwt_secret_previous")
    @classmethod
    def _check_former_secrets(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > MAX_FORMER_SECRETS:
            raise ValueError(f"it holds more than {MAX_FORMER_SECRETS} secrets")
        for secret in value:
            cls._check_secret(secret)
        return value

    @model_validator(mode="before")
    @classmethod
    def _default_host(cls, values: Any) -> Any:
        """Where the platform hands out the port, it also connects from outside: listen everywhere."""
        if isinstance(values, dict) and not values.get("host"):
            handed_out = str(values.get("port") or 0).strip("0") != ""
            values["host"] = "0.0.0.0" if handed_out else "127.0.0.1"  # noqa: S104
        return values

    @model_validator(mode="after")
    def _require_secret(self) -> "Settings":
        if self.mongodb_uri and not self.jwt_secret:
            raise ValueError("JWT_SECRET: it is required as soon as MONGODB_URI is set")
        return self

    @property
    def embeds(self) -> bool:
        """Whether there is a datastore to embed, and so a data directory to hold."""
        return not (self.mongodb_uri and self.redis_url)

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read `os.environ`. Raises SettingsError, in one line that names the variable."""
        try:
            return cls()
        except ValidationError as error:
            problem = error.errors()[0]
            reason = problem["msg"].removeprefix("Value error, ")
            name = str(problem["loc"][0]).upper() if problem["loc"] else ""
            raise SettingsError(f"{name}: {reason}" if name else reason) from None
