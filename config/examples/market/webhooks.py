"""Receives the webhooks of Loa (Standard Webhooks)."""

import json
import sqlite3
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from standardwebhooks import Webhook, WebhookVerificationError

from .database import Database
from .posts import find_post_id
from .settings import WEBHOOK_SECRET

router = APIRouter()
webhook = Webhook(WEBHOOK_SECRET)


@router.post("/webhooks/loa", status_code=204)
async def receive(request: Request, db: Database) -> None:
    """Verify and store an event. Loa delivers each at least once, with the same `webhook-id` every time."""
    try:
        event: dict[str, Any] = webhook.verify(await request.body(), dict(request.headers))
    except (WebhookVerificationError, ValueError):
        # ValueError: headers or a body that are not even well-formed.
        raise HTTPException(401) from None
    await run_in_threadpool(_store, db, request.headers["webhook-id"], event)


def _store(db: sqlite3.Connection, webhook_id: str, event: dict[str, Any]) -> None:
    data = event["data"]
    with db:
        added = db.execute(
            "INSERT OR IGNORE INTO webhooks (id, type, data) VALUES (?, ?, ?)",
            (webhook_id, event["type"], json.dumps(data)),
        )
        if added.rowcount and event["type"] == "message.created" and data["kind"] == "text":
            post_id = find_post_id(data["conversation_external_id"] or "")
            db.execute("UPDATE posts SET messages = messages + 1 WHERE id = ?", (post_id,))
