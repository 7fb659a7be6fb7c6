"""Attachments in chats: chosen, pasted or dropped, uploaded, sent, and shown."""

import io
import re

from PIL import Image
from playwright.async_api import FilePayload, Locator, Request, Route, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.test_screens import DEVICES
from tests.e2e.waiting import wait_until

UPLOADS = "**/api/v1/attachments?*"
NOTES = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"Some notes\n")

ADD_FILE = """(target, [kind, name]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File(["dropped"], name, { type: "text/plain" }));
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
  target.dispatchEvent(kind === "paste" ? new ClipboardEvent(kind, options) : new DragEvent(kind, options));
}"""


COUNT_URLS = """() => {
  window.objectUrls = new Set();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = blob => {
    const url = createObjectURL(blob);
    objectUrls.add(url);
    return url;
  };
  URL.revokeObjectURL = url => {
    objectUrls.delete(url);
    revokeObjectURL(url);
  };
}"""
"""Each such URL keeps its file in memory."""


def photo(width: int = 600, height: int = 300) -> FilePayload:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "JPEG")
    return FilePayload(name="photo.jpg", mimeType="image/jpeg", buffer=file.getvalue())


async def choose(app: AppPage, *files: FilePayload) -> None:
    """Choose files with the button."""
    async with app.page.expect_file_chooser() as chooser:
        await app.page.get_by_role("button", name="Attach files").click()
    await (await chooser.value).set_files(files)


def tray(app: AppPage) -> Locator:
    """The files that are attached to the message that is being written."""
    return app.page.locator(".tray-item")


def send_button(app: AppPage) -> Locator:
    return app.page.get_by_role("button", name="Send", exact=True)


HURRY = """() => {
  const { setTimeout } = window;
  window.setTimeout = (run, after) => setTimeout(run, after > 10_000 ? after : 0);
}"""
"""No pauses of up to ten seconds."""
SWIPE = """(figure, [start, end]) => {
  const touches = (clientX) => [new Touch({ identifier: 1, target: figure, clientX, clientY: 300 })];
  figure.dispatchEvent(new TouchEvent("touchstart", { touches: touches(start) }));
  figure.dispatchEvent(new TouchEvent("touchend", { changedTouches: touches(end) }));
}"""
"""A finger moves from one place to another, both in CSS pixels from the left."""


