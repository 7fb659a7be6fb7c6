"""What a connection saw of the database in its last command."""

from typing import Any

from secantus import server

_dispatch = server.dispatch


def dispatch(command: dict[str, Any], context: Any) -> dict[str, Any]:
    """Handle a command, as `commands.dispatch` does, and let go of the snapshot that it read.

    SecantusDB keeps it until the connection's next command. WiredTiger cannot write a page to disk while somebody may
    still read an older version of it; when it has grown too large, it tries to with every insert into it.
    """
    try:
        reply: dict[str, Any] = _dispatch(command, context)
        return reply
    finally:
        release_snapshot(context.storage)


def release_snapshot(store: Any) -> None:
    """Reset the cursors of this thread, unless it is in a transaction."""
    session = getattr(store._tls, "session", None)
    if session is not None and not getattr(store._tls, "user_txn", None):
        session.reset()
