"""Instrumentation of the workers. Every Python process with this folder on PYTHONPATH runs it; Loa knows nothing of it.

On SIGUSR2 a worker writes the number of its tasks, connections and queued events to a file in FAULTS_COUNTS_DIR.

If FAULTS_KILL_POINT names a file, the methods below are wrapped. When a worker reaches the kill point named in that
file, it kills itself with SIGKILL, and its parent, too, if the file says "server". See `tests/faults/kill_point.py`.

If FAULTS_DELETION_GRACE is set, it is the number of seconds between the two passes of the deletion of a post.

If FAULTS_WEBHOOK_RETRY is set, it is the number of seconds between all attempts to deliver a webhook.

Under libfaketime this module also replaces `time.sleep`: Python's version waits for a point on the monotonic clock,
which that library changes, and would fail.
"""

import asyncio
import contextlib
import ctypes
import datetime
import functools
import gc
import inspect
import os
import select
import signal
import sys
import time
from importlib import import_module

KILL_POINT_FILE = os.environ.get("FAULTS_KILL_POINT", "")
DELETION_GRACE = os.environ.get("FAULTS_DELETION_GRACE", "")
WEBHOOK_RETRY = os.environ.get("FAULTS_WEBHOOK_RETRY", "")
COUNTS_DIRECTORY = os.environ.get("FAULTS_COUNTS_DIR", "")

POINTS = {
    "before-insert": ("motor.motor_asyncio", "AsyncIOMotorCollection.insert_many", "before", "is_messages_collection"),
    "after-insert": ("motor.motor_asyncio", "AsyncIOMotorCollection.insert_many", "after", "is_messages_collection"),
    "before-publish": ("service.realtime.dispatcher", "Dispatcher.publish", "before", "is_new_message"),
    "before-ack": ("service.edge.frame_handler", "FrameHandler.acknowledge", "before", "always"),
    "before-notification": ("service.notifications.service", "NotificationService.notify", "before", "always"),
    "after-notification": ("service.posts.comment_store", "CommentStore.clear_pending", "before", "always"),
    "before-sum": ("service.posts.reaction_store", "ReactionStore._store_totals", "before", "always"),
    "after-reaction": ("service.posts.reaction_store", "ReactionStore.clear_pending", "before", "always"),
    "after-comment": ("service.posts.comment_store", "CommentStore.append", "after", "always"),
    "stored-notification": ("service.notifications.notification_store", "NotificationStore.append", "after", "always"),
    "before-deletion": ("service.posts.post_store", "PostStore.change", "before", "is_deletion"),
    "after-deletion": ("service.posts.post_store", "PostStore.change", "after", "is_deletion"),
    "before-notifications-deleted": (
        "service.notifications.deletion",
        "NotificationDeletion.delete",
        "before",
        "has_some",
    ),
    "after-notifications-deleted": (
        "service.notifications.deletion",
        "NotificationDeletion.delete",
        "after",
        "has_some",
    ),
    "after-reactions-deleted": ("service.posts.reaction_store", "ReactionStore.delete", "after", "has_some"),
    "before-files-deleted": ("service.attachments.attachments", "Attachments.remove", "before", "has_some"),
    "after-files-deleted": ("service.attachments.attachments", "Attachments.remove", "after", "has_some"),
    "before-comments-removed": ("service.posts.comment_store", "CommentStore.remove", "before", "has_some"),
    "after-comments-removed": ("service.posts.comment_store", "CommentStore.remove", "after", "has_some"),
    "before-post-removed": ("service.posts.post_store", "PostStore.remove", "before", "always"),
    "after-post-removed": ("service.posts.post_store", "PostStore.remove", "after", "always"),
    "before-news": ("service.push.news_store", "NewsStore.add", "before", "has_some"),
    "after-news": ("service.push.news_store", "NewsStore.add", "after", "has_some"),
    "before-delivery": ("service.push.delivery_store", "DeliveryStore.put", "before", "has_some"),
    "after-delivery": ("service.push.delivery_store", "DeliveryStore.put", "after", "has_some"),
    "before-push": ("service.push.sender", "PushSender.send", "before", "always"),
    "after-push": ("service.push.sender", "PushSender.send", "after", "always"),
    "settled-push": ("service.push.delivery_store", "DeliveryStore.remove", "after", "always"),
    "in-drain": ("service.realtime.connection", "Connection.drain", "before", "always"),
}