async def test_files_are_sent_and_shown(open_app: OpenApp, create_user: CreateUser) -> None:
    """Images at once in their size, with a description or their name as text; other files as links. Nothing moves when
    they load."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, "Hello")
    app, other = await open_app(an), await open_app(binh)
    for each in (app, other):
        await each.open_link(conversation)
    await choose(app, photo(), NOTES)
    await expect(tray(app)).to_have_count(2)
    await expect(tray(app).locator("progress")).to_have_count(0)
    describe = app.page.get_by_role("button", name="Describe photo.jpg")
    await describe.click()
    await app.page.get_by_role("textbox", name="Description").fill("A field of teal")
    assert [] == await serious_violations(app.page)
    await app.page.get_by_role("button", name="Save").click()
    await expect(describe).to_be_focused()
    await app.reload()
    await expect(describe).to_have_attribute("title", "A field of teal")
    await choose(app, FilePayload(**{**photo(60, 30), "name": "small.jpg"}))
    await expect(tray(app).locator("progress")).to_have_count(0)
    await send_button(app).click()
    await expect(tray(app)).to_have_count(0)
    for each in (app, other):
        await expect(each.page.get_by_role("img", name="small.jpg")).to_be_visible()
        image = each.page.get_by_role("img", name="A field of teal")
        await expect(image).to_be_visible()
        assert {"width": 320, "height": 160} == {
            name: await image.evaluate(f"image => image.{name}") for name in ("width", "height")
        }
        await expect(image).to_have_js_property("complete", True)
        assert 480 == await image.evaluate("image => image.naturalWidth")
        await expect(each.messages.get_by_role("link", name="notes.txt")).to_have_attribute("download", "notes.txt")
    await expect(other.conversation_row("An")).to_contain_text("photo.jpg")
    assert [] == await serious_violations(app.page)
    await other.page.set_viewport_size({"width": 360, "height": 640})
    assert await other.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    message = app.messages.filter(has=app.page.get_by_role("link", name="notes.txt"))
    await message.hover()
    await message.get_by_role("button", name="Message actions").click()
    await app.page.get_by_role("menu").get_by_text("Delete").click()
    await app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(other.page.get_by_role("img", name="A field of teal")).to_have_count(0)


async def test_files_are_pasted_and_dropped_and_survive_a_reload(open_app: OpenApp, create_user: CreateUser) -> None:
    """One that is still being uploaded survives a look at another chat."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    an.send_message(an.create_conversation(create_user("Chi")), "Hello")
    app = await open_app(an)
    await app.open_link(conversation)
    await app.composer.evaluate(ADD_FILE, ["paste", "pasted.txt"])
    await app.page.locator("main.pane").evaluate(ADD_FILE, ["drop", "dropped.txt"])
    await expect(tray(app)).to_contain_text(["pasted.txt", "dropped.txt"])
    await expect(tray(app).locator("progress")).to_have_count(0)
    await app.reload()
    await expect(tray(app)).to_have_count(2)
    await app.page.get_by_role("button", name="Remove pasted.txt").click()
    await app.composer.press("Enter")
    await expect(app.messages.get_by_role("link", name="dropped.txt")).to_be_visible()
    await app.reload()
    await expect(app.messages.get_by_role("link", name="dropped.txt")).to_be_visible()
    await expect(tray(app)).to_have_count(0)

    async def look_elsewhere(route: Route) -> None:
        await app.open_conversation("Chi")
        await expect(tray(app)).to_have_count(0)
        await route.continue_()

    await app.page.route(UPLOADS, look_elsewhere)
    async with app.page.expect_response(UPLOADS):
        await choose(app, NOTES)
    await app.open_conversation("Bình")
    await expect(tray(app)).to_contain_text(["notes.txt"])
    await expect(send_button(app)).to_be_enabled()


