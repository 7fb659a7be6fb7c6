"""Open pages while the connection, the server or the token goes."""

import asyncio
from collections import Counter

from playwright.async_api import Request, expect

from tests.conftest import Run
from tests.e2e.conftest import Enter, Register
from tests.rest import free_port

WORDS = 5


async def test_says_so_quietly_and_sends_later(enter: Enter, register: Register) -> None:
    """Offline, what one writes waits in its place; back online it is sent, once."""
    an, binh = register("An"), register("Bình")
    conversation = an.converse(binh)
    here = await enter(an)
    await here.open("Bình")
    await here.write("Before")
    await expect(here.message("Before")).to_contain_text("Sent")
    await expect(here.banner).to_be_hidden()
    await here.page.context.set_offline(True)
    await expect(here.banner).to_contain_text("You are offline.")
    await here.write("Meanwhile")
    await expect(here.message("Meanwhile")).to_contain_text("Sending")
    await here.page.context.set_offline(False)
    await expect(here.message("Meanwhile")).to_contain_text("Sent")
    await expect(here.banner).to_be_hidden()
    assert ["Before", "Meanwhile"] == [
        message["content"] for message in binh.get(f"/conversations/{conversation}/messages")
    ]


async def test_a_killed_server_loses_and_doubles_nothing(enter: Enter, register: Register, run: Run) -> None:
    """Both write on while it is away; when it is back, each message is there once, in one order for both."""
    port = str(free_port())
    server = run(PORT=port, RATE_LIMITS="off")
    an, binh = register("An", server), register("Bình", server)
    conversation = an.converse(binh)
    pages = [await enter(person, server.url) for person in (an, binh)]
    await pages[0].open("Bình")
    await pages[1].open("An")
    for number in range(WORDS):
        for page, who in zip(pages, "AB", strict=True):
            await page.write(f"{who} before {number}")
    # Some of these are acknowledged, and some are not: nobody waits for it.
    await asyncio.to_thread(server.kill)
    for number in range(WORDS):
        for page, who in zip(pages, "AB", strict=True):
            await page.write(f"{who} meanwhile {number}")
    for page in pages:
        await expect(page.banner).to_contain_text("Reconnecting…")
        await expect(page.messages.last).to_contain_text("Sending")
    again = await asyncio.to_thread(run, PORT=port, RATE_LIMITS="off")
    assert server.url == again.url

    wanted = Counter(
        f"{who} {when} {number}" for who in "AB" for when in ("before", "meanwhile") for number in range(WORDS)
    )
    for page in pages:
        await expect(page.messages).to_have_count(wanted.total(), timeout=60_000)
        await expect(page.page.locator(".message.pending")).to_have_count(0)
        await expect(page.banner).to_be_hidden()
    stored = [message["content"] for message in an.get(f"/conversations/{conversation}/messages")]
    assert wanted == Counter(stored)
    for page in pages:
        assert stored == await page.texts()
    for who in "AB":
        own = [text for text in stored if text.startswith(who)]
        assert sorted(own) == own


async def test_an_expiring_token_is_no_ones_business(enter: Enter, register: Register, run: Run) -> None:
    """A page that stays open longer than its token is not disturbed, and does not ask for a new one all the time."""
    seconds = 4
    server = run(ACCESS_TOKEN_TTL=str(seconds), RATE_LIMITS="off")
    an, binh = register("An", server), register("Bình", server)
    conversation = an.converse(binh)
    here = await enter(an, server.url)
    await here.open("Bình")
    refreshed: list[Request] = []
    here.page.on("request", lambda request: refreshed.append(request) if "/auth/refresh" in request.url else None)
    async with here.page.expect_request("**/auth/refresh", timeout=3000 * seconds):
        pass
    async with here.page.expect_request("**/auth/refresh", timeout=3000 * seconds):
        pass
    binh = binh.again()
    binh.say(conversation, "Still there?")
    await expect(here.message("Still there?")).to_be_visible()
    await here.write("Of course")
    await expect(here.message("Of course")).to_contain_text("Sent")
    post = here.page.get_by_role("link", name="Posts")
    await post.click()
    await expect(here.page.get_by_role("heading", name="Posts")).to_be_visible()
    await expect(here.banner).to_be_hidden()
    assert len(refreshed) < 12
