"""Mentions in posts, comments and groups: suggested while they are written, and marked where they are shown."""

from playwright.async_api import expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp


async def test_people_are_suggested_while_a_mention_is_written(open_app: OpenApp, create_user: CreateUser) -> None:
    """By name or username; with the keyboard alone; the user themselves is not suggested."""
    an, *others = [create_user(name) for name in ("Quảng Zân", "Zuýnh Quảng", "Zuýnh Quế")]
    app = await open_app(an, goto=False)
    await app.goto("/#/posts")
    form = app.page.get_by_label("Write a post")
    text, post = form.get_by_role("textbox"), form.get_by_role("button", name="Post", exact=True)
    options = app.page.get_by_role("listbox", name="People to mention").get_by_role("option")
    await text.press_sequentially("Thanks @zuynh")
    await expect(options).to_have_count(2)
    for other in others:
        await expect(options.filter(has_text=f"@{other.username}")).to_have_count(1)
    assert [] == await serious_violations(app.page)
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await text.press("ArrowDown")
    await expect(options.last).to_have_attribute("aria-selected", "true")
    assert await options.last.get_attribute("id") == await text.get_attribute("aria-activedescendant")
    await text.press("Escape")
    await expect(options).to_have_count(0)
    # What is complete is not suggested: on a phone, the list would cover the button.
    await text.fill(f"Thanks @{others[0].username[:-1]}")
    await expect(options.filter(has_text=f"@{others[0].username}")).to_have_count(1)
    await text.press("End")
    await text.press_sequentially(others[0].username[-1])
    await expect(options).to_have_count(0)
    await text.fill(f"Thanks @{others[0].username[:-1]}")
    chosen = options.filter(has_text=f"@{others[0].username}")
    await expect(chosen).to_have_count(1)
    while await chosen.get_attribute("aria-selected") != "true":
        await text.press("ArrowDown")
    await text.press("Enter")
    await expect(text).to_have_value(f"Thanks @{others[0].username} ")
    await expect(options).to_have_count(0)
    await text.press_sequentially("@zuyn")
    await options.filter(has_text=f"@{others[1].username}").click()
    await expect(text).to_be_focused()
    await expect(text).to_have_value(f"Thanks @{others[0].username} @{others[1].username} ")
    await text.press("Tab")
    for button in ("Insert an emoji", "Attach files"):
        await expect(form.get_by_role("button", name=button)).to_be_focused()
        await app.page.keyboard.press("Tab")
    await expect(post).to_be_focused()
    await app.page.keyboard.press("Enter")
    mentions = app.page.get_by_role("article").first.locator(".mention")
    await expect(mentions).to_have_text([f"@{other.username}" for other in others])


async def test_the_suggestions_stay_within_a_phone(open_app: OpenApp, create_user: CreateUser) -> None:
    """Above the field, if there is no room below it."""
    an, binh = create_user("An"), create_user("Phòng Gọn")
    post = an.post("/posts", content=f"A post with a mention of @{binh.username}, and a@b.example")["id"]
    for number in range(8):
        binh.comment(post, f"Comment {number}")
    app = await open_app(an, goto=False, viewport={"width": 350, "height": 480})
    await app.goto(f"/#/posts/{post}")
    text = app.page.get_by_role("textbox", name="Write a comment")
    await text.press_sequentially("@phòng")
    suggestions = app.page.get_by_role("listbox", name="People to mention")
    await expect(suggestions).to_be_in_viewport(ratio=0.99)
    await expect(app.page.get_by_role("article").locator(".mention")).to_have_text([f"@{binh.username}"])


async def test_participants_are_suggested_in_a_group(open_app: OpenApp, create_user: CreateUser) -> None:
    """They, and everyone, but no others; Enter takes a suggestion instead of sending the message. A chat of two has
    none."""
    an, binh, chi, outside = (create_user(name) for name in ("An", "Bình Zươ", "Zươ Chi", "Zươ Dũng"))
    an.create_conversation(outside)
    group = an.create_conversation(binh, chi, title="Lunch")
    app = await open_app(an, viewport={"width": 390, "height": 700}, color_scheme="dark")
    await app.open_conversation("Lunch")
    suggestions = app.page.get_by_role("listbox", name="People to mention")
    options = suggestions.get_by_role("option")
    await app.composer.press_sequentially("Hi @zuo")
    await expect(options).to_have_count(2)
    await expect(suggestions).to_be_in_viewport(ratio=0.99)
    assert [] == await serious_violations(app.page)
    await expect(options.first).to_contain_text("Bình Zươ")
    await app.composer.press("Enter")
    await expect(app.composer).to_have_value(f"Hi @{binh.username} ")
    await app.composer.press_sequentially("and @eve")
    await options.filter(has_text="Everyone in this chat").click()
    await expect(app.composer).to_be_focused()
    await app.composer.press("Enter")
    mentions = app.messages.locator(".mention")
    await expect(mentions).to_have_text([f"@{binh.username}", "@all"])
    await expect(app.messages).to_contain_text("Sent")
    for theme in ("light", "dark"):
        await app.page.emulate_media(color_scheme=theme)
        assert [] == await serious_violations(app.page, only_colours=True)
    (message,) = (each for each in chi.list(f"/conversations/{group}/messages") if each["kind"] == "text")
    assert {an.id, binh.id, chi.id} == set(message["mentions"])
    await app.page.get_by_role("link", name="Back").click()
    await app.open_conversation("Zươ Dũng")
    await expect(app.composer).not_to_have_attribute("aria-autocomplete", "list")
