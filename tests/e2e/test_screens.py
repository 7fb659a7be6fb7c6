"""Accessibility of every screen (axe), in both themes, on a desktop and on a phone; and the screenshots for the README.

A screenshot is written to `screenshots` only if it is missing or SCREENSHOTS is set: it contains the time of day, so
every run would change it.
"""

import os
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.sample_data import create_sample_data

SCREENSHOTS = Path(__file__).parent / "screenshots"
SCREENSHOT_SCREENS = ("chats", "conversation", "post", "activity", "notification-settings", "toasts")
MAX_SCREENSHOT_BYTES = 200_000

THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}


class ScreenInspector:
    """Checks screens of `app`, which is open on `device`."""

    def __init__(self, app: AppPage, device: str) -> None:
        self.app = app
        self.device = device

    async def inspect(self, name: str) -> None:
        """Check the current screen in both themes, which differ only in colours; if it is one of SCREENSHOT_SCREENS,
        take the screenshots that are to be written."""
        for theme in THEMES:
            await self.app.page.emulate_media(color_scheme=theme)
            violations = await serious_violations(self.app.page, only_colours=theme != THEMES[0])
            assert not violations, "\n".join([f"{name}, {theme}, {self.device}:", *violations])
            if name in SCREENSHOT_SCREENS:
                file = SCREENSHOTS / f"{name}-{theme}-{self.device}.png"
                if "SCREENSHOTS" in os.environ or not file.exists():
                    file.write_bytes(await self.app.page.screenshot())
                assert file.stat().st_size < MAX_SCREENSHOT_BYTES


@pytest.mark.parametrize("device", DEVICES)
async def test_screens_have_no_serious_accessibility_violations(
    device: str, open_app: OpenApp, create_user: CreateUser
) -> None:
    sample_data = create_sample_data(create_user)
    app = await open_app(reduced_motion="reduce", **DEVICES[device])
    page, inspector = app.page, ScreenInspector(app, device)
    await inspector.inspect("sign-in")
    await page.get_by_role("button", name="Create an account").click()
    await page.get_by_role("button", name="Create account").click()
    await inspector.inspect("register")
    await page.get_by_role("button", name="Sign in").click()
    other = await open_app(sample_data.other)
    await app.sign_in(sample_data.me)

    await expect(app.conversation_row("Trần Minh").locator(".online-dot")).to_be_visible()
    await inspector.inspect("chats")
    await app.open_conversation("Trần Minh")
    await other.open_conversation("Nguyễn Thuỳ Linh")
    await other.composer.fill("Me too")
    await expect(page.locator(".typing-indicator")).to_have_text("Trần Minh is typing…")
    await expect(app.message("👍")).to_contain_text("Read")
    await inspector.inspect("conversation")
    await app.message("Lunch at half past twelve?").get_by_role("button", name="Message actions").click()
    await inspector.inspect("menu")
    await page.get_by_role("menuitem", name="Reply").click()
    await inspector.inspect("reply")
    await app.goto(f"/#/c/{sample_data.group}")
    await expect(app.message("Yes please 🙌")).to_be_visible()
    await inspector.inspect("group")
    await app.choose_action("Yes please 🙌", "Report…")
    await inspector.inspect("report")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Details").click()
    await inspector.inspect("details")
    await app.goto("/#/")
    await page.get_by_role("button", name="New chat").click()
    await page.get_by_role("searchbox", name="Search people").fill("trần")
    await page.get_by_role("checkbox").first.check()
    await inspector.inspect("new-chat")
    await page.get_by_role("button", name="Close").click()

    await app.goto("/#/posts")
    await expect(page.get_by_role("article").first).to_be_visible()
    await inspector.inspect("posts")
    await app.bell.click()
    await expect(page.locator(".notification").first).to_be_visible()
    await inspector.inspect("activity")
    await page.get_by_role("button", name="Notification settings").click()
    await page.get_by_role("switch", name="Do not disturb me").check()
    await expect(page.get_by_label("Time zone")).to_be_visible()
    await inspector.inspect("notification-settings")
    await page.get_by_role("button", name="Close").click()
    await app.goto(f"/#/posts/{sample_data.post}")
    await expect(page.locator(".comment").first).to_be_visible()
    await inspector.inspect("post")
    await page.get_by_role("button", name="You").click()
    await expect(page.get_by_text("This device")).to_be_visible()
    await inspector.inspect("account")
    await page.get_by_role("button", name="Close").click()

    await app.goto("/#/posts")
    for text in ("Two questions.", "How long did it take you?", "And would you do it again?", "One more thing…"):
        sample_data.other.comment(sample_data.post, text)
    # With the focus in it, the toast stays until it has been inspected.
    await app.toasts.filter(has_text="One more thing…").get_by_role("link").focus()
    await inspector.inspect("toasts")
    await page.context.set_offline(True)
    await expect(app.banner).to_be_visible()
    await inspector.inspect("toast-and-banner")
