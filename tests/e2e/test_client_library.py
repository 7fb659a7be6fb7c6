"""The code of the client library's README, as pasted into a page of a site beside Loa."""

import re

from playwright.async_api import Page, expect

from tests.e2e.conftest import CreateUser, NewPage
from tests.e2e.site import Site
from tests.e2e.user import PASSWORD, User
from tests.e2e.waiting import wait_until
from tests.running import ROOT

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


def examples() -> list[str]:
    """The scripts of the README: with accounts of Loa's own, and with those of a site site."""
    return re.findall(r"```js\n(import \{ Loa \}.*?)```", README.read_text(), re.DOTALL)


def own_page(site: Site, user: User) -> str:
    script = examples()[0].replace('"ada"', f'"{user.username}"').replace('"correct horse"', f'"{PASSWORD}"')
    # The page is not Loa's own: those have a Content-Security-Policy that forbids scripts in them.
    url = site.server.url
    script = script.replace('"/client', f'"{url}/client').replace("new Loa()", f'new Loa({{ server: "{url}" }})')
    return PAGE.replace("{script}", script)


def external_page(site: Site) -> str:
    own, external = examples()
    script = external.replace("https://chat.example.com", site.server.url)
    return PAGE.replace("{script}", script + re.sub(OPENING, "", own, flags=re.MULTILINE))


async def shows(page: Page, unread: int, *messages: str) -> None:
    await expect(page.locator("#list")).to_have_text("\n".join(messages))
    await expect(page.locator("#bell")).to_have_text(f"🔔 {unread}")


async def send(page: Page, text: str) -> None:
    await page.locator("input").fill(text)
    await page.locator("input").press("Enter")


async def test_the_first_page_chats_and_has_its_history_after_a_reload(
    new_page: NewPage, site: Site, create_user: CreateUser
) -> None:
    an, binh = create_user("An", site.server), create_user("Bình", site.server)
    conversation = binh.create_conversation(an)
    binh.send_message(conversation, "before")
    site.page = own_page(site, an)
    page = await new_page(site.origin)
    await page.goto(site.origin)
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
    new_page: NewPage, site: Site, create_user: CreateUser
) -> None:
    """From another origin: the modules, REST with its preflights, the socket, and the stream by ticket."""
    an, binh = create_user("An", site.server), create_user("Bình", site.server)
    conversation = binh.create_conversation(an)
    binh.send_message(conversation, "before")
    site.user = an
    site.page = external_page(site)
    page = await new_page(site.origin)
    await page.goto(site.origin)
    await shows(page, 0, "before")
    await send(page, "from the site")
    await shows(page, 0, "before", "from the site")
    binh.comment(an.post("/posts", content="Look at this.")["id"], "Nice!")
    await shows(page, 1, "before", "from the site")
    await page.reload()
    await shows(page, 1, "before", "from the site")
    assert 2 == len(site.tokens)
    kept = await page.evaluate("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])")
    assert an.id in kept  # the position in the stream
    assert not [token for token in site.tokens if token in kept]


async def test_the_tabs_of_a_site_follow_its_sign_out_and_the_next_user(
    new_page: NewPage, site: Site, create_user: CreateUser
) -> None:
    an, binh = create_user("An", site.server), create_user("Bình", site.server)
    an.send_message(an.create_conversation(binh), "Hello, Bình")
    an.send_message(an.create_conversation(binh, title="Two"), "Hello, group")
    site.user = None
    site.page = external_page(site)
    page = await new_page(site.origin)
    tabs = [page, await page.context.new_page()]
    for tab in tabs:
        await tab.goto(site.origin)
        await wait_until(tab, "loa.socket.status === 'signed-out'")

    async def become(user: User | None, status: str, *messages: str) -> None:
        site.user = user
        await tabs[0].evaluate("loa.session.refresh()")
        for tab in tabs:
            await wait_until(tab, "status => loa.socket.status === status", arg=status)
            await expect(tab.locator("#list")).to_have_text("\n".join(messages))
            assert await tab.evaluate("loa.session.user?.id ?? null") == (user.id if user else None)

    await become(an, "online", "Hello, group")
    await become(None, "idle")
    await become(binh, "online", "Hello, group")
