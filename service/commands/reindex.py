"""`python -m service reindex`: indexes the messages that the search does not know, while the site runs."""

import time
from collections.abc import Callable

from config.settings import Settings
from service.chat.message_store import MessageStore
from service.commands.database import open_database
from service.search.backfill import Backfill, Progress
from service.search.index_builder import IndexBuilder
from service.search.index_store import IndexStore

INTERVAL = 2.0
"""Seconds between two lines of progress."""


async def reindex(settings: Settings, show: Callable[[str], None], *, rebuild: bool = False) -> Progress:
    """Index what is missing; with `rebuild`, everything again. `show` gets lines of progress, and in the end a summary.

    Continues where an earlier call was interrupted. Raises CannotUseDatabase.
    """
    async with open_database(settings) as database:
        store = IndexStore(database)
        if rebuild:
            await store.next_generation()
        progress, shown_at = Progress(0, 0), time.monotonic()
        messages = MessageStore(database)
        async for progress in Backfill(database, messages, store, IndexBuilder(messages, store)).index_all():
            if time.monotonic() - shown_at >= INTERVAL:
                show(_line(progress))
                shown_at = time.monotonic()
    show(f"{_line(progress)} The search index is complete.")
    return progress


def _line(progress: Progress) -> str:
    return f"{progress.messages:,} messages indexed, {progress.conversations:,} conversations done."
