"""Open pages that lose the connection, the server, or their token's validity."""

import asyncio
import re
from collections import Counter

from playwright.async_api import Request, expect

from tests.conftest import Run
from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp
from tests.proxy import Proxy
from tests.rest import free_port
from tests.running import Server

MESSAGES_PER_PHASE = 5
TOKEN_TTL = 4
"""Seconds."""
MAX_SILENCE = 60
"""Seconds after which a page has noticed that its connections are dead: 50 without a frame, and 10 for a pong."""


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


async def test_an_edit_and_a_deletion_made_offline_are_shown_and_stored_after_reconnecting(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    for text in ("To be deleted", "To be edited"):
        an.send_message(conversation, text)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await expect(app.message("To be edited")).to_be_visible()
    await app.page.context.set_offline(True)
    await app.composer.press("ArrowUp")
    await app.send("A long correction")
    await expect(app.message("A long correction")).to_contain_text("Sending")
    await expect(app.conversation_row("Bình")).to_contain_text("A long correction")
    await app.choose_action("To be deleted", "Delete")
    await app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(app.message("To be deleted")).to_contain_text("Sending")
    await app.page.context.set_offline(False)
    await expect(app.message("A long correction")).to_contain_text("edited")
    await expect(app.messages.first).to_have_text(re.compile("Message deleted"))
    stored = binh.list(f"/conversations/{conversation}/messages")
    assert ["", "A long correction"] == [message["content"] for message in stored]


async def test_an_edit_that_the_server_refuses_is_kept_until_it_is_discarded(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    an.send_message(conversation, "First words")
    app = await open_app(an)
    await app.open_conversation("Bình")
    await expect(app.message("First words")).to_be_visible()
    await app.composer.press("ArrowUp")
    # Characters that show nothing.
    await app.send("\u200b\u200b")
    message = app.messages.first
    await expect(message).to_contain_text("Edit not saved.")
    await message.get_by_role("button", name="Discard").click()
    await expect(app.message("First words")).to_contain_text("Sent")


async def test_nobody_is_shown_as_online_while_offline(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    an.create_conversation(binh)
    app = await open_app(an)
    await open_app(binh)
    await app.open_conversation("Bình")
    presence = app.page.locator(".pane .presence")
    dot = app.conversation_row("Bình").locator(".online-dot")
    await expect(presence).to_have_text("Online")
    await expect(dot).to_be_visible()
    await app.page.context.set_offline(True)
    await expect(presence).to_have_text("")
    await expect(dot).to_have_count(0)
    await app.page.context.set_offline(False)
    await expect(presence).to_have_text("Online")
    await expect(dot).to_be_visible()


async def test_posts_are_loaded_by_themselves_once_the_server_can_be_reached(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """The feed, and the page of a post."""
    an = create_user("An")
    post = an.post("/posts", content="Back again")["id"]
    app = await open_app(an)
    await app.page.route("**/api/v1/posts**", lambda route: route.abort())
    for route in ("/#/posts", f"/#/posts/{post}"):
        await app.goto(route)
        await expect(app.page.get_by_text("Cannot reach the server.")).to_be_visible()
        await app.page.unroute("**/api/v1/posts**")
        await expect(app.page.get_by_role("article").filter(has_text="Back again").first).to_be_visible()
        await app.page.route("**/api/v1/posts**", lambda route: route.abort())


async def test_the_feed_shows_what_was_posted_during_an_outage(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    app = await open_app(an)
    await app.goto("/#/posts")
    await expect(app.page.get_by_label("Posts")).to_be_attached()
    await app.page.context.set_offline(True)
    await expect(app.banner).to_be_visible()
    binh.post("/posts", content="Meanwhile")
    await app.page.context.set_offline(False)
    # A request on a connection that the outage has killed ends by its deadline, and is repeated.
    await expect(app.page.get_by_role("article").filter(has_text="Meanwhile")).to_be_visible(timeout=60_000)


async def test_killing_the_server_neither_loses_nor_duplicates_messages(
    open_app: OpenApp, create_user: CreateUser, run: Run
) -> None:
    """Two users write before and while the server is down; after its restart, both see each message once, in order."""
    port = str(free_port())
    server = run(PORT=port, RATE_LIMITS="off")
    an, binh = create_user("An", server), create_user("Bình", server)
    conversation = an.create_conversation(binh)
    apps = [await open_app(user) for user in (an, binh)]
    for app in apps:
        await app.open_link(conversation)
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


async def test_half_open_connections_are_replaced_after_their_silence(
    open_app: OpenApp, create_user: CreateUser, server: Server
) -> None:
    """A router forgets the connections of a page and notifies neither side. New connections work."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="Look at this.")["id"]
    conversation = an.create_conversation(binh)
    an.send_message(conversation, "Hello")
    async with Proxy(server.url) as proxy:
        app = await open_app(url=proxy.url, clock=True)
        await app.sign_in(an)
        await app.open_conversation("Bình")
        binh.comment(post, "Before")
        binh.send_message(conversation, "Before")
        await expect(app.bell).to_contain_text("1")
        await expect(app.message("Before")).to_be_visible()
        proxy.blackhole()
        await proxy.restore()
        binh.comment(post, "Meanwhile")
        binh.send_message(conversation, "Meanwhile")
        async with (
            app.page.expect_event("websocket"),
            app.page.expect_request("**/api/v1/notifications/stream*"),
        ):
            for _ in range(MAX_SILENCE):
                await app.page.clock.run_for(1000)
        await expect(app.bell).to_contain_text("2")
        await expect(app.message("Meanwhile")).to_be_visible()


async def test_a_comment_and_an_edit_of_one_that_cannot_be_sent_are_kept(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """It says why; once the server can be reached, the same button sends them."""
    an = create_user("An")
    post = an.post("/posts", content="A post")["id"]
    an.comment(post, "First")
    app = await open_app(an, goto=False)
    await app.goto(f"/#/posts/{post}")
    comment = app.page.locator(".comment").filter(has_text="First")
    await comment.get_by_role("button", name="Comment actions").click()
    await app.page.get_by_role("menuitem", name="Edit").click()
    edit = app.page.get_by_role("textbox", name="Edit")
    await edit.fill("First, corrected")
    await app.page.get_by_role("textbox", name="Write a comment").fill("Second")
    await app.page.context.set_offline(True)
    for button in ("Save", "Comment"):
        await app.page.get_by_role("button", name=button, exact=True).click()
    await expect(app.page.get_by_role("alert").get_by_text("Cannot reach the server.")).to_have_count(2)
    await app.page.context.set_offline(False)
    for button in ("Save", "Comment"):
        await app.page.get_by_role("button", name=button, exact=True).click()
    await expect(app.page.locator(".comment")).to_contain_text(["First, corrected", "Second"])
    assert ["First, corrected", "Second"] == [each["content"] for each in an.list(f"/posts/{post}/comments")]


async def test_an_address_that_leads_nowhere_says_so(open_app: OpenApp, create_user: CreateUser) -> None:
    """A page that does not exist, a chat of others, and a user and a post that are gone; each with a way out."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    private = binh.create_conversation(chi)
    app = await open_app(an, color_scheme="dark")
    addresses = {
        "/#/nothing/here": "There is nothing at this address.",
        f"/#/c/{private}": "This chat does not exist, or you are not in it.",
        "/#/c/x": "This chat does not exist, or you are not in it.",
        f"/#/users/{'0' * 24}": "This person does not exist, or no longer does.",
        f"/#/posts/{'0' * 24}": "Post not found.",
    }
    for address, text in addresses.items():
        await app.goto(address)
        await expect(app.page.get_by_text(text)).to_be_visible()
        assert [] == await serious_violations(app.page, only_colours=address.startswith("/#/c/x"))
        await expect(app.page.get_by_role("main").get_by_role("link").last).to_be_visible()
