"""Many comments on one post and reactions there take turns."""

import asyncio
import time
from collections.abc import Callable

import pytest

from service.common.errors import Unavailable
from service.posts import busy_posts
from service.posts.busy_posts import BACKLOG, MAX_TURN, MIN_TURN, BusyPosts

POST, OTHER = "a", "b"


class Requests:
    """Requests about posts, each of which is being handled until `release`."""

    def __init__(self) -> None:
        self.posts = BusyPosts()
        self.release = asyncio.Event()
        self.begun: list[int] = []
        self.running = 0

    async def _run(self, post: str, number: int) -> None:
        async with self.posts.turn(post):
            self.begun.append(number)
            self.running += 1
            await self.release.wait()
            self.running -= 1

    def start(self, post: str, *numbers: int) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._run(post, number)) for number in numbers]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.fixture
async def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """A request about OTHER has just been handled."""
    monkeypatch.setattr(busy_posts, "ALONE_AFTER", 3600.0)
    requests = Requests()
    async with requests.posts.turn(OTHER):
        pass
    return requests


async def test_a_post_that_is_alone_takes_no_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is a request about another one."""
    monkeypatch.setattr(busy_posts, "ALONE_AFTER", 3600.0)
    requests = Requests()
    tasks = requests.start(POST, *range(100))
    await until(lambda: requests.running == 100)
    tasks += requests.start(OTHER, 100)
    tasks += requests.start(POST, 101)
    await until(lambda: requests.running == 101)
    for _ in range(5):
        await asyncio.sleep(0)
    assert 100 == requests.begun[-1]
    requests.release.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)


@pytest.mark.parametrize(("backlog", "size"), [(BACKLOG, MIN_TURN), (8, 6), (1, MAX_TURN)])
async def test_a_few_run_at_once_and_the_rest_in_turns_in_order(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, backlog: int, size: int
) -> None:
    """Turns are larger if more wait. Another post does not wait for them."""
    monkeypatch.setattr(busy_posts, "BACKLOG", backlog)
    count = MIN_TURN + 48
    tasks = requests.start(POST, *range(count))
    await until(lambda: len(requests.begun) == MIN_TURN)
    tasks += requests.start(OTHER, count)
    await until(lambda: requests.running == MIN_TURN + 1)
    requests.release.set()
    requests.release.clear()
    await until(lambda: len(requests.begun) == MIN_TURN + 1 + size)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (size, MIN_TURN + 1 + size) == (requests.running, len(requests.begun))
    requests.release.set()
    await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert [*range(MIN_TURN), count, *range(MIN_TURN, count)] == requests.begun


def hold_pauses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, Callable[[], object]]]:
    """Return the pauses, in seconds, each with the function that ends it: they do not end by themselves."""
    pauses: list[tuple[float, Callable[[], object]]] = []

    def call_later(delay: float, callback: Callable[..., object], *args: object) -> None:
        pauses.append((delay, lambda: callback(*args)))

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    return pauses


async def test_the_pause_between_turns_takes_as_long_as_the_turn(
    requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But at most MAX_PAUSE. Meanwhile, also a new request waits."""
    monkeypatch.setattr(busy_posts, "MAX_PAUSE", 3600.0)
    pauses = hold_pauses(monkeypatch)
    began = time.monotonic()
    tasks = requests.start(POST, *range(MIN_TURN + 1))
    await until(lambda: requests.running == MIN_TURN)
    while time.monotonic() - began < 0.02:
        await asyncio.sleep(0)
    requests.release.set()
    await until(lambda: bool(pauses))
    longest = time.monotonic() - began
    tasks += requests.start(POST, -1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert (0, MIN_TURN) == (requests.running, len(requests.begun))
    [(seconds, end)] = pauses
    assert 0.01 < seconds <= longest
    end()
    await asyncio.wait(tasks)
    assert [MIN_TURN, -1] == requests.begun[-2:]
    monkeypatch.setattr(busy_posts, "MAX_PAUSE", 0.0)
    requests.release.clear()
    tasks = requests.start(POST, *range(MIN_TURN + 1))
    await until(lambda: requests.running == MIN_TURN)
    requests.release.set()
    await until(lambda: len(pauses) == 2)
    assert 0.0 == pauses[1][0]
    pauses[1][1]()
    await asyncio.wait(tasks)


async def test_who_leaves_while_waiting_holds_up_nobody(requests: Requests, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the turn has just begun or not; a post that nobody writes to is forgotten."""
    pauses = hold_pauses(monkeypatch)
    tasks = requests.start(POST, *range(MIN_TURN + 3))
    await until(lambda: requests.running == MIN_TURN)
    tasks[MIN_TURN].cancel()
    requests.release.set()
    await until(lambda: bool(pauses))
    pauses[0][1]()
    tasks[MIN_TURN + 1].cancel()
    await asyncio.wait(tasks)
    assert [True, True, False] == [task.cancelled() for task in tasks[MIN_TURN:]]
    assert [*range(MIN_TURN), MIN_TURN + 2] == requests.begun
    assert {} == requests.posts._posts


@pytest.mark.parametrize(("name", "value"), [("MAX_WAITING", 1), ("MAX_WAIT", 0.01)])
async def test_too_many_and_too_long_waits_are_refused(
    requests: Requests, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    monkeypatch.setattr(busy_posts, name, value)
    tasks = requests.start(POST, *range(MIN_TURN + 2))
    with pytest.raises(Unavailable) as refused:
        await asyncio.wait_for(tasks[-1], 5)
    assert 1 == refused.value.retry_after
    requests.release.set()
    await asyncio.wait(tasks)
    await until(lambda: not requests.posts._posts)
