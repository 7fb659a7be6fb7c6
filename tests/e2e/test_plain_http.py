"""Pages served over plain http from another host than localhost: no secure context, so no Web Locks, no randomUUID."""

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, expect

from tests.e2e.app_page import AppPage
from tests.e2e.conftest import PLAIN_HTTP_HOST, TIMEOUT, CreateUser
from tests.e2e.user import User
from tests.running import Server

TABS = 8
"""More than the six connections that a browser opens to one server over HTTP/1.1."""


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(locale="en-GB")
    context.set_default_timeout(TIMEOUT)
    yield context
    await context.close()


async def open_tab(context: BrowserContext, server: Server, user: User, route: str = "") -> AppPage:
    """Open a tab at `PLAIN_HTTP_HOST`; the first one signs in."""
    app = AppPage(await context.new_page(), server.url.replace("127.0.0.1", PLAIN_HTTP_HOST))
    await app.goto(route)
    assert not await app.page.evaluate("isSecureContext")
    if await app.page.get_by_label("Password").is_visible():
        await app.sign_in(user)
    await expect(app.nav_bar).to_be_visible()
    return app


async def test_all_tabs_share_one_notification_stream(
    context: BrowserContext, server: Server, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="Look at this.")["id"]
    streams: list[str] = []
    context.on("request", lambda sent: streams.append(sent.url) if "/notifications/stream" in sent.url else None)
    tabs = [await open_tab(context, server, an) for _ in range(TABS)]
    assert len(streams) == 1
    binh.comment(post, "Nice!")
    for tab in tabs:
        await expect(tab.bell).to_contain_text("1")
    # The tab that holds the stream closes: another one takes over.
    async with context.expect_event("request", lambda sent: "/notifications/stream" in sent.url):
        await tabs.pop(0).page.close(run_before_unload=True)
    binh.comment(post, "Really.")
    for tab in tabs:
        await expect(tab.bell).to_contain_text("2")
    assert len(streams) == 2


async def test_a_comment_can_be_written(context: BrowserContext, server: Server, create_user: CreateUser) -> None:
    an = create_user("An")
    post = an.post("/posts", content="Look at this.")["id"]
    app = await open_tab(context, server, an)
    await app.goto(f"/#/posts/{post}")
    await app.page.get_by_label("Write a comment").fill("Nice!")
    await app.page.keyboard.press("Tab")
    await app.page.get_by_role("button", name="Comment", exact=True).click()
    await expect(app.page.locator(".comment")).to_contain_text("Nice!")
    assert ["Nice!"] == [comment["content"] for comment in an.list(f"/posts/{post}/comments")]


async def test_a_message_can_be_copied(context: BrowserContext, server: Server, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    an.send_message(an.create_conversation(binh), "See you at noon")
    app = await open_tab(context, server, an)
    await app.open_conversation("Bình")
    await app.choose_action("See you at noon", "Copy text")
    await expect(app.toasts).to_contain_text("Copied")
    await app.composer.press("ControlOrMeta+v")
    await expect(app.composer).to_have_value("See you at noon")
