"""Makes the calls of Loa that the database remembers, in their order, until Loa has answered each."""

import json
import logging
import threading
from contextlib import closing

import httpx

from . import loa
from .database import connect

log = logging.getLogger("uvicorn.error")

MIN_DELAY, MAX_DELAY = 1.0, 60.0
"""Seconds between two attempts."""
REJECTED = {400, 404, 409, 413, 422}
"""Statuses after which the same call would fail again."""


class Outbox(threading.Thread):
    """A request stores its calls of Loa in the transaction that changes the market, so that neither happens without the
    other, and nobody waits for Loa. A call may be made twice: PUT and nonces make that harmless."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._changed = threading.Event()
        self._stopping = threading.Event()

    def wake(self) -> None:
        """Call after a commit."""
        self._changed.set()

    def stop(self) -> None:
        self._stopping.set()
        self._changed.set()
        self.join()

    def run(self) -> None:
        delay = MIN_DELAY
        while True:
            self._changed.clear()
            if self._stopping.is_set():
                return
            try:
                self._send_all()
                delay = MIN_DELAY
                # Also without a call of `wake`, in case a request ended between its commit and that call.
                self._changed.wait(MAX_DELAY)
            except httpx.HTTPError as error:
                log.warning("Loa cannot be reached, next attempt in %.0f s: %s", delay, error)
                self._stopping.wait(delay)
                delay = min(delay * 2, MAX_DELAY)

    def _send_all(self) -> None:
        with closing(connect()) as db:
            while not self._stopping.is_set():
                row = db.execute("SELECT * FROM loa_calls ORDER BY id LIMIT 1").fetchone()
                if row is None:
                    return
                body = json.loads(row["body"]) if row["body"] else None
                try:
                    loa.call(row["method"], row["path"], body)
                except httpx.HTTPStatusError as error:
                    if error.response.status_code not in REJECTED:
                        raise
                    log.error("Loa rejected %s %s: %s", row["method"], row["path"], error.response.text)
                with db:
                    db.execute("DELETE FROM loa_calls WHERE id = ?", (row["id"],))


outbox = Outbox()
