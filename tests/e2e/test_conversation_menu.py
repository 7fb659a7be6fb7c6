"""The menu of a conversation: mute, archive, block, delete."""

from datetime import UTC, datetime, timedelta

from playwright.async_api import Locator, expect

from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp


async def choose(app: AppPage, entry: str) -> None:
    """Choose an entry of the menu of the open conversation."""
    await app.page.get_by_role("button", name="Chat options").click()
    await app.page.get_by_role("menuitem", name=entry, exact=True).click()


def dialog(app: AppPage) -> Locator:
    return app.page.get_by_role("dialog")


async def test_neither_can_send_after_one_has_blocked_the_other(open_app: OpenApp, create_user: CreateUser) -> None:
    """The other is told nothing until they send; unblocking is in the menu and in the account."""
    an, binh = create_user("An"), create_user("Bình")
    direct = an.create_conversation(binh)
    an.send_message(direct, "hello")
    blocking, blocked = await open_app(an), await open_app(binh)
    await blocking.open_conversation("Bình")
    await blocked.open_conversation("An")
    await choose(blocking, "Block Bình")
    await dialog(blocking).get_by_role("button", name="Block", exact=True).click()
    await expect(dialog(blocking)).to_have_count(0)
    await blocking.page.get_by_role("button", name="You").click()
    await expect(dialog(blocking).get_by_role("button", name="Unblock Bình")).to_be_visible()
    await blocked.send("are you there?")
    await expect(blocked.page.get_by_text("You cannot send messages in this chat.")).to_be_visible()
    await dialog(blocking).get_by_role("button", name="Unblock Bình").click()
    await expect(dialog(blocking).get_by_text("You block nobody.")).to_be_visible()
    await dialog(blocking).get_by_role("button", name="Close").click()
    await blocking.send("welcome back")
    await expect(blocked.message("welcome back")).to_be_visible()
    await blocking.page.get_by_role("button", name="Chat options").click()
    await expect(blocking.page.get_by_role("menuitem", name="Block Bình")).to_be_visible()


async def test_a_muted_chat_is_marked_on_every_device(open_app: OpenApp, create_user: CreateUser) -> None:
    """For as long as the user has chosen, with the keyboard."""
    an, binh = create_user("An"), create_user("Bình")
    direct = an.create_conversation(binh)
    binh.send_message(direct, "hello")
    phone, laptop = await open_app(an), await open_app(an, clock=True)
    await phone.open_conversation("Bình")
    await phone.page.get_by_role("button", name="Chat options").press("Enter")
    await phone.page.get_by_role("menuitem", name="Mute").press("Enter")
    await expect(phone.page.get_by_role("menuitem", name="For an hour")).to_be_focused()
    await phone.page.keyboard.press("ArrowDown")
    await phone.page.keyboard.press("Enter")
    await expect(phone.page.get_by_role("button", name="Chat options")).to_be_focused()
    for app in (phone, laptop):
        await expect(app.conversation_row("Bình")).to_contain_text("Muted")
    left = datetime.fromisoformat(an.get(f"/conversations/{direct}")["muted_until"]) - datetime.now(UTC)
    assert timedelta(hours=7.9) < left < timedelta(hours=8.1)
    await choose(phone, "Unmute")
    for app in (phone, laptop):
        await expect(app.conversation_row("Bình")).not_to_contain_text("Muted")
    await choose(phone, "Mute")
    await phone.page.get_by_role("menuitem", name="For an hour").click()
    await expect(laptop.conversation_row("Bình")).to_contain_text("Muted")
    await laptop.page.clock.fast_forward("01:01:00")
    await expect(laptop.conversation_row("Bình")).not_to_contain_text("Muted")


async def test_an_archived_chat_is_in_a_list_of_its_own_until_a_message_arrives(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh = create_user("An"), create_user("Bình")
    direct = an.create_conversation(binh)
    binh.send_message(direct, "hello")
    app = await open_app(an)
    await app.open_conversation("Bình")
    await choose(app, "Archive")
    await expect(app.conversation_row("Bình")).to_have_count(0)
    await app.page.get_by_role("button", name="Archived chats").click()
    await dialog(app).get_by_role("link", name="Bình").click()
    await expect(app.message("hello")).to_be_visible()
    binh.send_message(direct, "again")
    await expect(app.conversation_row("Bình")).to_be_visible()


async def test_a_deleted_chat_is_gone_for_its_user_alone(open_app: OpenApp, create_user: CreateUser) -> None:
    """On their other devices, too, until the next message."""
    an, binh = create_user("An"), create_user("Bình")
    direct = an.create_conversation(binh)
    binh.send_message(direct, "forget this")
    phone, laptop, other = await open_app(an), await open_app(an), await open_app(binh)
    for app, name in ((phone, "Bình"), (laptop, "Bình"), (other, "An")):
        await app.open_conversation(name)
    await choose(phone, "Delete chat")
    await dialog(phone).get_by_role("button", name="Delete chat").click()
    for app in (phone, laptop):
        await expect(app.conversation_row("Bình")).to_have_count(0)
    await expect(laptop.message("forget this")).to_have_count(0)
    binh.send_message(direct, "something new")
    await phone.open_conversation("Bình")
    for app in (phone, laptop):
        await expect(app.message("something new")).to_be_visible()
        await expect(app.message("forget this")).to_have_count(0)
    await expect(other.message("forget this")).to_be_visible()
