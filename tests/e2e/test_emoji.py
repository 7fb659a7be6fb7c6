"""The emoji picker: in messages, posts, comments and reactions."""

from playwright.async_api import Locator, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.test_screens import DEVICES


def picker(app: AppPage) -> Locator:
    return app.page.get_by_role("dialog", name="Emoji")


async def test_an_emoji_is_searched_inserted_and_remembered_by_the_keyboard_alone(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """With a skin tone; at the caret. After a reload, it is among those that were used last."""
    an = create_user("An")
    an.create_conversation(create_user("Bình"))
    app = await open_app(an)
    await app.open_conversation("Bình")
    await app.composer.fill("Hi there")
    for _ in "there":
        await app.page.keyboard.press("ArrowLeft")
    await app.page.keyboard.press("Tab")
    await app.page.keyboard.press("Enter")
    search = picker(app).get_by_role("searchbox", name="Search emoji")
    await expect(search).to_be_focused()
    await picker(app).get_by_role("combobox", name="Skin tone").select_option("3")
    await search.fill("waving ha")
    await expect(picker(app).get_by_role("button", name="waving hand")).to_have_text("👋🏽")
    await search.press("Enter")
    await expect(picker(app)).to_have_count(0)
    await expect(app.composer).to_be_focused()
    await expect(app.composer).to_have_value("Hi 👋🏽there")
    await app.reload()
    await app.page.get_by_role("button", name="Insert an emoji").click()
    recent = picker(app).get_by_role("tabpanel", name="Recently used").get_by_role("button")
    await expect(recent).to_have_text(["👋🏽"])
    await expect(picker(app).get_by_role("combobox", name="Skin tone")).to_have_value("3")
    await search.press("Tab")
    await app.page.keyboard.press("Tab")
    await app.page.keyboard.press("ArrowRight")
    await app.page.keyboard.press("ArrowRight")
    panel = picker(app).get_by_role("tabpanel", name="people & body")
    await panel.get_by_role("button").first.focus()
    await app.page.keyboard.press("ArrowDown")
    await app.page.keyboard.press("ArrowUp")
    await app.page.keyboard.press("ArrowRight")
    await expect(panel.get_by_role("button").nth(1)).to_be_focused()


async def test_every_emoji_is_a_reaction_to_a_message_a_post_and_a_comment(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """On the other device, too."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, "Hello")
    post = binh.post("/posts", content="A post")["id"]
    binh.comment(post, "A comment")
    app, other = await open_app(an), await open_app(binh)

    async def pick(name: str) -> None:
        await app.page.get_by_role("menuitem", name="More emoji").click()
        await picker(app).get_by_role("searchbox").fill(name)
        await picker(app).get_by_role("button", name=name, exact=True).click()

    await other.goto(f"/#/c/{conversation}")
    await app.open_conversation("Bình")
    await app.message("Hello").hover()
    await app.message("Hello").get_by_role("button", name="Message actions").click()
    await pick("otter")
    for each in (app, other):
        await expect(each.message("Hello").get_by_role("button", name="🦦")).to_be_visible()
    await app.goto(f"/#/posts/{post}")
    await app.page.get_by_role("article").get_by_role("button", name="Add a reaction").click()
    await pick("teapot")
    await expect(app.page.get_by_role("article").get_by_role("button", name="🫖 from 1 person")).to_be_visible()
    await app.page.locator(".comment").get_by_role("button", name="Add a reaction").click()
    await pick("flag: Vietnam")
    await expect(app.page.locator(".comment").get_by_role("button", name="🇻🇳 from 1 person")).to_be_visible()
    await app.page.get_by_role("button", name="Insert an emoji").click()
    await picker(app).get_by_role("tab", name="Recently used").click()
    await picker(app).get_by_role("button", name="teapot").click()
    await expect(app.page.get_by_role("textbox", name="Write a comment")).to_have_value("🫖")


async def test_the_picker_is_accessible_on_a_phone_and_says_what_it_could_not_load(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """In Vietnamese, in both themes."""
    app = await open_app(create_user("An"), goto=False, **{**DEVICES["phone"], "locale": "vi-VN"})
    await app.page.route("**/emoji.json", lambda route: route.abort())
    await app.goto("/#/posts")
    await app.page.get_by_role("button", name="Chèn biểu tượng cảm xúc").tap()
    dialog = app.page.get_by_role("dialog", name="Biểu tượng cảm xúc")
    await expect(dialog.get_by_role("button", name="Thử lại")).to_be_visible()
    await app.page.unroute("**/emoji.json")
    await dialog.get_by_role("button", name="Thử lại").tap()
    await expect(dialog.get_by_role("tabpanel", name="mặt cười & cảm xúc").get_by_role("button").first).to_be_visible()
    assert [] == await serious_violations(app.page)
    await app.page.emulate_media(color_scheme="dark")
    assert [] == await serious_violations(app.page, only_colours=True)
    assert await app.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
