"""End-to-end tests: a real browser and a real server, shared by all tests of the session.

The browser belongs to the session's event loop, so all these tests run in that loop.
"""

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from tests.e2e.app_page import AppPage
from tests.e2e.user import User
from tests.running import Server

CHROMIUM_COMMANDS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = (
    # Chromium's sandbox does not start as root in a container.
    "--no-sandbox",
    # No requests of its own.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
)
TIMEOUT = 15_000
"""Milliseconds for an expectation to become true; generous, for a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The machine's Chromium, or else the one installed by `playwright install chromium`."""
    installed = next(filter(None, map(shutil.which, CHROMIUM_COMMANDS)), None)
    expect.set_options(timeout=TIMEOUT)
    async with async_playwright() as playwright:
        if not installed and not Path(playwright.chromium.executable_path).exists():
            missing = "There is no Chromium: apt-get install chromium, or playwright install chromium."
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
        browser = await playwright.chromium.launch(executable_path=installed, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """The HTTP client for all API calls of the tests: it keeps connections open."""
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client


OpenApp = Callable[..., Awaitable[AppPage]]
"""`await open_app(user)`: see the fixture."""


@pytest_asyncio.fixture(loop_scope="session")
async def open_app(browser: Browser, server: Server) -> AsyncIterator[OpenApp]:
    """Opens the app on a new device (browser context); after the test, asserts that no page had errors.

    The user is signed in by a stored session, since filling in the form takes longer; without a user, the sign-in page
    is shown. With `goto=False` the page is not loaded yet. Other options are those of `Browser.new_context`.
    """
    pages: list[AppPage] = []

    async def open_app(
        user: User | None = None, *, url: str = server.url, goto: bool = True, **options: Any
    ) -> AppPage:
        if user:
            options["storage_state"] = user.browser_session()
            url = user.server.url
        context = await browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(TIMEOUT)
        app = AppPage(await context.new_page(), url)
        pages.append(app)
        if goto:
            await app.goto()
            if user:
                await expect(app.nav_bar).to_be_visible()
        return app

    yield open_app
    for app in pages:
        await app.page.context.close()
    assert [] == [error for app in pages for error in app.errors]


CreateUser = Callable[..., User]


@pytest.fixture
def create_user(http: httpx.Client, server: Server) -> CreateUser:
    """`create_user("An")`: registers a user with this display name, on the shared server or on another (`server=`)."""

    def create_user(name: str, server: Server = server) -> User:
        return User.register(http, server, name)

    return create_user
