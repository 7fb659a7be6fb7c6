"""One person on several devices, and in several tabs."""

import asyncio

from playwright.async_api import Page, Request, expect

from tests.e2e.conftest import Enter, Register

TABS = 6


async def test_two_devices_are_in_step(enter: Enter, register: Register) -> None:
    """What is written, changed and read on one is so on the other."""
    an, binh = register("An"), register("Bình")
    conversation = an.converse(binh)
    desk, phone = await enter(an), await enter(an, viewport={"width": 390, "height": 844})
    binh.say(conversation, "How are you?")
    for device in (desk, phone):
        await expect(device.conversation("Bình")).to_contain_text("1 unread")
        await expect(device.page).to_have_title("(1) Loa")
    await desk.open("Bình")
    await expect(phone.conversation("Bình")).not_to_contain_text("unread")
    await expect(phone.page).to_have_title("Loa")
    await phone.open("Bình")
    await phone.write("Well, from my phone")
    await desk.write("And from my desk")
    for device in (desk, phone):
        await expect(device.message("And from my desk")).to_contain_text("Sent")
        assert ["How are you?", "Well, from my phone", "And from my desk"] == await device.texts()
    await desk.choose("And from my desk", "Delete")
    await desk.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(phone.messages.last).to_contain_text("Message deleted")


async def test_six_tabs_share_one_stream(enter: Enter, register: Register) -> None:
    """A browser has six connections to a server; whichever tab holds the one stream may go, and nothing is lost."""
    an, binh = register("An"), register("Bình")
    post = an.post("/posts", content="Six tabs")["id"]
    first = await enter()
    streams: list[Page] = []

    def note(request: Request) -> None:
        if "/notifications/stream" in request.url:
            streams.append(request.frame.page)

    first.page.context.on("request", note)
    await first.sign_in(an)
    tabs = [first, *[await first.another() for _ in range(TABS - 1)]]
    for number in range(3):
        binh.post(f"/posts/{post}/comments", content=f"Comment {number}")
    for tab in tabs:
        await expect(tab.bell).to_have_accessible_name("Activity, 3 unread")
    assert [first.page] == streams

    await first.page.close()
    writing = [
        asyncio.to_thread(binh.post, f"/posts/{post}/comments", content=f"Comment {number}") for number in range(3, 8)
    ]
    await asyncio.gather(*writing)
    for tab in tabs[1:]:
        await expect(tab.bell).to_have_accessible_name("Activity, 8 unread")
        previews = tab.page.locator(".notification .preview")
        await expect(previews).to_have_count(8)
        assert {f"Comment {number}" for number in range(8)} == set(await previews.all_text_contents())
    assert 2 == len(streams)
    assert streams[1] in [tab.page for tab in tabs[1:]]
