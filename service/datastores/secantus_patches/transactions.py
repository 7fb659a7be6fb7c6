"""The transactions of writes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from secantus import commands
from secantus.storage import Storage, WriteConflictError
from wiredtiger import WiredTigerError

MAX_UPDATES = 1000
"""Updates in one transaction: what it has changed has to fit into the cache."""

Handler = Callable[[dict[str, Any], Any], dict[str, Any]]

_update: Handler = commands._update
_create_indexes: Handler = commands._create_indexes
_batch_transaction = Storage._batch_transaction
_refresh_read_snapshot = Storage._refresh_read_snapshot


class NotTogether(Exception):
    """One of the updates has failed, or has met a concurrent write: the transaction has to be rolled back."""


def update_together(command: dict[str, Any], context: Any) -> dict[str, Any]:
    """Do all updates of a command in one transaction, in place of `commands._update`, which syncs the disk for each."""
    updates = command.get("updates")
    if (
        not isinstance(updates, list)
        or not 1 < len(updates) <= MAX_UPDATES
        or any(not isinstance(update, dict) or update.get("multi") for update in updates)
    ):
        return _update(command, context)
    return _run_together(_update, command["update"], command, context)


def create_indexes_together(command: dict[str, Any], context: Any) -> dict[str, Any]:
    """Create a collection and its indexes in one transaction, in place of `commands._create_indexes`, which syncs the
    disk five times for each index."""
    return _run_together(_create_indexes, command["createIndexes"], command, context)


def _run_together(handler: Handler, collection: str, command: dict[str, Any], context: Any) -> dict[str, Any]:
    """Let `handler` handle the command in one transaction. If it fails, let it do so without."""
    store = context.storage
    if getattr(store._tls, "user_txn", None):
        return handler(command, context)
    try:
        with store._coll_lock(context.db_name, collection), store._batch_transaction():
            store._tls.together = True
            if handler is _create_indexes:
                store._tls.indexes = None
            try:
                reply = handler(command, context)
            finally:
                store._tls.together = False
            if not reply.get("ok") or "writeErrors" in reply:
                raise NotTogether
            return reply
    except (NotTogether, WriteConflictError, WiredTigerError):
        return handler(command, context)


@contextmanager
def batch_transaction(self: Any, *, sync: bool = False) -> Iterator[Any]:
    """Run the block in a transaction, as `Storage._batch_transaction` does, in which indexes are read once.

    Within `update_together`, run it in the transaction that has begun.
    """
    if getattr(self._tls, "together", False):
        try:
            yield self._session()
        except (WriteConflictError, WiredTigerError) as error:
            # SecantusDB would try the update again, in a transaction that can no longer be committed.
            raise NotTogether from error
        return
    with _batch_transaction(self, sync=sync) as session:
        self._tls.indexes = {}
        try:
            yield session
        finally:
            self._tls.indexes = None


def refresh_read_snapshot(self: Any) -> None:
    """See what others have written since, as `Storage._refresh_read_snapshot` does; not in a transaction."""
    if not getattr(self._tls, "together", False):
        _refresh_read_snapshot(self)
