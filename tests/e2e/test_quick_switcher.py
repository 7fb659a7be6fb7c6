"""The quick switcher (Ctrl+K)."""

import asyncio

from playwright.async_api import Route, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.test_screens import DEVICES


async def test_it_goes_to_chats_people_posts_and_pages_by_the_keyboard_alone(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    an, binh, stranger = create_user("An"), create_user("Bình"), create_user("Zoë Lặng")
    binh.send_message(an.create_conversation(binh, title="Đà Nẵng trip"), "Hello")
    stranger.post("/posts", content="A postcard")
    stranger.post("/posts", content="Zoology for beginners")
    app = await open_app(an)
    page = app.page
    await expect(app.conversation_row("Đà Nẵng trip")).to_be_visible()
    field = page.get_by_role("combobox", name="A chat, a person, a post or a page")

    async def go(text: str, option: str) -> None:
        await page.keyboard.press("Control+k")
        await expect(field).to_be_focused()
        await page.keyboard.type(text)
        wanted = page.get_by_role("option", name=option)
        await expect(wanted).to_be_visible()
        while await wanted.get_attribute("aria-selected") == "false":
            await page.keyboard.press("ArrowDown")
        await expect(field).to_have_attribute("aria-activedescendant", str(await wanted.get_attribute("id")))
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog")).to_have_count(0)

    # Nothing waits for the posts.
    wanted = asyncio.Event()

    async def answer_late(route: Route) -> None:
        await wanted.wait()
        await route.continue_()

    await page.route("**/api/v1/posts?*", answer_late)
    await go("nang", "Đà Nẵng trip")
    await expect(app.message("Hello")).to_be_visible()
    await go("zoe", "Zoë Lặng @")
    await expect(page.get_by_role("heading", name="Zoë Lặng")).to_be_visible()
    wanted.set()
    await go("zool", "Zoology for beginners")
    await expect(page.get_by_role("article").get_by_text("Zoology for beginners")).to_be_visible()
    # What is found later does not take the place of what Enter follows.
    wanted.clear()
    await page.keyboard.press("Control+k")
    await expect(field).to_be_focused()
    await page.keyboard.type("pos")
    posts = page.get_by_role("option", name="Posts", exact=True)
    await expect(posts).to_have_attribute("aria-selected", "true")
    wanted.set()
    await expect(page.get_by_role("option").filter(has_text="A postcard")).to_be_visible()
    await expect(posts).to_have_attribute("aria-selected", "true")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Posts")).to_be_visible()
    await page.keyboard.press("Control+k")
    await field.fill("nothing like it")
    await expect(page.get_by_text("Nothing found.")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(field).to_have_count(0)


async def test_on_a_phone_it_has_a_button_and_fits(open_app: OpenApp, create_user: CreateUser) -> None:
    """In Vietnamese, and accessible in both themes."""
    an = create_user("An")
    an.create_conversation(create_user("Người có một cái tên rất dài mà không ai đọc hết được"))
    app = await open_app(an, goto=False, **{**DEVICES["phone"], "locale": "vi-VN"})
    await app.goto()
    await app.page.get_by_role("button", name="Đi đến…").tap()
    field = app.page.get_by_role("combobox")
    await field.fill("người")
    await expect(app.page.get_by_role("option")).to_have_count(1)
    assert [] == await serious_violations(app.page)
    await app.page.emulate_media(color_scheme="dark")
    assert [] == await serious_violations(app.page, only_colours=True)
    assert await app.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await app.page.get_by_role("option").tap()
    await expect(app.page.get_by_role("heading", name="Người có một cái tên")).to_be_visible()
