"""Open pages that lose the connection, the server, or their token's validity."""

import asyncio
from collections import Counter

from playwright.async_api import Request, expect

from tests.conftest import Run
from tests.e2e.conftest import CreateUser, OpenApp
from tests.rest import free_port

MESSAGES_PER_PHASE = 5
TOKEN_TTL = 4
"""Seconds."""


async def test_messages_written_offline_are_sent_once_after_reconnecting(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await app.send("Online")
    await expect(app.message("Online")).to_contain_text("Sent")
    await expect(app.banner).to_be_hidden()
    await app.page.context.set_offline(True)
    await expect(app.banner).to_contain_text("You are offline.")
    await app.send("Offline")
    await expect(app.message("Offline")).to_contain_text("Sending")
    await app.page.context.set_offline(False)
    await expect(app.message("Offline")).to_contain_text("Sent")
    await expect(app.banner).to_be_hidden()
    assert ["Online", "Offline"] == [
        message["content"] for message in binh.list(f"/conversations/{conversation}/messages")
    ]


async def test_an_edit_and_a_deletion_made_offline_are_stored_after_reconnecting(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    for text in ("First", "Second"):
        an.send_message(conversation, text)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await expect(app.message("Second")).to_be_visible()
    await app.composer.press("ArrowUp")
    await expect(app.composer).to_have_value("Second")
    await app.page.context.set_offline(True)
    await expect(app.banner).to_contain_text("You are offline.")
    await app.composer.fill("Corrected")
    await app.composer.press("Enter")
    await app.choose_action("First", "Delete")
    await app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await app.page.context.set_offline(False)
    await expect(app.message("Corrected")).to_contain_text("edited")
    await expect(app.messages.first).to_contain_text("Message deleted")
    stored = binh.list(f"/conversations/{conversation}/messages")
    assert [("", True), ("Corrected", False)] == [(message["content"], message["deleted"]) for message in stored]


async def test_killing_the_server_neither_loses_nor_duplicates_messages(
    open_app: OpenApp, create_user: CreateUser, run: Run
) -> None:
    """Two users write before and while the server is down; after its restart, both see each message once, in order."""
    port = str(free_port())
    server = run(PORT=port, RATE_LIMITS="off")
    an, binh = create_user("An", server), create_user("Bình", server)
    conversation = an.create_conversation(binh)
    apps = [await open_app(user) for user in (an, binh)]
    await apps[0].open_conversation("Bình")
    await apps[1].open_conversation("An")
    for number in range(MESSAGES_PER_PHASE):
        for app, author in zip(apps, "AB", strict=True):
            await app.send(f"{author} before {number}")
    # Do not wait for acknowledgements: some of these messages must still be pending.
    await asyncio.to_thread(server.kill)
    for number in range(MESSAGES_PER_PHASE):
        for app, author in zip(apps, "AB", strict=True):
            await app.send(f"{author} during {number}")
    for app in apps:
        await expect(app.banner).to_contain_text("Reconnecting…")
        await expect(app.messages.last).to_contain_text("Sending")
    restarted = await asyncio.to_thread(run, PORT=port, RATE_LIMITS="off")
    assert server.url == restarted.url

    expected = Counter(
        f"{author} {phase} {number}"
        for author in "AB"
        for phase in ("before", "during")
        for number in range(MESSAGES_PER_PHASE)
    )
    for app in apps:
        await expect(app.messages).to_have_count(expected.total(), timeout=60_000)
        await expect(app.page.locator(".message.pending")).to_have_count(0)
        await expect(app.banner).to_be_hidden()
    stored = [message["content"] for message in an.list(f"/conversations/{conversation}/messages")]
    assert expected == Counter(stored)
    for app in apps:
        assert stored == await app.message_texts()
    for author in "AB":
        own = [text for text in stored if text.startswith(author)]
        assert sorted(own) == own


async def test_an_expiring_token_is_refreshed_in_the_background(
    open_app: OpenApp, create_user: CreateUser, run: Run
) -> None:
    """The page keeps working, and refreshes the token only as often as necessary."""
    server = run(ACCESS_TOKEN_TTL=str(TOKEN_TTL), RATE_LIMITS="off")
    an, binh = create_user("An", server), create_user("Bình", server)
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_conversation("Bình")
    refreshes: list[Request] = []
    app.page.on("request", lambda request: refreshes.append(request) if "/auth/refresh" in request.url else None)
    for _ in range(2):
        async with app.page.expect_request("**/auth/refresh", timeout=3000 * TOKEN_TTL):
            pass
    binh.sign_in()
    binh.send_message(conversation, "Still there?")
    await expect(app.message("Still there?")).to_be_visible()
    await app.send("Of course")
    await expect(app.message("Of course")).to_contain_text("Sent")
    await app.page.get_by_role("link", name="Posts").click()
    await expect(app.page.get_by_role("heading", name="Posts")).to_be_visible()
    await expect(app.banner).to_be_hidden()
    assert len(refreshes) < 12
