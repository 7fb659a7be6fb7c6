"""What a run sets into the workers: every Python with this folder on PYTHONPATH runs it first, and Loa knows nothing.

On SIGUSR2 a worker counts its tasks, connections and queued events into a file of the folder that FAULTS_CENSUS names.

Where FAULTS_TRAP names a file, the methods below are wrapped; one that is reached while the file says its name ends
the process by SIGKILL, and with "server" in the file its parent, too. See `tests/faults/trap.py`.

Under libfaketime, too, Python needs a word: its `sleep` waits for a moment of the monotonic clock, which that library
does not leave in peace, and would fail.
"""

import asyncio
import contextlib
import ctypes
import functools
import gc
import inspect
import os
import select
import signal
import sys
import time
from importlib import import_module

TRAP = os.environ.get("FAULTS_TRAP", "")
CENSUS = os.environ.get("FAULTS_CENSUS", "")

POINTS = {
    "before-insert": ("motor.motor_asyncio", "AsyncIOMotorCollection.insert_many", "before", "of_messages"),
    "after-insert": ("motor.motor_asyncio", "AsyncIOMotorCollection.insert_many", "after", "of_messages"),
    "before-publish": ("service.realtime.dispatcher", "Dispatcher.publish", "before", "a_message"),
    "before-ack": ("service.edge.frame_handler", "FrameHandler.acknowledge", "before", "anything"),
    "before-notification": ("service.notifications.service", "NotificationService.notify", "before", "anything"),
    "after-notification": ("service.posts.comment_store", "CommentStore.mark_done", "before", "anything"),
    "in-drain": ("service.realtime.connection", "Connection.drain", "before", "anything"),
}


def of_messages(collection, *_, **__):
    return collection.name == "messages"


def a_message(_, event, *__, **___):
    return event.type == "new_message"


def anything(*_, **__):
    return True


class Trap:
    """What the file says: the point, how many times it may be passed before, and who dies."""

    def __init__(self):
        self._token = ""
        self._left = 0

    def spring(self, point):
        try:
            with open(TRAP) as file:
                armed, left, victim, token = file.read().split()
        except (OSError, ValueError):
            return
        if armed != point:
            return
        if token != self._token:
            self._token, self._left = token, int(left)
        if self._left:
            self._left -= 1
            return
        try:
            os.unlink(TRAP)  # of several workers that come here, one dies
        except FileNotFoundError:
            return
        if victim == "server":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def wrap(point, trap):
    module, path, when, name = POINTS[point]
    owner, method = path.split(".")
    owner = getattr(import_module(module), owner)
    real = getattr(owner, method)
    concerns = globals()[name]

    # A method that only returns an awaitable, as motor's do, is wrapped as one that is to be awaited.
    if inspect.iscoroutinefunction(real) or when == "after" or module.startswith("motor"):

        @functools.wraps(real)
        async def wrapped(*args, **kwargs):
            if when == "before" and concerns(*args, **kwargs):
                trap.spring(point)
            result = await real(*args, **kwargs)
            if when == "after" and concerns(*args, **kwargs):
                trap.spring(point)
            return result

    else:

        @functools.wraps(real)
        def wrapped(*args, **kwargs):
            if concerns(*args, **kwargs):
                trap.spring(point)
            return real(*args, **kwargs)

    setattr(owner, method, wrapped)


def count(*_):
    """Runs between two steps of the loop's thread, wherever that is."""
    gc.collect()
    with contextlib.suppress(AttributeError):
        # Of what is free the allocator keeps much for later; what is left to see then is what is held.
        ctypes.CDLL(None).malloc_trim(0)
    connection = import_module("service.realtime.connection").Connection
    connections = [one for one in gc.get_objects() if isinstance(one, connection)]
    tasks = len(asyncio.all_tasks(asyncio.get_running_loop()))
    census = os.path.join(CENSUS, str(os.getpid()))
    with open(census + ".new", "w") as file:
        file.write(f"{tasks} {len(connections)} {sum(len(one.queue) for one in connections)}")
    os.replace(census + ".new", census)


if "FAKETIME" in os.environ:
    time.sleep = lambda seconds: select.select([], [], [], max(seconds, 0)) and None

if CENSUS and "worker" in sys.orig_argv:
    signal.signal(signal.SIGUSR2, count)

if TRAP and "worker" in sys.orig_argv:
    the_trap = Trap()
    for each in POINTS:
        wrap(each, the_trap)
