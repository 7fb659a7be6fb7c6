"""Counts of unread messages, and which conversations are listed."""

from concurrent.futures import ThreadPoolExecutor

from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp

CONVERSATIONS = 33
"""More than the first page of the list."""


async def test_the_badge_counts_conversations_beyond_the_loaded_page(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")

    def write(number: int) -> None:
        binh.send_message(binh.create_conversation(an, title=f"Group {number}"), "Hello")

    with ThreadPoolExecutor(4) as executor:
        list(executor.map(write, range(CONVERSATIONS)))
    app = await open_app(an)
    await expect(app.page).to_have_title(f"({CONVERSATIONS}) Loa")
    await app.page.locator("a.conversation").first.click()
    await expect(app.page).to_have_title(f"({CONVERSATIONS - 1}) Loa")


async def test_a_message_deleted_before_it_was_seen_is_not_unread(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = binh.create_conversation(an)
    early = binh.send_message(conversation, "Sent before the page was opened")
    app = await open_app(an)
    await expect(app.page).to_have_title("(1) Loa")
    late = binh.send_message(conversation, "Sent after")
    await expect(app.page).to_have_title("(2) Loa")
    for message, left in ((late, "(1) Loa"), (early, "Loa")):
        binh.delete(f"/conversations/{conversation}/messages/{message['id']}")
        await expect(app.page).to_have_title(left)
    await expect(app.conversation_row("Bình").locator(".badge")).to_have_count(0)


async def test_an_empty_direct_chat_is_listed_only_for_who_opened_it(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    conversation = an.create_conversation(binh)
    chi.send_message(chi.create_conversation(binh), "Something")
    an_app, binh_app = await open_app(an), await open_app(binh)
    await expect(an_app.conversation_row("Bình")).to_be_visible()
    await expect(binh_app.conversation_row("Chi")).to_be_visible()
    await expect(binh_app.conversation_row("An")).to_have_count(0)
    an.send_message(conversation, "Hello")
    await expect(binh_app.conversation_row("An")).to_be_visible()
