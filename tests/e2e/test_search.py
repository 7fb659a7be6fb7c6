"""The search for messages: in all chats and in one, and the way to a message and back."""

import asyncio

from playwright.async_api import Locator, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.user import User

COUNT = 130
"""Messages: more than the app loads with a chat, and more than what it shows around one."""


def results(app: AppPage) -> Locator:
    return app.page.get_by_role("dialog").get_by_role("listitem")


async def until_indexed(user: User, q: str) -> None:
    """Wait until a search finds something."""
    async with asyncio.timeout(15):
        while not user.get(f"/search/messages?q={q}")["items"]:
            await asyncio.sleep(0.1)


async def test_a_result_leads_to_an_old_message_and_back_to_the_latest(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """With the keyboard alone; what surrounds the message is there, and further messages are loaded both ways."""
    an, binh = create_user("An"), create_user("Bình")
    direct = an.create_conversation(binh)
    binh.send_message(direct, "Chào Hương ở 👩🏽‍🚀 Huế")
    for number in range(2, COUNT):
        binh.send_message(direct, f"message {number}")
    latest = binh.send_message(direct, "the latest")
    an.put(f"/conversations/{direct}/read", seq=latest["seq"])
    await until_indexed(an, "latest")
    app = await open_app(an)
    await app.open_conversation("Bình")
    await expect(app.message("the latest")).to_be_visible()
    await app.page.keyboard.press("Control+f")
    field = app.page.get_by_role("searchbox", name="Words of a message")
    await expect(field).to_be_focused()
    await field.fill("hue huo")
    await expect(results(app)).to_have_count(1)
    await expect(results(app).locator("mark")).to_have_text(["Hươ", "Huế"])
    await expect(results(app)).to_contain_text("Bình")
    await field.press("ArrowDown")
    await app.page.keyboard.press("Enter")
    found = app.message("Chào Hương ở 👩🏽‍🚀 Huế")
    await expect(found).to_be_in_viewport()
    await expect(found).to_be_focused()
    await expect(app.message("message 5")).to_be_visible()
    await expect(app.message("the latest")).to_have_count(0)
    await app.page.get_by_role("button", name="Newer messages").click()
    await expect(app.message("message 70")).to_be_visible()
    await app.page.get_by_role("button", name="To the latest messages").click()
    await expect(app.message("the latest")).to_be_in_viewport()
    await expect(app.page.get_by_role("button", name="Newer messages")).to_have_count(0)


async def test_all_chats_are_searched_at_once(open_app: OpenApp, create_user: CreateUser) -> None:
    """The newest message first; the result opens its chat. Nothing found is said."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    binh.send_message(an.create_conversation(binh), "phở at noon")
    chi.send_message(an.create_conversation(binh, chi, title="Lunch"), "Pho again")
    await until_indexed(an, "again")
    app = await open_app(an)
    await app.page.get_by_role("button", name="Search messages").click()
    field = app.page.get_by_role("searchbox", name="Words of a message")
    await field.fill("nothing like it")
    await expect(app.page.get_by_text("No messages found.")).to_be_visible()
    await field.fill("pho")
    await expect(results(app)).to_have_count(2)
    await expect(results(app).nth(0)).to_contain_text("Lunch")
    assert [] == await serious_violations(app.page)
    await results(app).nth(1).get_by_role("link").click()
    await expect(app.page.get_by_role("heading", name="Bình")).to_be_visible()
    await expect(app.message("phở at noon")).to_be_in_viewport()


async def test_a_reply_among_old_messages_leads_to_an_even_older_one(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    direct = an.create_conversation(binh)
    quoted = binh.send_message(direct, "message 1")
    for number in range(2, COUNT):
        binh.send_message(direct, f"message {number}", reply_to=quoted["id"] if number == 60 else None)
    app = await open_app(an, goto=False)
    await app.goto(f"/#/c/{direct}#message-60")
    await expect(app.message("message 60")).to_be_in_viewport()
    await expect(app.message("message 129")).to_have_count(0)
    await expect(app.page).to_have_title("(129) Loa")
    await app.message("message 60").get_by_title("Go to the original message").click()
    await expect(app.page.get_by_text("message 1", exact=True).first).to_be_in_viewport()


async def test_a_link_to_a_message_that_the_user_does_not_see_says_so(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """One from before they joined; the chat stays as it is."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    group = an.create_conversation(binh, title="Club")
    an.send_message(group, "Not for late ones")
    an.post(f"/conversations/{group}/participants", user_ids=[chi.id])
    an.send_message(group, "For everyone")
    app = await open_app(chi, goto=False)
    await app.goto(f"/#/c/{group}#message-2")
    await expect(app.toasts).to_contain_text("This message is not shown to you, or no longer exists.")
    await expect(app.message("For everyone")).to_be_visible()
    await expect(app.page.get_by_role("button", name="Newer messages")).to_have_count(0)
