"""Who is signed in: a random token in a cookie, of which the database has a hash."""

import hashlib
import secrets
import sqlite3
import time
from typing import Annotated, NamedTuple

from fastapi import Depends, HTTPException, Request, Response

from .database import Database

COOKIE = "market_session"
MAX_AGE = 14 * 24 * 3600
"""Seconds."""


class User(NamedTuple):
    id: int
    username: str
    name: str


class Session(NamedTuple):
    user: User
    sid: str
    """Identifies the session to Loa; unlike the cookie, it opens nothing."""


def sign_in(db: sqlite3.Connection, request: Request, response: Response, user_id: int) -> None:
    token = secrets.token_urlsafe(32)
    with db:
        db.execute("DELETE FROM sessions WHERE expires_at < ?", (time.time(),))
        db.execute(
            "INSERT INTO sessions (token_hash, sid, expires_at, user_id) VALUES (?, ?, ?, ?)",
            (_hash(token), secrets.token_hex(8), time.time() + MAX_AGE, user_id),
        )
    secure = request.url.scheme == "https"
    response.set_cookie(COOKIE, token, max_age=MAX_AGE, httponly=True, samesite="lax", secure=secure)


def sign_out(db: sqlite3.Connection, request: Request, response: Response) -> None:
    with db:
        db.execute("DELETE FROM sessions WHERE token_hash = ?", (_hash(request.cookies.get(COOKIE, "")),))
    response.delete_cookie(COOKIE)


def find_session(request: Request, db: Database) -> Session | None:
    row = db.execute(
        "SELECT users.id, username, name, sid FROM sessions JOIN users ON users.id = user_id"
        " WHERE token_hash = ? AND expires_at > ?",
        (_hash(request.cookies.get(COOKIE, "")), time.time()),
    ).fetchone()
    return Session(User(row["id"], row["username"], row["name"]), row["sid"]) if row else None


OptionalSession = Annotated[Session | None, Depends(find_session)]


def _required(session: OptionalSession) -> Session:
    if session is None:
        raise HTTPException(401)
    return session


CurrentSession = Annotated[Session, Depends(_required)]


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
