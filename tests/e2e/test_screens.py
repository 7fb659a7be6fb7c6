"""Accessibility of every screen (axe), in both themes, on a desktop and on a phone; and the screenshots for the README.

A screenshot is written to `screenshots` only if it is missing or SCREENSHOTS is set: it contains the time of day, so
every run would change it.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.sample_data import SampleData, create_sample_data

SCREENSHOTS = Path(__file__).parent / "screenshots"
SCREENSHOT_SCREENS = ("chats", "conversation", "post", "activity")
MAX_SCREENSHOT_BYTES = 200_000

DEVICES: dict[str, dict[str, Any]] = {
    "desktop": {"viewport": {"width": 1280, "height": 800}},
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
    },
}


@pytest.fixture
def sample_data(create_user: CreateUser) -> SampleData:
    return create_sample_data(create_user)


@pytest.fixture(params=[f"{theme}-{device}" for device in DEVICES for theme in ("light", "dark")])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def inspector(variant: str, open_app: OpenApp) -> "ScreenInspector":
    theme, device = variant.split("-")
    return ScreenInspector(await open_app(color_scheme=theme, reduced_motion="reduce", **DEVICES[device]), variant)


class ScreenInspector:
    def __init__(self, app: AppPage, variant: str) -> None:
        self.app = app
        self.variant = variant

    async def inspect(self, name: str) -> None:
        """Check the current screen with axe and, if it is one of SCREENSHOT_SCREENS, take its screenshot."""
        results = (await Axe().run(self.app.page)).response
        serious = [
            f"{name} {self.variant}: {violation['id']}: {violation['help']}: {node['html'][:200]} {node['any']}"
            for violation in results["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        assert not serious, "\n".join(serious)
        if name in SCREENSHOT_SCREENS:
            screenshot = await self.app.page.screenshot()
            assert len(screenshot) < MAX_SCREENSHOT_BYTES
            file = SCREENSHOTS / f"{name}-{self.variant}.png"
            if "SCREENSHOTS" in os.environ or not file.exists():
                file.write_bytes(screenshot)


async def test_screens_have_no_serious_accessibility_violations(
    inspector: ScreenInspector, open_app: OpenApp, sample_data: SampleData
) -> None:
    app, page = inspector.app, inspector.app.page
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
    await app.goto(f"/#/posts/{sample_data.post}")
    await expect(page.locator(".comment").first).to_be_visible()
    await inspector.inspect("post")
    await app.bell.click()
    await expect(page.locator(".notification").first).to_be_visible()
    await inspector.inspect("activity")
    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="You").click()
    await expect(page.get_by_text("This device")).to_be_visible()
    await inspector.inspect("account")
    await page.get_by_role("button", name="Close").click()

    sample_data.other.comment(sample_data.post, "One more thing…")
    await expect(app.toasts).to_be_visible()
    await page.context.set_offline(True)
    await expect(app.banner).to_be_visible()
    await inspector.inspect("toast-and-banner")