async def test_an_upload_that_breaks_off_goes_on(open_app: OpenApp, create_user: CreateUser) -> None:
    """By itself at first, after a long outage when the browser is online again, else by a button. Meanwhile it can be
    removed, and nothing is sent without it."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_link(conversation)
    attempts: list[Request] = []

    async def break_off(route: Route) -> None:
        attempts.append(route.request)
        await (route.abort("connectionreset") if len(attempts) == 1 else route.continue_())

    await app.page.route(UPLOADS, break_off)
    await app.composer.fill("With a file")
    await choose(app, NOTES)
    await expect(send_button(app)).to_be_disabled()
    await expect(send_button(app)).to_be_enabled()
    assert 2 == len(attempts)
    await app.page.get_by_role("button", name="Remove notes.txt").click()
    await app.page.evaluate(HURRY)
    await app.page.context.set_offline(True)
    await choose(app, NOTES)
    await expect(tray(app).get_by_role("button", name="Try again")).to_be_visible()
    await app.page.context.set_offline(False)
    await expect(send_button(app)).to_be_enabled()
    await app.page.route(UPLOADS, lambda route: route.fulfill(status=500, json={"code": "internal_error"}))
    await choose(app, photo())
    retry = tray(app).get_by_role("button", name="Try again")
    await expect(retry).to_be_visible()
    await expect(send_button(app)).to_be_disabled()
    await app.page.unroute(UPLOADS)
    await retry.click()
    await expect(send_button(app)).to_be_enabled()
    await app.page.get_by_role("button", name="Remove photo.jpg").click()
    await send_button(app).click()
    await expect(app.message("With a file").get_by_role("link", name="notes.txt")).to_be_visible()
    # Chromium reports the broken and the failed request.
    app.errors.clear()


async def test_what_is_no_image_is_refused_in_words(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_link(conversation)
    await choose(app, FilePayload(name="broken.png", mimeType="image/png", buffer=b"\x89PNG\r\n\x1a\n"))
    await expect(tray(app)).to_contain_text("The file is damaged or too large.")
    await expect(send_button(app)).to_be_disabled()
    assert [] == await serious_violations(app.page)
    app.errors.clear()


async def test_a_phone_has_its_camera(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an, has_touch=True, is_mobile=True, viewport={"width": 390, "height": 844})
    await app.open_link(conversation)
    async with app.page.expect_file_chooser() as chooser:
        await app.page.get_by_role("button", name="Take a photo").click()
    await (await chooser.value).set_files(photo())
    await expect(tray(app).locator("progress")).to_have_count(0)
    await send_button(app).click()
    await expect(app.page.get_by_role("img", name="photo.jpg")).to_be_visible()


async def test_an_expired_url_is_no_obstacle(open_app: OpenApp, create_user: CreateUser) -> None:
    """The file is fetched with the token, and saved by a press with a key that would open it in another tab."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_link(conversation)
    await choose(app, photo(), NOTES)
    await expect(tray(app).locator("progress")).to_have_count(0)
    await send_button(app).click()
    await expect(app.page.get_by_role("img", name="photo.jpg")).to_be_visible()

    async def expired(route: Route) -> None:
        signed = "signature=" in route.request.url
        await (route.fulfill(status=401, json={}) if signed else route.continue_())

    await app.page.route("**/api/v1/attachments/**", expired)
    image = app.page.get_by_role("img", name="photo.jpg")
    await app.page.evaluate(COUNT_URLS)
    await image.evaluate("image => { image.src += '&again' }")
    await expect(image).to_have_attribute("src", re.compile("^blob:"))
    await wait_until(app.page, "objectUrls.size === 0")
    await expect(image).to_have_js_property("complete", True)
    await app.page.evaluate("() => { Date.now = () => new Date().getTime() + 86_400_000 }")
    async with app.page.expect_download() as download:
        await image.click(modifiers=["Shift"])
    assert "photo.jpg" == (await download.value).suggested_filename
    app.errors.clear()


async def test_a_deleted_comment_shows_no_file(open_app: OpenApp, create_user: CreateUser) -> None:
    """Nor does one without a text, which others reply to and therefore still see."""
    an, binh = create_user("An"), create_user("Bình")
    post = binh.post("/posts", content="Which file?")["id"]
    app = await open_app(an, goto=False)
    await app.goto(f"/#/posts/{post}")
    await choose(app, NOTES)
    await app.page.get_by_role("button", name="Comment", exact=True).click()
    shared = app.page.locator(".comment").first
    await expect(shared.get_by_role("link", name="notes.txt")).to_be_visible()
    (comment,) = an.list(f"/posts/{post}/comments")
    binh.comment(post, "Thanks", parent_id=comment["id"])
    await expect(shared).to_contain_text("Thanks")
    await shared.get_by_role("button", name="Comment actions").first.click()
    await app.page.get_by_role("menuitem", name="Delete").click()
    await app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(shared).to_contain_text("Deleted")
    await expect(shared.get_by_role("link", name="notes.txt")).to_have_count(0)


async def test_what_is_added_while_a_post_is_sent_stays(open_app: OpenApp, create_user: CreateUser) -> None:
    """The text and the files of the next one; the preview of what was sent is freed."""
    app = await open_app(create_user("An"))
    await app.goto("/#/posts")
    text = app.page.get_by_label("Write a post").get_by_role("textbox")
    await text.fill("First")
    await app.page.evaluate(COUNT_URLS)
    await choose(app, photo())
    await expect(tray(app).locator("progress")).to_have_count(0)

    async def add_meanwhile(route: Route) -> None:
        await text.fill("Second")
        await text.evaluate(ADD_FILE, ["paste", "second.txt"])
        await expect(tray(app).locator("progress")).to_have_count(0)
        await expect(tray(app)).to_have_count(2)
        await route.continue_()

    await app.page.route("**/api/v1/posts", add_meanwhile, times=1)
    await app.page.get_by_role("button", name="Post", exact=True).click()
    await expect(app.page.get_by_role("article").get_by_role("img", name="photo.jpg")).to_be_visible()
    await expect(tray(app)).to_contain_text(["second.txt"])
    assert 0 == await app.page.evaluate("objectUrls.size")
    await expect(text).to_have_value("Second")