def is_messages_collection(collection, *_, **__):
    return collection.name == "messages"


def is_new_message(_, event, *__, **___):
    return event.type == "new_message"


def is_deletion(_, document, author_id, change):
    return "deleted_at" in change.get("$set", ())


def has_some(_, documents):
    return bool(documents)


def always(*_, **__):
    return True


class KillPoint:
    """The content of the file: the kill point, how often it may be passed before, and who is killed."""

    def __init__(self):
        self._token = ""
        self._skips_left = 0

    def reach(self, point):
        try:
            with open(KILL_POINT_FILE) as file:
                armed_point, skips, victim, token = file.read().split()
        except (OSError, ValueError):
            return
        if armed_point != point:
            return
        if token != self._token:
            self._token, self._skips_left = token, int(skips)
        if self._skips_left:
            self._skips_left -= 1
            return
        try:
            os.unlink(KILL_POINT_FILE)  # of several workers that reach this line, only one is killed
        except FileNotFoundError:
            return
        if victim == "server":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def wrap(point, kill_point):
    module, path, when, name = POINTS[point]
    owner, method = path.split(".")
    owner = getattr(import_module(module), owner)
    original = getattr(owner, method)
    matches = globals()[name]

    # Methods that only return an awaitable, as motor's do, are wrapped like coroutine functions.
    if inspect.iscoroutinefunction(original) or when == "after" or module.startswith("motor"):

        @functools.wraps(original)
        async def wrapped(*args, **kwargs):
            if when == "before" and matches(*args, **kwargs):
                kill_point.reach(point)
            result = await original(*args, **kwargs)
            if when == "after" and matches(*args, **kwargs):
                kill_point.reach(point)
            return result

    else:

        @functools.wraps(original)
        def wrapped(*args, **kwargs):
            if matches(*args, **kwargs):
                kill_point.reach(point)
            return original(*args, **kwargs)

    setattr(owner, method, wrapped)


def write_counts(*_):
    """Signal handler. It runs between two bytecode instructions of the thread of the event loop."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        # The allocator keeps much of the freed memory for later; after this, the resident memory is what is really in
        # use.
        ctypes.CDLL(None).malloc_trim(0)
    connection_class = import_module("service.realtime.connection").Connection
    connections = [connection for connection in gc.get_objects() if isinstance(connection, connection_class)]
    tasks = len(asyncio.all_tasks(asyncio.get_running_loop()))
    path = os.path.join(COUNTS_DIRECTORY, str(os.getpid()))
    with open(path + ".new", "w") as file:
        file.write(f"{tasks} {len(connections)} {sum(len(connection.queue) for connection in connections)}")
    os.replace(path + ".new", path)


if "FAKETIME" in os.environ:
    time.sleep = lambda seconds: select.select([], [], [], max(seconds, 0)) and None

if COUNTS_DIRECTORY and "worker" in sys.orig_argv:
    signal.signal(signal.SIGUSR2, write_counts)

if WEBHOOK_RETRY and "worker" in sys.orig_argv:
    store = import_module("service.webhooks.delivery_store")
    store.RETRY_DELAYS = (float(WEBHOOK_RETRY),) * len(store.RETRY_DELAYS)

if DELETION_GRACE and "worker" in sys.orig_argv:
    defaults = import_module("service.posts.deletion_worker").DeletionWorker.__init__.__kwdefaults__
    defaults["grace"] = datetime.timedelta(seconds=float(DELETION_GRACE))
    defaults["recovery_interval"] = float(DELETION_GRACE) / 4

if KILL_POINT_FILE and "worker" in sys.orig_argv:
    the_kill_point = KillPoint()
    for point in POINTS:
        wrap(point, the_kill_point)
