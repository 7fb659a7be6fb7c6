"""Registration, signing in and out, devices and the profile."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bson import ObjectId
from playwright.async_api import FilePayload, expect
from pymongo import MongoClient

from tests.commands.test_delete_user import environment
from tests.conftest import Datastores, Run
from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.test_attachments import photo
from tests.e2e.user import PASSWORD, User
from tests.running import Server

SignInEarlier = Callable[[User], None]


@pytest.fixture
def sign_in_earlier(datastores: Datastores) -> SignInEarlier:
    """`sign_in_earlier(user)`: let the sign-ins of the user have been yesterday."""

    def sign_in_earlier(user: User) -> None:
        changed = 0
        with MongoClient[Any](datastores.mongodb_uri) as client:
            for name in client.list_database_names():
                yesterday = {"$set": {"created_at": datetime.now(UTC) - timedelta(days=1)}}
                changed += (
                    client[name]["sessions"].update_many({"user_id": ObjectId(user.id)}, yesterday).modified_count
                )
        assert changed

    return sign_in_earlier


async def test_registration_signs_in_and_the_session_survives_a_reload(open_app: OpenApp) -> None:
    app = await open_app()
    await app.page.get_by_role("button", name="Create an account").click()
    await app.page.get_by_label("Name", exact=True).fill("Linh")
    await app.page.get_by_label("Username").fill("Linh.Registers")
    await app.page.get_by_label("Password").fill(PASSWORD)
    await app.page.get_by_role("button", name="Create account").click()
    await expect(app.page.get_by_text("No chats yet")).to_be_visible()
    await app.page.reload()
    await expect(app.page.get_by_text("No chats yet")).to_be_visible()


async def test_invalid_fields_show_an_error_and_get_the_focus(open_app: OpenApp, create_user: CreateUser) -> None:
    """The page checks what it can before the request; the rest is shown from the server's response."""
    taken = create_user("Minh")
    app = await open_app()
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
    await expect(app.page.get_by_role("alert")).to_have_text("This username is already taken.")


