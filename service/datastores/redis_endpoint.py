"""Where a REDIS_URL leads to, and how a connection signs in there."""

import ssl
from typing import NamedTuple

from service.datastores.cluster import Address


class RedisEndpoint(NamedTuple):
    """The servers of a REDIS_URL. `seeds`: the addresses in it; there are none if it names a Unix socket, `path`.

    `tls`: None without encryption. `username`, `password`: of the ACL user, or the password alone.
    """

    seeds: tuple[Address, ...]
    path: str | None
    tls: ssl.SSLContext | None
    username: str | None
    password: str | None
    database: int

    @property
    def hello(self) -> tuple[str, ...]:
        """The command that begins a connection: RESP3, and the credentials."""
        if self.password is None:
            return "HELLO", "3"
        return "HELLO", "3", "AUTH", self.username or "default", self.password
