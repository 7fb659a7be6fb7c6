"""Every screen in both themes, on a desktop and on a phone: nothing that axe finds serious, and a picture of it.

Some of the pictures are kept, in `screenshots`, for the README: where there is none yet, or where SCREENSHOTS is set.
Otherwise every run would change them by the time of day that they show.
"""

import os
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.e2e.app import App
from tests.e2e.conftest import Enter, Register
from tests.e2e.world import World, populate

SCREENSHOTS = Path(__file__).parent / "screenshots"
KEPT = ("chats", "conversation", "post", "activity")
MAX_BYTES = 200_000

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
def world(register: Register) -> World:
    return populate(register)


@pytest.fixture(params=[f"{theme}-{device}" for device in DEVICES for theme in ("light", "dark")])
def look(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture(loop_scope="session")
async def screen(look: str, enter: Enter) -> "Screen":
    theme, device = look.split("-")
    return Screen(await enter(color_scheme=theme, reduced_motion="reduce", **DEVICES[device]), look)


class Screen:
    def __init__(self, app: App, look: str) -> None:
        self.app = app
        self.look = look

    async def inspect(self, name: str) -> None:
        """Look at what is on the screen, by axe and, where it is one of those that are kept, by camera."""
        results = (await Axe().run(self.app.page)).response
        found = [
            f"{name} {self.look}: {violation['id']}: {violation['help']}: {node['html'][:200]} {node['any']}"
            for violation in results["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        assert not found, "\n".join(found)
        if name in KEPT:
            picture = await self.app.page.screenshot()
            assert len(picture) < MAX_BYTES
            file = SCREENSHOTS / f"{name}-{self.look}.png"
            if "SCREENSHOTS" in os.environ or not file.exists():
                file.write_bytes(picture)


async def test_every_screen(screen: Screen, enter: Enter, world: World) -> None:
    """From the door through all of the app."""
    app, page = screen.app, screen.app.page
    await screen.inspect("sign-in")
    await page.get_by_role("button", name="Create an account").click()
    await page.get_by_role("button", name="Create account").click()
    await screen.inspect("register")
    await page.get_by_role("button", name="Sign in").click()
    other = await enter(world.other)
    await app.sign_in(world.me)

    await expect(app.conversation("Trần Minh").locator(".online-dot")).to_be_visible()
    await screen.inspect("chats")
    await app.open("Trần Minh")
    await other.open("Nguyễn Thuỳ Linh")
    await other.composer.fill("Me too")
    await expect(page.locator(".typing-indicator")).to_have_text("Trần Minh is typing…")
    await expect(app.message("👍")).to_contain_text("Read")
    await screen.inspect("conversation")
    await app.message("Lunch at half past twelve?").get_by_role("button", name="Message actions").click()
    await screen.inspect("menu")
    await page.get_by_role("menuitem", name="Reply").click()
    await screen.inspect("reply")
    await app.visit(f"/#/c/{world.group}")
    await expect(app.message("Yes please 🙌")).to_be_visible()
    await screen.inspect("group")
    await page.get_by_role("button", name="Details").click()
    await screen.inspect("details")
    await app.visit("/#/")
    await page.get_by_role("button", name="New chat").click()
    await page.get_by_role("searchbox", name="Search people").fill("trần")
    await page.get_by_role("checkbox").first.check()
    await screen.inspect("new-chat")
    await page.get_by_role("button", name="Close").click()

    await app.visit("/#/posts")
    await expect(page.get_by_role("article").first).to_be_visible()
    await screen.inspect("posts")
    await app.visit(f"/#/posts/{world.post}")
    await expect(page.locator(".comment").first).to_be_visible()
    await screen.inspect("post")
    await app.bell.click()
    await expect(page.locator(".notification").first).to_be_visible()
    await screen.inspect("activity")
    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="You").click()
    await expect(page.get_by_text("This device")).to_be_visible()
    await screen.inspect("account")
    await page.get_by_role("button", name="Close").click()

    world.other.post(f"/posts/{world.post}/comments", content="One more thing…")
    await expect(app.toasts).to_be_visible()
    await page.context.set_offline(True)
    await expect(app.banner).to_be_visible()
    await screen.inspect("toast-and-banner")