async def test_images_are_enlarged_one_after_the_other(open_app: OpenApp, create_user: CreateUser) -> None:
    """With the keyboard; Escape returns to the image, also if the message has changed meanwhile. On the other device, a
    phone, the back button does."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_link(conversation)
    await choose(app, photo(), NOTES, FilePayload(**{**photo(300, 600), "name": "other.jpg"}))
    await expect(tray(app)).to_have_count(3)
    await expect(tray(app).locator("progress")).to_have_count(0)
    await send_button(app).click()
    await expect(app.messages).to_contain_text("Sent")
    link = app.messages.get_by_role("link", name="photo.jpg")
    await link.press("Enter")
    enlarged = app.page.get_by_role("dialog").get_by_role("img")
    await expect(enlarged).to_have_accessible_name("photo.jpg")
    await expect(enlarged).to_have_js_property("naturalWidth", 600)
    await expect(app.page.get_by_text("1 of 2")).to_be_visible()
    await app.page.keyboard.press("ArrowRight")
    await expect(app.page.get_by_role("dialog", name="other.jpg").get_by_role("img")).to_have_accessible_name(
        "other.jpg"
    )
    await app.page.keyboard.press("ArrowRight")
    await expect(enlarged).to_have_accessible_name("photo.jpg")
    async with app.page.expect_download() as download:
        await app.page.get_by_role("link", name="Download").click()
    assert "photo.jpg" == (await download.value).suggested_filename
    assert [] == await serious_violations(app.page)
    (message,) = binh.list(f"/conversations/{conversation}/messages")
    binh.put(f"/conversations/{conversation}/messages/{message['id']}/reactions/👍")
    await expect(app.messages).to_contain_text("👍")
    await app.page.keyboard.press("Escape")
    await expect(app.page.get_by_role("dialog")).to_have_count(0)
    await expect(link).to_be_focused()

    phone = await open_app(binh, color_scheme="dark", **DEVICES["phone"])
    await phone.open_conversation("An")
    await phone.messages.get_by_role("link", name="other.jpg").tap()
    await expect(phone.page.get_by_role("dialog", name="other.jpg")).to_be_visible()
    assert [] == await serious_violations(phone.page)
    assert await phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for end, name in ((300, "photo.jpg"), (0, "other.jpg"), (130, "other.jpg")):
        await phone.page.locator(".lightbox").evaluate(SWIPE, [100, end])
        await expect(phone.page.get_by_role("dialog", name=name)).to_be_visible()
    await phone.page.go_back()
    await expect(phone.page.get_by_role("dialog")).to_have_count(0)
    await expect(phone.messages).to_have_count(1)
    # The way back from another page does not stop at an entry of the dialog.
    await phone.messages.get_by_role("link", name="other.jpg").tap()
    await phone.page.evaluate("location.hash = '#/posts'")
    await expect(phone.page.get_by_role("heading", name="Posts")).to_be_visible()
    await phone.page.go_back()
    await expect(phone.messages).to_have_count(1)
    await wait_until(phone.page, "history.state === null")
    # Nor after a reload, and an image that is opened at once stays open.
    await phone.messages.get_by_role("link", name="other.jpg").tap()
    await expect(phone.page.get_by_role("dialog", name="other.jpg")).to_be_visible()
    await phone.page.reload()
    await phone.messages.get_by_role("link", name="other.jpg").tap()
    await expect(phone.page.get_by_role("dialog", name="other.jpg")).to_be_visible()
    await phone.page.go_back()
    await expect(phone.page.get_by_role("dialog")).to_have_count(0)
    await wait_until(phone.page, "history.state === null")
    await expect(phone.messages).to_have_count(1)
