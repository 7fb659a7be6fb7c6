"""Orders: a buyer orders what a post offers, its author ships it, and the buyer hears of it."""

import sqlite3

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from . import loa
from .database import Database
from .outbox import outbox
from .posts import POSTS, find_post
from .sessions import CurrentSession
from .templates import page

router = APIRouter()


@router.get("/orders")
def list_orders(request: Request, db: Database, session: CurrentSession) -> HTMLResponse:
    orders = db.execute(
        f"{POSTS} WHERE orders.id IS NOT NULL AND (buyer_id = ? OR author_id = ?) ORDER BY orders.id DESC LIMIT 100",
        (session.user.id, session.user.id),
    ).fetchall()
    return page(request, "orders", session, orders=orders)


@router.post("/posts/{post_id}/order")
def order(db: Database, session: CurrentSession, post_id: int) -> RedirectResponse:
    post = find_post(db, post_id)
    if post["author_id"] == session.user.id:
        raise HTTPException(409)
    try:
        with db:
            added = db.execute("INSERT INTO orders (post_id, buyer_id) VALUES (?, ?)", (post_id, session.user.id))
            preview, nonce = f"“{post['title']}”", f"order-{added.lastrowid}"
            loa.notify(db, "ORDER_PLACED", post["author_id"], session.user, preview, "/orders", nonce)
    except sqlite3.IntegrityError:
        raise HTTPException(409) from None
    outbox.wake()
    return RedirectResponse("/orders", 303)


@router.post("/orders/{order_id}/ship")
def ship(db: Database, session: CurrentSession, order_id: int) -> RedirectResponse:
    """Mark an order as shipped. Only the author of the post may."""
    with db:
        shipped = db.execute(
            "UPDATE orders SET shipped_at = CURRENT_TIMESTAMP WHERE id = ? AND shipped_at IS NULL"
            " AND post_id IN (SELECT id FROM posts WHERE author_id = ?) RETURNING buyer_id, post_id",
            (order_id, session.user.id),
        ).fetchone()
        if shipped is None:
            raise HTTPException(404)
        preview = f"“{find_post(db, shipped['post_id'])['title']}” is on its way."
        link, nonce = f"/orders#order-{order_id}", f"order-{order_id}-shipped"
        loa.notify(db, "ORDER_SHIPPED", shipped["buyer_id"], session.user, preview, link, nonce)
    outbox.wake()
    return RedirectResponse("/orders", 303)
