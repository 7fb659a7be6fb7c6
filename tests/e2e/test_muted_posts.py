"""A muted post no longer notifies the user."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp

WORDS = {"en-GB": ("Mute", "Unmute"), "vi-VN": ("Tắt thông báo", "Bật thông báo")}


@pytest.mark.parametrize("locale", WORDS)
async def test_a_post_is_muted_and_unmuted(open_app: OpenApp, create_user: CreateUser, locale: str) -> None:
    """With the keyboard; at once on other devices, also when they connect again; also after a reload."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="A post")["id"]
    app = await open_app(an, goto=False, locale=locale)
    await app.goto(f"/#/posts/{post}")
    mute, unmute = [app.page.get_by_role("button", name=name, exact=True) for name in WORDS[locale]]
    phone = await open_app(an, goto=False, locale=locale)
    await phone.goto(f"/#/posts/{post}")
    on_phone = [phone.page.get_by_role("button", name=name, exact=True) for name in WORDS[locale]]
    await expect(on_phone[0]).to_be_visible()
    await mute.press("Enter")
    await expect(unmute).to_be_focused()
    await expect(on_phone[1]).to_be_visible()
    binh.comment(post, "Not a notification")
    assert [] == an.list("/notifications")
    assert [] == await serious_violations(app.page)
    await app.page.reload()
    await unmute.click()
    await expect(mute).to_be_visible()
    await expect(on_phone[0]).to_be_visible()
    assert not an.get(f"/posts/{post}")["muted"]
    binh.comment(post, "A notification")
    await expect(app.page.locator(".comment")).to_have_count(2)
    async with asyncio.timeout(10):
        while not (notifications := an.list("/notifications")):
            await asyncio.sleep(0.05)
    assert 1 == len(notifications)
    await app.page.context.set_offline(True)
    an.put(f"/posts/{post}/mute")
    await app.page.context.set_offline(False)
    await expect(unmute).to_be_visible()
