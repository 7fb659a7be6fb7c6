"""The SQLite database."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated

from fastapi import Depends

from .settings import DATABASE

SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, username TEXT NOT NULL UNIQUE, name TEXT NOT NULL, password TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
    token_hash TEXT PRIMARY KEY, sid TEXT NOT NULL, expires_at REAL NOT NULL,
    user_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE);
CREATE TABLE IF NOT EXISTS posts (
    id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    title TEXT NOT NULL, price INTEGER NOT NULL, content TEXT NOT NULL, messages INTEGER NOT NULL DEFAULT 0,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS comments (
    id INTEGER PRIMARY KEY, post_id INTEGER NOT NULL REFERENCES posts ON DELETE CASCADE,
    author_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE,
    content TEXT NOT NULL, created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS orders (
    id INTEGER PRIMARY KEY, post_id INTEGER NOT NULL UNIQUE REFERENCES posts ON DELETE CASCADE,
    buyer_id INTEGER NOT NULL REFERENCES users ON DELETE CASCADE, shipped_at TEXT,
    created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE IF NOT EXISTS loa_calls (id INTEGER PRIMARY KEY, method TEXT NOT NULL, path TEXT NOT NULL, body TEXT);
CREATE TABLE IF NOT EXISTS webhooks (
    id TEXT PRIMARY KEY, type TEXT NOT NULL, data TEXT NOT NULL, received_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);
"""


def connect() -> sqlite3.Connection:
    """Open a connection. `with connection:` commits, or rolls back if an exception is raised."""
    # FastAPI may run the parts of one request in different threads, one after the other.
    connection = sqlite3.connect(DATABASE, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def create_tables() -> None:
    with closing(connect()) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)


def _connection() -> Iterator[sqlite3.Connection]:
    with closing(connect()) as connection:
        yield connection


Database = Annotated[sqlite3.Connection, Depends(_connection)]
