"""Coming in and going out."""

from playwright.async_api import expect

from tests.e2e.app import PASSWORD
from tests.e2e.conftest import Enter, Register


async def test_registers_and_stays_signed_in(enter: Enter) -> None:
    """A new account is signed in at once, and still is after a reload."""
    app = await enter()
    await app.page.get_by_role("button", name="Create an account").click()
    await app.page.get_by_label("Name", exact=True).fill("Linh")
    await app.page.get_by_label("Username").fill("Linh.Registers")
    await app.page.get_by_label("Password").fill(PASSWORD)
    await app.page.get_by_role("button", name="Create account").click()
    await expect(app.page.get_by_text("No chats yet")).to_be_visible()
    await app.page.reload()
    await expect(app.page.get_by_text("No chats yet")).to_be_visible()


async def test_says_what_is_wrong_with_a_field(enter: Enter, register: Register) -> None:
    """Before asking the server where it can, after it where it cannot; at the field, and with the focus there."""
    taken = register("Minh")
    app = await enter()
    await app.page.get_by_role("button", name="Create an account").click()
    await app.page.get_by_label("Username").fill("a b")
    await app.page.get_by_label("Password").fill("short")
    await app.page.get_by_role("button", name="Create account").click()
    await expect(app.page.get_by_label("Username")).to_be_focused()
    await expect(app.page.get_by_label("Username")).to_have_attribute("aria-invalid", "true")
    await expect(app.page.get_by_text("Use 8 to 128 characters.")).to_be_visible()
    await app.page.get_by_label("Username").fill(taken.username)
    await app.page.get_by_label("Password").fill(PASSWORD)
    await app.page.get_by_role("button", name="Create account").click()
    await expect(app.page.get_by_role("alert")).to_have_text("This username is taken.")


async def test_refuses_a_wrong_password(enter: Enter, register: Register) -> None:
    """It does not say which of the two was wrong."""
    person = register("Minh")
    app = await enter()
    await app.page.get_by_label("Username").fill(person.username)
    await app.page.get_by_label("Password").fill("something else")
    await app.page.get_by_role("button", name="Sign in").click()
    await expect(app.page.get_by_role("alert")).to_have_text("The username or the password is wrong.")


async def test_signs_out_in_every_tab(enter: Enter, register: Register) -> None:
    """Signing out is of the browser, not of a tab."""
    app = await enter(register("An"))
    other = await app.another()
    await app.page.get_by_role("button", name="You").click()
    await app.page.get_by_role("button", name="Sign out", exact=True).click()
    for page in (app.page, other.page):
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_ends_another_device(enter: Enter, register: Register) -> None:
    """The device that was ended is told at once, and why."""
    person = register("An")
    here, there = await enter(person), await enter(person)
    await here.page.get_by_role("button", name="You").click()
    devices = here.page.get_by_role("region", name="Devices").get_by_role("listitem")
    # The third is the one with which the test has registered.
    await expect(devices).to_have_count(3)
    await devices.first.get_by_role("button").click()
    await expect(there.page.get_by_text("You were signed out.")).to_be_visible()
    await expect(here.rail).to_be_visible()


async def test_changes_the_profile(enter: Enter, register: Register) -> None:
    """A new name and picture; a picture that does not load leaves the initials."""
    app = await enter(register("An"))
    await app.page.get_by_role("button", name="You").click()
    profile = app.page.get_by_role("region", name="Profile")
    await profile.get_by_label("Name").fill("Bình Trần")
    await profile.get_by_label("Picture").fill("javascript:alert(1)")
    await profile.get_by_role("button", name="Save").click()
    await expect(profile.get_by_text("This is not the http:// or https:// address of an image.")).to_be_visible()
    await profile.get_by_label("Picture").fill("http://127.0.0.1:9/none.png")
    await profile.get_by_role("button", name="Save").click()
    await expect(app.page.get_by_text("Saved.")).to_be_visible()
    await expect(app.rail.locator(".avatar")).to_have_text("BT")
