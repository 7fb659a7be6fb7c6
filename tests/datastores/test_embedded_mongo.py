"""What the embedded MongoDB does otherwise than SecantusDB."""

from secantus.sessions import SessionRegistry

from service.datastores.embedded_mongo import PRUNE_INTERVAL, prune_seldom


def test_old_sessions_are_dropped_once_in_an_interval() -> None:
    """A search with each command would go through all sessions."""
    now = 0.0
    sessions = SessionRegistry(idle_ttl_seconds=1, time_func=lambda: now)
    prune_seldom(sessions, "_prune_locked", lambda: now)
    old, new = b"o" * 16, b"n" * 16
    sessions.register(old)
    now = PRUNE_INTERVAL - 0.1
    sessions.register(new)
    assert sessions.is_known(old)
    now = PRUNE_INTERVAL
    sessions.register(new)
    assert (False, True) == (sessions.is_known(old), sessions.is_known(new))
