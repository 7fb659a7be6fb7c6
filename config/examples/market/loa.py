"""Loa beside the market: tokens for its users' browsers, and calls of its server API."""

import json
import logging
import sqlite3
import time
from typing import Any

import httpx
import jwt

from .sessions import Session, User
from .settings import API_KEY, AUTH_KEY, ISSUER, LOA_URL

log = logging.getLogger("uvicorn.error")

TOKEN_TTL = 600
"""Seconds. Loa's client asks for a new token before one expires."""

client = httpx.Client(base_url=f"{LOA_URL}/api/v1", timeout=10, trust_env=False)


def token(session: Session) -> str:
    """Return an access token for the user. Loa creates the user on first sight, and updates the name."""
    # With fractions of a second: a token that is issued right after a revocation is newer than it.
    now = time.time()
    claims = {
        "iss": ISSUER,
        "sub": str(session.user.id),
        "sid": session.sid,
        "name": session.user.name,
        "preferred_username": session.user.username,
        "iat": now,
        "exp": now + TOKEN_TTL,
    }
    return jwt.encode(claims, AUTH_KEY, "HS256")


def end_session(session: Session) -> None:
    """Have Loa close the connections of this session, in all tabs, and accept no token of it any more."""
    try:
        client.post("/auth/logout", headers={"Authorization": f"Bearer {token(session)}"})
    except httpx.HTTPError as error:
        log.warning("Loa cannot be reached; the last token is valid for another %.0f s: %s", TOKEN_TTL, error)


def call(method: str, path: str, body: Any = None) -> Any:
    """Call the server API now, and return the answer. Raises httpx.HTTPError."""
    response = client.request(method, f"/server{path}", json=body, headers={"Authorization": f"Bearer {API_KEY}"})
    response.raise_for_status()
    return response.json() if response.content else None


def call_later(db: sqlite3.Connection, method: str, path: str, body: Any = None) -> None:
    """Have the outbox make this call after the current transaction, even if the market or Loa is restarted."""
    db.execute("INSERT INTO loa_calls (method, path, body) VALUES (?, ?, ?)", (method, path, body and json.dumps(body)))


def upsert(db: sqlite3.Connection, user: User) -> None:
    """Make the user known to Loa, so that they can receive before they first open a page with Loa."""
    body = {"username": user.username, "display_name": user.name}
    call_later(db, "PUT", f"/users/{user.id}", body)


def notify(db: sqlite3.Connection, type: str, to: int, sender: User, preview: str, url: str, nonce: str) -> None:
    """Notify one user. The nonce makes repeating the call harmless."""
    if to == sender.id:
        return
    body = {
        "type": type,
        "to": [str(to)],
        "sender": str(sender.id),
        "preview": preview[:140],
        "url": url,
        "nonce": nonce,
    }
    call_later(db, "POST", "/notifications", body)


def create_conversation(external_id: str, participants: list[User], title: str) -> str:
    """Return the id of the conversation, which is created on the first call. Raises httpx.HTTPError."""
    for user in participants:
        call("PUT", f"/users/{user.id}", {"username": user.username, "display_name": user.name})
    body = {"external_id": external_id, "participants": [str(user.id) for user in participants], "title": title}
    return str(call("POST", "/conversations", body)["id"])
