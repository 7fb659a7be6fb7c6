"""The changes of the last hour, which change streams read."""

from typing import Any

import bson
import wiredtiger
from secantus import storage


def first_change_since(self: Any, timestamp: bson.Timestamp) -> int:
    """Return the number of the first change at or after `timestamp`, in place of `Storage._find_seq_for_ts_scan`.

    That one decodes all changes of the last hour, up to 100,000, and other commands wait for it: seconds for each
    change stream that starts at a time. Later changes have later timestamps.
    """
    with self._lock:
        if self._closed:
            return 0
        session = self._conn.open_session()
    try:
        cursor = session.open_cursor(storage._OPLOG_TABLE, None)
        low, high = 0, self._next_seq
        while low < high:
            middle = (low + high) // 2
            change = change_from(cursor, middle)
            if change is not None and change[1] < timestamp:
                low = change[0] + 1
            else:
                high = middle
        change = change_from(cursor, low)
        return change[0] if change else int(self._next_seq)
    finally:
        session.close()


def change_from(cursor: Any, number: int) -> tuple[int, bson.Timestamp] | None:
    """Return number and timestamp of the first change that has this number or a later one."""
    cursor.set_key(number)
    found = cursor.search_near()
    if found == wiredtiger.WT_NOTFOUND or (found < 0 and cursor.next() != 0):
        return None
    return cursor.get_key(), bson.decode(cursor.get_value())["ts"]
