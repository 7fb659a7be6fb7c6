"""Posts, which offer things, and the comments below them."""

import re
import sqlite3
from typing import Annotated

import httpx
from fastapi import APIRouter, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from . import loa
from .database import Database
from .outbox import outbox
from .sessions import CurrentSession, OptionalSession, User
from .templates import page

router = APIRouter()

Title = Annotated[str, Form(min_length=1, max_length=60)]
Price = Annotated[int, Form(ge=0, le=1_000_000)]
Content = Annotated[str, Form(min_length=1, max_length=2000)]

POSTS = """
    SELECT posts.*, users.name AS author, users.username, orders.id AS order_id, buyer_id, shipped_at,
        (SELECT count(*) FROM comments WHERE post_id = posts.id) AS comment_count
    FROM posts JOIN users ON users.id = author_id LEFT JOIN orders ON orders.post_id = posts.id
"""


@router.get("/")
def list_posts(request: Request, db: Database, session: OptionalSession) -> HTMLResponse:
    posts = db.execute(f"{POSTS} ORDER BY posts.id DESC LIMIT 60").fetchall()
    return page(request, "posts", session, posts=posts)


@router.post("/posts")
def create_post(
    db: Database, session: CurrentSession, title: Title, price: Price, content: Content
) -> RedirectResponse:
    with db:
        added = db.execute(
            "INSERT INTO posts (author_id, title, price, content) VALUES (?, ?, ?, ?)",
            (session.user.id, title, price, content),
        )
    return RedirectResponse(f"/posts/{added.lastrowid}", 303)


@router.get("/posts/{post_id}")
def show_post(request: Request, db: Database, session: OptionalSession, post_id: int) -> HTMLResponse:
    comments = db.execute(
        "SELECT comments.*, name AS author FROM comments JOIN users ON users.id = author_id WHERE post_id = ?"
        " ORDER BY comments.id LIMIT 500",
        (post_id,),
    ).fetchall()
    return page(request, "post", session, post=find_post(db, post_id), comments=comments)


@router.post("/posts/{post_id}/comments")
def comment(db: Database, session: CurrentSession, post_id: int, content: Content) -> RedirectResponse:
    """Comment on a post. Its author is notified by Loa, for which the commenter does not wait."""
    post = find_post(db, post_id)
    with db:
        added = db.execute(
            "INSERT INTO comments (post_id, author_id, content) VALUES (?, ?, ?)", (post_id, session.user.id, content)
        )
        link = f"/posts/{post_id}#comment-{added.lastrowid}"
        nonce = f"comment-{added.lastrowid}"
        loa.notify(db, "COMMENT_ON_POST", post["author_id"], session.user, content, link, nonce)
    outbox.wake()
    return RedirectResponse(link, 303)


@router.post("/posts/{post_id}/chat")
def chat(db: Database, session: CurrentSession, post_id: int) -> RedirectResponse:
    """Open the conversation of this user with the author about this post."""
    post = find_post(db, post_id)
    author = User(post["author_id"], post["username"], post["author"])
    if author.id == session.user.id:
        raise HTTPException(409)
    try:
        external_id = conversation_external_id(post_id, session.user)
        conversation = loa.create_conversation(external_id, [session.user, author], post["title"])
    except httpx.HTTPError:
        raise HTTPException(503, headers={"Retry-After": "5"}) from None
    return RedirectResponse(f"/messages/{conversation}", 303)


def conversation_external_id(post_id: int, buyer: User) -> str:
    return f"post-{post_id}-{buyer.id}"


def find_post_id(external_id: str) -> int | None:
    """Return the id of the post that the conversation is about."""
    found = re.fullmatch(r"post-(\d{1,18})-\d+", external_id)
    return int(found[1]) if found else None


def find_post(db: sqlite3.Connection, post_id: int) -> sqlite3.Row:
    """Raises HTTPException (404)."""
    post: sqlite3.Row | None = db.execute(f"{POSTS} WHERE posts.id = ?", (post_id,)).fetchone()
    if post is None:
        raise HTTPException(404)
    return post
