"""The page of a user."""

from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp


async def test_a_name_leads_to_a_page_and_from_there_to_a_chat(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    post = binh.post("/posts", content="Hello")["id"]
    app = await open_app(an)
    await app.goto(f"/#/posts/{post}")
    await app.page.get_by_role("link", name="Bình").click()
    await expect(app.page.get_by_role("heading", name="Bình")).to_be_visible()
    await expect(app.page.get_by_text(f"@{binh.username}")).to_be_visible()
    await app.page.get_by_role("button", name="Message").click()
    await app.send("Hi Bình")
    await expect(app.message("Hi Bình")).to_contain_text("Sent")


async def test_blocking_from_the_page_shows_at_once(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    app = await open_app(an)
    await app.goto(f"/#/users/{binh.id}")
    await app.page.get_by_role("button", name="Block Bình").click()
    await app.page.get_by_role("dialog").get_by_role("button", name="Block", exact=True).click()
    unblock = app.page.get_by_role("button", name="Unblock Bình")
    await expect(unblock).to_be_focused()
    await unblock.press("Enter")
    await expect(app.page.get_by_role("button", name="Block Bình", exact=True)).to_be_focused()


async def test_the_own_page_has_no_actions(open_app: OpenApp, create_user: CreateUser) -> None:
    an = create_user("An")
    app = await open_app(an)
    await app.goto(f"/#/users/{an.id}")
    await expect(app.page.get_by_role("heading", name="An", exact=True)).to_be_visible()
    await expect(app.page.locator("main").get_by_role("button")).to_have_count(0)


async def test_nobody_is_a_page_too(open_app: OpenApp, create_user: CreateUser) -> None:
    app = await open_app(create_user("An"))
    await app.goto("/#/users/nobody")
    await expect(app.page.get_by_role("alert")).to_have_text("This person does not exist, or no longer does.")
