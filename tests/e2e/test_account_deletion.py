"""The deletion of an account in the app."""

from playwright.async_api import expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.user import PASSWORD


async def test_an_account_is_deleted_with_the_password(open_app: OpenApp, create_user: CreateUser) -> None:
    """By keyboard. A wrong password deletes nothing. Every tab then says what has happened."""
    user = create_user("An")
    app = await open_app(user)
    await app.page.get_by_role("button", name="You").click()
    section = app.page.get_by_role("region", name="Delete account")
    await section.get_by_role("button", name="Delete my account…").press("Enter")
    password = section.get_by_label("Current password")
    await expect(password).to_be_focused()
    assert [] == await serious_violations(app.page)
    await password.fill("something else")
    await password.press("Enter")
    await expect(section.get_by_text("Incorrect password.")).to_be_visible()
    await password.fill(PASSWORD)
    await password.press("Enter")
    await expect(app.page.get_by_text("Your account is deleted.")).to_be_visible()
    await app.page.get_by_label("Username").fill(user.username)
    await app.page.get_by_label("Password").fill(PASSWORD)
    await app.page.get_by_role("button", name="Sign in").click()
    await expect(app.page.get_by_role("alert")).to_have_text("Incorrect username or password.")
