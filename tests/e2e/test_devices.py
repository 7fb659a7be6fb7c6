"""One user on several devices and in several tabs."""

import asyncio

from playwright.async_api import Page, Request, expect

from tests.e2e.conftest import CreateUser, OpenApp

TABS = 6


async def test_two_devices_stay_in_sync(open_app: OpenApp, create_user: CreateUser) -> None:
    """Messages sent, deleted and read on one device are so on the other."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    desktop, phone = await open_app(an), await open_app(an, viewport={"width": 390, "height": 844})
    binh.send_message(conversation, "How are you?")
    for device in (desktop, phone):
        await expect(device.conversation_row("Bình")).to_contain_text("1 unread")
        await expect(device.page).to_have_title("(1) Loa")
    await desktop.open_conversation("Bình")
    await expect(phone.conversation_row("Bình")).not_to_contain_text("unread")
    await expect(phone.page).to_have_title("Loa")
    await phone.open_conversation("Bình")
    await phone.send("Well, from my phone")
    await expect(desktop.message("Well, from my phone")).to_be_visible()
    await desktop.send("And from my desktop")
    for device in (desktop, phone):
        await expect(device.message("And from my desktop")).to_contain_text("Sent")
        assert ["How are you?", "Well, from my phone", "And from my desktop"] == await device.message_texts()
    await desktop.choose_action("And from my desktop", "Delete")
    await desktop.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(phone.messages.last).to_contain_text("Message deleted")


async def test_six_tabs_share_one_stream(open_app: OpenApp, create_user: CreateUser) -> None:
    """A browser opens at most six connections to a server. If the streaming tab closes, another takes over."""
    an, binh = create_user("An"), create_user("Bình")
    # Notifications about one post are shown as one.
    posts = [an.post("/posts", content=f"Post {number}")["id"] for number in range(8)]
    first = await open_app(an, goto=False)
    streaming_pages: list[Page] = []

    def on_request(request: Request) -> None:
        if "/notifications/stream" in request.url:
            streaming_pages.append(request.frame.page)

    first.page.context.on("request", on_request)
    await first.goto()
    tabs = [first, *[await first.open_tab() for _ in range(TABS - 1)]]
    for number in range(3):
        binh.comment(posts[number], f"Comment {number}")
    for tab in tabs:
        await expect(tab.bell).to_have_accessible_name("Activity, 3 unread")
    assert [first.page] == streaming_pages

    await first.page.close()
    await asyncio.gather(
        *[asyncio.to_thread(binh.comment, posts[number], f"Comment {number}") for number in range(3, 8)]
    )
    for tab in tabs[1:]:
        await expect(tab.bell).to_have_accessible_name("Activity, 8 unread")
        await tab.page.bring_to_front()
        await tab.bell.click()
        previews = tab.page.locator(".notification .preview")
        await expect(previews).to_have_count(8)
        assert {f"Comment {number}" for number in range(8)} == set(await previews.all_text_contents())
    assert 2 == len(streaming_pages)
    assert streaming_pages[1] in [tab.page for tab in tabs[1:]]