async def test_sign_in_rejects_a_wrong_password_and_accepts_the_right_one(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """The error does not reveal whether the username exists."""
    user = create_user("Minh")
    app = await open_app()
    await app.page.get_by_label("Username").fill(user.username)
    await app.page.get_by_label("Password").fill("something else")
    await app.page.get_by_role("button", name="Sign in").click()
    await expect(app.page.get_by_role("alert")).to_have_text("Incorrect username or password.")
    await expect(app.page.get_by_role("button", name="Sign in")).to_be_focused()
    await app.sign_in(user)


async def test_signing_out_applies_to_every_tab(open_app: OpenApp, create_user: CreateUser) -> None:
    first_tab = await open_app(create_user("An"))
    second_tab = await first_tab.open_tab()
    # In the tab that is in front: a tab in the background is drawn once a second, and Playwright waits for that.
    await second_tab.sign_out()
    for tab in (first_tab, second_tab):
        await expect(tab.page.get_by_role("heading", name="Sign in")).to_be_visible()


async def test_signing_out_another_device_takes_effect_at_once(open_app: OpenApp, create_user: CreateUser) -> None:
    """The other device shows the reason."""
    user = create_user("An")
    other_device, app = await open_app(user), await open_app(user)
    await app.page.get_by_role("button", name="You").click()
    devices = app.page.get_by_role("region", name="Devices").get_by_role("listitem")
    await expect(devices).to_have_count(2)
    await devices.get_by_role("button").click()
    await expect(other_device.page.get_by_text("You were signed out.")).to_be_visible()
    await expect(app.nav_bar).to_be_visible()


async def test_a_session_of_long_standing_ends_another_one_with_the_password(
    open_app: OpenApp, create_user: CreateUser, sign_in_earlier: SignInEarlier
) -> None:
    """A wrong password is reported at its field."""
    user = create_user("An")
    other_device, app = await open_app(user), await open_app(user)
    sign_in_earlier(user)
    await app.page.get_by_role("button", name="You").click()
    devices = app.page.get_by_role("region", name="Devices")
    await devices.get_by_role("button").click()
    password = devices.get_by_label("Current password")
    await expect(password).to_be_focused()
    assert [] == await serious_violations(app.page)
    await password.fill("something else")
    await password.press("Enter")
    await expect(devices.get_by_text("Incorrect password.")).to_be_visible()
    await expect(other_device.nav_bar).to_be_visible()
    await password.fill(PASSWORD)
    await password.press("Enter")
    await expect(other_device.page.get_by_text("You were signed out.")).to_be_visible()
    await expect(devices.get_by_role("listitem")).to_have_count(1)


async def test_the_profile_can_be_changed(open_app: OpenApp, create_user: CreateUser) -> None:
    """If the picture does not load, the initials are shown."""
    app = await open_app(create_user("An"))
    await app.page.get_by_role("button", name="You").click()
    profile = app.page.get_by_role("region", name="Profile")
    await profile.get_by_label("Name").fill("Bình Trần")
    await profile.get_by_label("Picture").fill("javascript:alert(1)")
    await profile.get_by_role("button", name="Save").click()
    await expect(profile.get_by_text("Enter an https:// link to an image.")).to_be_visible()
    await profile.get_by_label("Picture").fill("https://pictures.example.org/none.png")
    await profile.get_by_role("button", name="Save").click()
    await expect(app.page.get_by_text("Saved.")).to_be_visible()
    await expect(app.nav_bar.locator(".avatar")).to_have_text("BT")
    await expect(app.page.get_by_role("dialog").get_by_role("heading", name="Bình Trần")).to_be_visible()


async def test_a_picture_is_uploaded_and_removed(open_app: OpenApp, create_user: CreateUser) -> None:
    """Cropped to a square. Others see it, on their devices, too; who uploads no image is told so."""
    an, binh = create_user("An"), create_user("Bình")
    binh.send_message(an.create_conversation(binh), "Hello")
    app = await open_app(an)
    await app.page.get_by_role("button", name="You").click()
    profile = app.page.get_by_role("region", name="Profile")
    upload, remove = (profile.get_by_role("button", name=name) for name in ("Upload a picture", "Remove picture"))
    await expect(remove).to_be_hidden()

    async def choose(file: FilePayload) -> None:
        async with app.page.expect_file_chooser() as chooser:
            await upload.click()
        await (await chooser.value).set_files(file)

    await choose(FilePayload(name="a.png", mimeType="image/png", buffer=b"\x89PNG\r\n\x1a\n"))
    await expect(app.toasts).to_contain_text("This is no image, or it is damaged.")
    await choose(photo(600, 300))
    for image in (app.nav_bar.locator(".avatar img"), app.page.get_by_role("dialog").locator(".avatar.large img")):
        await expect(image).to_have_js_property("naturalWidth", 300)
        await expect(image).to_have_js_property("naturalHeight", 300)
    await expect(profile.get_by_label("Picture")).to_have_value("")
    assert [] == await serious_violations(app.page)
    other = await open_app(binh)
    await expect(other.conversation_row("An").locator(".avatar img")).to_have_js_property("naturalWidth", 300)
    await remove.press("Enter")
    await expect(app.nav_bar.locator(".avatar")).to_have_text("A")
    await expect(upload).to_be_focused()
    await expect(remove).to_be_hidden()


async def test_a_new_name_reaches_the_other_tabs(open_app: OpenApp, create_user: CreateUser) -> None:
    app = await open_app(create_user("An"))
    other_tab = await app.open_tab("/#/posts")
    await other_tab.page.get_by_role("button", name="You").click()
    profile = other_tab.page.get_by_role("region", name="Profile")
    await profile.get_by_label("Name").fill("Bình Trần")
    await profile.get_by_role("button", name="Save").click()
    await expect(other_tab.page.locator(".post-composer .avatar")).to_have_text("BT")
    await expect(app.nav_bar.locator(".avatar")).to_have_text("BT")
    await app.page.get_by_role("button", name="You").click()
    await expect(app.page.get_by_role("dialog").get_by_role("heading", name="Bình Trần")).to_be_visible()


async def test_open_dialogs_follow_changes_made_elsewhere(open_app: OpenApp, create_user: CreateUser) -> None:
    """The account's and a group's. What the user is changing stays, and saving it brings back nothing old."""
    an = create_user("An")
    app = await open_app(an)
    await app.page.get_by_role("button", name="You").click()
    dialog = app.page.get_by_role("dialog")
    name, picture = dialog.get_by_label("Name", exact=True), dialog.get_by_label("Picture")
    an.patch("/users/me", display_name="Bình Trần")
    await expect(dialog.get_by_role("heading", name="Bình Trần")).to_be_visible()
    await expect(name).to_have_value("Bình Trần")
    await picture.fill("https://pictures.example.org/none.png")
    an.patch("/users/me", display_name="Chi")
    await expect(name).to_have_value("Chi")
    await expect(picture).to_have_value("https://pictures.example.org/none.png")
    await name.fill("Chi Lê")
    an.patch("/users/me", display_name="Dũng", avatar=None)
    await expect(dialog.get_by_role("heading", name="Dũng")).to_be_visible()
    await expect(name).to_have_value("Chi Lê")
    await name.fill("Dũng")
    await dialog.get_by_role("button", name="Save").click()
    await expect(app.toasts).to_contain_text("Saved.")
    profile = an.get("/users/me")
    assert ("Dũng", "https://pictures.example.org/none.png") == (profile["display_name"], profile["avatar"])
    await dialog.get_by_role("button", name="Close").first.click()

    group = an.create_conversation(create_user("Bình"), title="Lunch")
    await app.open_link(group)
    await app.page.get_by_role("button", name="Details").click()
    an.patch(f"/conversations/{group}", title="Dinner")
    await expect(app.page.get_by_label("Group name")).to_have_value("Dinner")


async def test_lengths_are_counted_as_the_server_does(open_app: OpenApp, create_user: CreateUser) -> None:
    """In code points: 64 emoji are a name of 64 characters."""
    app = await open_app(create_user("An"))
    await app.page.get_by_role("button", name="You").click()
    profile = app.page.get_by_role("region", name="Profile")
    await profile.get_by_label("Name").fill("😀" * 65)
    await profile.get_by_role("button", name="Save").click()
    await expect(profile.get_by_text("Use 1 to 64 characters.")).to_be_visible()
    await profile.get_by_label("Name").fill("😀" * 64)
    await profile.get_by_role("button", name="Save").click()
    await expect(app.page.get_by_text("Saved.")).to_be_visible()


async def test_a_page_whose_people_sign_in_elsewhere_says_so(open_app: OpenApp, run: Run) -> None:
    """It offers neither to sign in nor to register."""
    server = run(LOCAL_ACCOUNTS="off")
    app = await open_app(url=server.url)
    await expect(app.page.get_by_text("This chat is part of another site. Sign in there to use it.")).to_be_visible()
    for role in ("button", "textbox", "link"):
        await expect(app.page.get_by_role(role)).to_have_count(0)


async def test_a_forgotten_password_is_replaced_by_the_operators_link(
    open_app: OpenApp, create_user: CreateUser, server: Server
) -> None:
    an = create_user("An")
    command = [sys.executable, "-m", "service", "reset-password", an.username, "--origin", server.url]
    variables = {**os.environ, **environment(server)}
    output = await asyncio.to_thread(subprocess.check_output, command, env=variables, text=True, timeout=60)
    app = await open_app(goto=False)
    await app.page.goto(output.strip())
    await app.page.get_by_label("New password").fill("another password of mine")
    await app.page.get_by_role("button", name="Save and sign in").click()
    await expect(app.nav_bar).to_be_visible()
    assert app.page.url.endswith("/#/")

    again = await open_app(goto=False)
    await again.page.goto(output.strip())
    await again.page.get_by_label("New password").fill("another password of mine")
    await again.page.get_by_role("button", name="Save and sign in").click()
    await expect(again.page.get_by_role("alert").first).to_have_text(re.compile("has been used"))
    await again.page.get_by_role("link", name="Sign in").click()
    await expect(again.page.get_by_role("heading", name="Sign in")).to_be_visible()
