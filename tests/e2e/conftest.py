"""End-to-end tests: a real browser and a real server, shared by all tests of the session.

The browser belongs to the session's event loop, so all these tests run in that loop.
"""

import asyncio
import json
import os
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.conftest import SECRET, Datastores, drop_database
from tests.e2e.app_page import AppPage
from tests.e2e.site import Site, serving_site
from tests.e2e.user import User
from tests.running import CHEAP_HASHES, Server, running

CHROMIUM_COMMANDS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first one installed is used. The headless shell has no window to draw: it takes a third of the CPU time."""
PLAIN_HTTP_HOST = "loa.test"
"""A name of this machine that a browser does not trust like localhost."""
CHROMIUM_ARGUMENTS = (
    f"--host-resolver-rules=MAP {PLAIN_HTTP_HOST} 127.0.0.1",
    # Chromium's sandbox does not start as root in a container.
    "--no-sandbox",
    # No requests of its own.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-gpu",
    "--disable-quic",
    # For DevicePool.
    "--process-per-site",
)
SITE_REDIS = 7
"""The number of the Redis database of the server that `site` stands beside."""
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
            missing = "Chromium is missing: apt-get install chromium-headless-shell, or playwright install chromium."
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


class DevicePool:
    """Browser contexts for reuse by later tests: in a full Chromium, a new one takes 0.6 s of CPU time.

    A context is a device: it has its own storage, which is cleared before it is used again. One page in each stays
    open, and with it the process that runs the context's pages: to start one takes a fifth of a short test's CPU time.
    """

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._idle: dict[str, list[BrowserContext]] = defaultdict(list)
        self._options: dict[BrowserContext, str] = {}

    async def acquire(self, url: str, **options: Any) -> Page:
        """Return a new page, the only one of the app in its context, with empty storage for `url`."""
        key = json.dumps(options, sort_keys=True)
        if not self._idle[key]:
            context = await self._browser.new_context(**options)
            context.set_default_timeout(TIMEOUT)
            self._options[context] = key
            await (await context.new_page()).goto(f"{url}/livez")
            return await context.new_page()
        context = self._idle[key].pop()
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)
        await devtools.send("Storage.clearDataForOrigin", {"origin": url, "storageTypes": "local_storage"})
        await devtools.detach()
        return page

    async def release(self, context: BrowserContext) -> None:
        _, *pages = context.pages
        for page in pages:
            await page.close()
        await context.set_offline(False)
        self._idle[self._options[context]].append(context)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def device_pool(browser: Browser) -> DevicePool:
    return DevicePool(browser)


OpenApp = Callable[..., Awaitable[AppPage]]
"""`await open_app(user)`: see the fixture."""


@pytest_asyncio.fixture(loop_scope="session")
async def open_app(device_pool: DevicePool, server: Server) -> AsyncIterator[OpenApp]:
    """Opens the app on another device (browser context); after the test, asserts that no page had errors.

    The user is signed in by a stored session, since filling in the form takes longer; without a user, the sign-in page
    is shown. With `goto=False` the page is not loaded yet; for `modules` see AppPage. `clock=True` lets the test set
    the page's clock, and no later test gets this device. Other options are those of `Browser.new_context`.
    """
    apps: list[AppPage] = []
    clocks: list[BrowserContext] = []

    async def open_app(
        user: User | None = None,
        *,
        url: str = server.url,
        goto: bool = True,
        modules: bool = False,
        clock: bool = False,
        **options: Any,
    ) -> AppPage:
        url = user.server.url if user else url
        page = await device_pool.acquire(url, **{"locale": "en-GB", **options})
        app = AppPage(page, url, modules=modules)
        apps.append(app)
        if clock:
            await page.clock.install()
            clocks.append(page.context)
        if user:
            await page.add_init_script(user.sign_in_script())
        if goto:
            await app.goto()
            if user:
                await expect(app.nav_bar).to_be_visible()
        return app

    yield open_app
    for app in apps:
        context = app.page.context
        await (context.close() if context in clocks else device_pool.release(context))
    assert [] == [error for app in apps for error in app.errors]


CreateUser = Callable[..., User]


@pytest.fixture
def create_user(http: httpx.Client, server: Server) -> CreateUser:
    """`create_user("An")`: registers a user with this display name, on the shared server or on another (`server=`)."""

    def create_user(name: str, server: Server = server) -> User:
        return User.register(http, server, name)

    return create_user


@pytest.fixture(scope="session")
def site(datastores: Datastores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site beside a Loa server that allows its origin."""
    uri = datastores.database(f"site_{uuid4().hex}")
    with serving_site() as site:
        environment = {
            "MONGODB_URI": uri,
            "REDIS_URL": datastores.redis_database(SITE_REDIS),
            "JWT_SECRET": SECRET,
            "RATE_LIMITS": "off",
            "ALLOWED_ORIGINS": site.origin,
            **CHEAP_HASHES,
        }
        with running(environment, tmp_path_factory.mktemp("site") / "server.log") as site.server:
            yield site
    asyncio.run(drop_database(uri))


NewPage = Callable[[str], Awaitable[Page]]
"""`await new_page(origin)`: see the fixture."""


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(device_pool: DevicePool) -> AsyncIterator[NewPage]:
    """Opens a page on a device of its own; after the test, asserts that no page had errors."""
    errors: list[str] = []
    contexts: list[BrowserContext] = []

    async def new_page(origin: str) -> Page:
        page = await device_pool.acquire(origin)
        page.on("pageerror", lambda error: errors.append(str(error)))
        contexts.append(page.context)
        return page

    yield new_page
    for context in contexts:
        await device_pool.release(context)
    assert [] == errors
