"""The operator's announcements: shown once, also to users who were away."""

from pathlib import Path

from playwright.async_api import expect

from config.settings import Settings
from service.commands.announce import announce
from tests.conftest import SECRET
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.user import User

HIDE = "isHidden => Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden })"
CHANGED = "() => document.dispatchEvent(new Event('visibilitychange'))"


async def announce_on(user: User, text: str) -> None:
    """Run the command with the datastores of the user's server."""
    entries = Path(f"/proc/{user.server.pid}/environ").read_text().split("\0")
    variables = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    settings = Settings(redis_url=variables["REDIS_URL"], jwt_secret=SECRET)
    await announce(settings, text)


FORBID_STORAGE = """
for (const name of ["localStorage", "sessionStorage"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("forbidden", "SecurityError"); } });
}
"""


async def test_a_browser_that_forbids_storage_shows_it_too(open_app: OpenApp, create_user: CreateUser) -> None:
    an = create_user("An")
    await announce_on(an, "Tonight at ten")
    app = await open_app(url=an.server.url, goto=False)
    await app.page.add_init_script(FORBID_STORAGE)
    await app.goto()
    await app.sign_in(an)
    await expect(app.toasts).to_have_text(["Tonight at ten"])


async def test_who_was_away_sees_the_last_announcement_once(open_app: OpenApp, create_user: CreateUser) -> None:
    """Also if the page was open, but not in view."""
    an = create_user("An")
    await announce_on(an, "Before")
    await announce_on(an, "Tonight at ten")
    app = await open_app(an)
    await expect(app.toasts).to_have_text(["Tonight at ten"])
    await app.reload()
    await expect(app.page.get_by_role("heading", name="Chats")).to_be_visible()
    async with app.page.expect_response("**/api/v1/announcement"):
        await app.reload()
    await expect(app.toasts).to_have_count(0)

    await app.page.evaluate(HIDE, True)
    await announce_on(an, "Over at eleven")
    await app.page.wait_for_timeout(0)
    await expect(app.toasts).to_have_count(0)
    await app.page.evaluate(HIDE, False)
    await app.page.evaluate(CHANGED)
    await expect(app.toasts).to_have_text(["Over at eleven"])
    async with app.page.expect_response("**/api/v1/announcement"):
        await app.reload()
    await expect(app.toasts).to_have_count(0)
