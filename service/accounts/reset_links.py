"""Links with which a user who has forgotten their password chooses a new one."""

import hashlib
import re
import secrets
from datetime import datetime, timedelta
from typing import NamedTuple

LIFETIME = timedelta(hours=1)
FORMAT = re.compile(r"([0-9a-f]{24})\.([A-Za-z0-9_-]{43})")


class ResetToken(NamedTuple):
    """What a link carries. The user's document has `digest` (SHA-256 in hex digits), which opens nothing.

    The secret has 256 random bits, so nobody finds it by trying, and a slow hash would add nothing.
    """

    user_id: str
    secret: str

    @classmethod
    def new(cls, user_id: str) -> "ResetToken":
        return cls(user_id, secrets.token_urlsafe(32))

    @classmethod
    def parse(cls, text: str) -> "ResetToken | None":
        """Return the token that `text` is; None if it is none."""
        match = FORMAT.fullmatch(text)
        return cls(*match.groups()) if match else None

    def __str__(self) -> str:
        return f"{self.user_id}.{self.secret}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.secret.encode()).hexdigest()


class ResetLink(NamedTuple):
    """The open link of a user, as stored: at most one. A change of the password ends it."""

    digest: str
    expires_at: datetime

    def admits(self, token: ResetToken, moment: datetime) -> bool:
        return secrets.compare_digest(self.digest, token.digest) and moment < self.expires_at
