"""The code of the client library's README, as pasted into a page: of Loa's own origin, and of a site beside it."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from uuid import uuid4

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from tests.conftest import RUN_REDIS, SECRET, Datastores, drop_database
from tests.e2e.conftest import CreateUser, DevicePool
from tests.e2e.site import Site, serving_site
from tests.e2e.user import PASSWORD, User
from tests.running import CHEAP_HASHES, ROOT, Server, running

README = ROOT / "service/web/client/README.md"
PAGE = """<!doctype html>
<title>Page</title>
<b id="bell"></b>
<pre id="list"></pre>
<form id="form"><input name="content" /></form>
<script type="module">
  {script}
  globalThis.loa = loa;
</script>
"""
OPENING = r"^import .*\n\n|^const loa = .*\n|^loa\.start\(\).*\n|^if \(!loa\.session\.user\).*\n"
"""The lines that the example for a site beside has, too, or does not need."""


NewPage = Callable[[str], Awaitable[Page]]


def examples() -> list[str]:
    """The scripts of the README: with accounts of Loa's own, and with those of a site beside."""
    return re.findall(r"```js\n(import \{ Loa \}.*?)```", README.read_text(), re.DOTALL)


class Beside:
    """A Loa server, and a site beside it whose page shows the latest conversation and the unread count."""

    def __init__(self, server: Server, site: Site, origin: str) -> None:
        self.server = server
        self.site = site
        self.origin = origin
        self.own, external = (text.replace("https://chat.example.com", server.url) for text in examples())
        self.external = external + re.sub(OPENING, "", self.own, flags=re.MULTILINE)

    def show(self, script: str) -> None:
        self.site.page = PAGE.replace("{script}", script)


@pytest.fixture(scope="module")
def beside(datastores: Datastores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    """Shared by the tests of this file."""
    uri = datastores.database(f"beside_{uuid4().hex}")
    with serving_site() as (site, origin):
        environment = {
            "MONGODB_URI": uri,
            "REDIS_URL": datastores.redis_database(RUN_REDIS),
            "JWT_SECRET": SECRET,
            "RATE_LIMITS": "off",
            "ALLOWED_ORIGINS": origin,
            **CHEAP_HASHES,
        }
        with running(environment, tmp_path_factory.mktemp("beside") / "server.log") as server:
            yield Beside(server, site, origin)
    asyncio.run(drop_database(uri))


@pytest_asyncio.fixture(loop_scope="session")
async def new_page(device_pool: DevicePool) -> AsyncIterator[NewPage]:
    """`await new_page(url)`: a page on a device of its own. After the test, no page may have reported an error."""
    errors: list[str] = []
    contexts: list[BrowserContext] = []

    async def open_page(url: str) -> Page:
        page = await device_pool.acquire(url)
        page.on("pageerror", lambda error: errors.append(str(error)))
        contexts.append(page.context)
        return page

    yield open_page
    for context in contexts:
        await device_pool.release(context)
    assert [] == errors


async def shows(page: Page, unread: int, *messages: str) -> None:
    await expect(page.locator("#list")).to_have_text("\n".join(messages))
    await expect(page.locator("#bell")).to_have_text(f"🔔 {unread}")


async def send(page: Page, text: str) -> None:
    await page.locator("input").fill(text)
    await page.locator("input").press("Enter")


async def test_the_first_page_chats_and_has_its_history_after_a_reload(
    new_page: NewPage, beside: Beside, create_user: CreateUser
) -> None:
    an, binh = create_user("An", beside.server), create_user("Bình", beside.server)
    conversation = binh.create_conversation(an)
    binh.send_message(conversation, "before")
    script = beside.own.replace('"ada"', f'"{an.username}"').replace('"correct horse"', f'"{PASSWORD}"')
    # The page is not Loa's own: those have a Content-Security-Policy that forbids scripts in them.
    url = beside.server.url
    beside.show(script.replace('"/client', f'"{url}/client').replace("new Loa()", f'new Loa({{ server: "{url}" }})'))
    page = await new_page(beside.origin)
    await page.goto(beside.origin)
    await shows(page, 0, "before")
    await send(page, "from the page")
    await shows(page, 0, "before", "from the page")
    binh.comment(an.post("/posts", content="Look at this.")["id"], "Nice!")
    await shows(page, 1, "before", "from the page")
    await page.reload()
    await shows(page, 1, "before", "from the page")
    binh.send_message(conversation, "after")
    await shows(page, 1, "before", "from the page", "after")


async def test_a_site_beside_chats_with_its_own_tokens_and_has_history_after_a_reload(
    new_page: NewPage, beside: Beside, create_user: CreateUser
) -> None:
    """From another origin: the modules, REST with its preflights, the socket, and the stream by ticket."""
    an, binh = create_user("An", beside.server), create_user("Bình", beside.server)
    conversation = binh.create_conversation(an)
    binh.send_message(conversation, "before")
    beside.site.user = an
    beside.show(beside.external)
    page = await new_page(beside.origin)
    await page.goto(beside.origin)
    await shows(page, 0, "before")
    await send(page, "from the site")
    await shows(page, 0, "before", "from the site")
    binh.comment(an.post("/posts", content="Look at this.")["id"], "Nice!")
    await shows(page, 1, "before", "from the site")
    await page.reload()
    await shows(page, 1, "before", "from the site")
    assert 2 == len(beside.site.tokens)
    kept = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert an.id in kept  # the position in the stream
    assert not [token for token in beside.site.tokens if token in kept]


async def test_the_tabs_of_a_site_follow_its_sign_out_and_the_next_user(
    new_page: NewPage, beside: Beside, create_user: CreateUser
) -> None:
    an, binh = create_user("An", beside.server), create_user("Bình", beside.server)
    an.send_message(an.create_conversation(binh), "Hello, Bình")
    an.send_message(an.create_conversation(binh, title="Two"), "Hello, group")
    beside.site.user = None
    beside.show(beside.external)
    page = await new_page(beside.origin)
    tabs = [page, await page.context.new_page()]
    for tab in tabs:
        await tab.goto(beside.origin)
        await tab.wait_for_function("loa.socket.status === 'signed-out'")

    async def become(user: User | None, status: str, *messages: str) -> None:
        beside.site.user = user
        await tabs[0].evaluate("loa.session.refresh()")
        for tab in tabs:
            await tab.wait_for_function("status => loa.socket.status === status", arg=status)
            await expect(tab.locator("#list")).to_have_text("\n".join(messages))
            assert await tab.evaluate("loa.session.user?.id ?? null") == (user.id if user else None)

    await become(an, "online", "Hello, group")
    await become(None, "idle")
    await become(binh, "online", "Hello, group")
