"""A real browser against a real server. The tests share both, and one event loop, to which the browser belongs."""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.e2e.app import App, Person
from tests.running import Server

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
)
"""A browser for tests phones nobody, and runs as root in a container."""

PATIENCE = 15_000
"""Milliseconds for what happens at once on a machine that has nothing else to do."""

numbers = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The machine's Chromium, or the one that `playwright install chromium` has put there."""
    installed = next(filter(None, map(shutil.which, BROWSERS)), None)
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        if not installed and not Path(playwright.chromium.executable_path).exists():
            missing = "There is no Chromium: apt-get install chromium, or playwright install chromium."
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
        browser = await playwright.chromium.launch(executable_path=installed, args=QUIET)
        yield browser
        await browser.close()


Enter = Callable[..., Awaitable[App]]
"""`await enter(person, …)`: the app, signed in, on a device of its own; the options are those of `new_context`."""


@pytest_asyncio.fixture(loop_scope="session")
async def enter(browser: Browser, server: Server) -> AsyncIterator[Enter]:
    """Opens the app. See `Enter`; `person` None stays at the door, `url` is another server's.

    Afterwards no page may have said an error.
    """
    apps: list[App] = []

    async def enter(person: Person | None = None, url: str = server.url, **options: Any) -> App:
        context = await browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(PATIENCE)
        app = App(await context.new_page(), url)
        apps.append(app)
        await app.visit()
        if person:
            await app.sign_in(person)
        return app

    yield enter
    for app in apps:
        await app.page.context.close()
    assert [] == [error for app in apps for error in app.errors]


Register = Callable[..., Person]


@pytest.fixture
def register(server: Server) -> Register:
    """`register("An")`: a new person of that name, on this server or on another (`server=`)."""

    def register(name: str, server: Server = server) -> Person:
        return Person.register(server, name, next(numbers))

    return register
