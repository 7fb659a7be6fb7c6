"""Registering, signing in and out, and the token with which a browser goes to Loa."""

import sqlite3
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from . import loa
from .database import Database
from .outbox import outbox
from .passwords import UNKNOWN_USER, hash_password, is_correct
from .sessions import CurrentSession, OptionalSession, User, sign_in, sign_out
from .templates import page

router = APIRouter()

Username = Annotated[str, Form(pattern=r"^[a-z0-9_.]{3,32}$")]
Password = Annotated[str, Form(min_length=8, max_length=128)]
Name = Annotated[str, Form(min_length=1, max_length=64)]


@router.get("/login")
def login_page(request: Request, session: OptionalSession) -> HTMLResponse:
    return page(request, "login", session)


@router.post("/register")
def register(request: Request, db: Database, username: Username, name: Name, password: Password) -> Response:
    try:
        with db:
            added = db.execute(
                "INSERT INTO users (username, name, password) VALUES (?, ?, ?)",
                (username, name, hash_password(password)),
            )
            user = User(added.lastrowid or 0, username, name)
            loa.upsert(db, user)
    except sqlite3.IntegrityError:
        return page(request, "login", None, 409, error="This username is taken.")
    outbox.wake()
    return _signed_in(request, db, user.id)


@router.post("/login")
def login(request: Request, db: Database, username: Username, password: Password) -> Response:
    row = db.execute("SELECT id, password FROM users WHERE username = ?", (username,)).fetchone()
    if not is_correct(password, row["password"] if row else UNKNOWN_USER) or row is None:
        return page(request, "login", None, 401, error="This is not the username and password of anyone.")
    return _signed_in(request, db, row["id"])


@router.post("/logout")
def logout(request: Request, db: Database, session: CurrentSession, tasks: BackgroundTasks) -> Response:
    response = RedirectResponse("/", 303, background=tasks)
    sign_out(db, request, response)
    tasks.add_task(loa.end_session, session)
    return response


@router.post("/loa/token")
def token(session: CurrentSession) -> dict[str, str]:
    """What `getToken` of the page calls."""
    return {"access_token": loa.token(session)}


def _signed_in(request: Request, db: sqlite3.Connection, user_id: int) -> Response:
    response = RedirectResponse("/", 303)
    sign_in(db, request, response, user_id)
    return response
