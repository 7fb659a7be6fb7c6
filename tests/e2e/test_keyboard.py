"""Keyboard operation and screen reader announcements."""

from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.user import PASSWORD


async def test_the_chat_can_be_used_with_the_keyboard_alone(open_app: OpenApp, create_user: CreateUser) -> None:
    """From signing in to reacting and replying: Tab, arrow keys, Enter and Escape."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, "One")
    binh.send_message(conversation, "Two")
    app = await open_app()
    keyboard = app.page.keyboard
    await expect(app.page.get_by_label("Username")).to_be_focused()
    await keyboard.type(an.username)
    await keyboard.press("Tab")
    await keyboard.type(PASSWORD)
    await keyboard.press("Enter")
    await expect(app.conversation_row("Bình")).to_be_visible()
    await app.conversation_row("Bình").focus()
    await keyboard.press("Enter")
    await expect(app.composer).to_be_focused()
    await expect(app.message("Two")).to_be_visible()
    await keyboard.press("Shift+Tab")
    await expect(app.message("Two")).to_be_focused()
    await keyboard.press("ArrowUp")
    await expect(app.message("One")).to_be_focused()
    await keyboard.press("Enter")
    await expect(app.page.get_by_role("menuitemcheckbox").first).to_be_focused()
    await keyboard.press("Enter")
    await expect(app.message("One").get_by_role("button", name="👍 You")).to_be_visible()
    await expect(app.message("One")).to_be_focused()
    await keyboard.press("Enter")
    await keyboard.press("Escape")
    await expect(app.page.get_by_role("menu")).to_have_count(0)
    await expect(app.message("One")).to_be_focused()
    await keyboard.press("Enter")
    for _ in range(7):
        await keyboard.press("ArrowDown")
    await expect(app.page.get_by_role("menuitem", name="Reply")).to_be_focused()
    await keyboard.press("Enter")
    await expect(app.composer).to_be_focused()
    await keyboard.type("Three")
    await keyboard.press("Shift+Enter")
    await keyboard.type("lines")
    await keyboard.press("Enter")
    await expect(app.message("Three\nlines").locator(".quote")).to_contain_text("One")


async def test_new_messages_of_others_are_announced(open_app: OpenApp, create_user: CreateUser) -> None:
    """A live region contains them with their sender, but not the user's own messages."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await app.send("Mine")
    await expect(app.message("Mine")).to_contain_text("Sent")
    live_region = app.page.get_by_role("log")
    await expect(live_region).to_have_text("")
    binh.send_message(conversation, "Theirs")
    await expect(live_region).to_have_text("Bình: Theirs")


async def test_the_first_tab_stop_skips_to_the_content(open_app: OpenApp, create_user: CreateUser) -> None:
    app = await open_app(create_user("An"), goto=False)
    await app.goto("/#/posts")
    await expect(app.page.get_by_role("heading", name="Posts")).to_be_visible()
    await app.page.keyboard.press("Tab")
    skip_link = app.page.get_by_role("link", name="Skip to content")
    await expect(skip_link).to_be_focused()
    await app.page.keyboard.press("Enter")
    await expect(app.page.get_by_role("heading", name="Posts")).to_be_focused()


async def test_closing_a_dialog_returns_the_focus_to_its_opener(open_app: OpenApp, create_user: CreateUser) -> None:
    app = await open_app(create_user("An"))
    opener = app.page.get_by_role("button", name="New chat")
    await opener.click()
    await expect(app.page.get_by_role("searchbox", name="Search people")).to_be_focused()
    await app.page.keyboard.press("Escape")
    await expect(opener).to_be_focused()


async def test_enter_does_not_send_while_an_input_method_is_composing(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """With a Vietnamese input method, Enter may confirm a syllable."""
    an, binh = create_user("An"), create_user("Bình")
    an.create_conversation(binh)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await app.composer.fill("Chào bạ")
    await app.composer.evaluate(
        "field => field.dispatchEvent("
        "new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true }))"
    )
    await app.press_enter_in_composition(app.composer)
    await expect(app.messages).to_have_count(0)
    await expect(app.composer).to_have_value("Chào bạ")
    await app.page.keyboard.press("Enter")
    await expect(app.messages).to_have_count(1)


async def test_enter_submits_no_form_while_an_input_method_is_composing(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """Posts, and the fields of forms."""
    app = await open_app(create_user("An"))
    await app.goto("/#/posts")
    textbox = app.page.get_by_label("Write a post").get_by_role("textbox")
    await textbox.fill("Chào bạ")
    await app.press_enter_in_composition(textbox)
    await expect(textbox).to_have_value("Chào bạ")
    await expect(textbox).to_be_enabled()
    await expect(app.page.get_by_role("article").filter(has_text="Chào bạ")).to_have_count(0)
    await app.page.get_by_role("button", name="You").click()
    name = app.page.get_by_role("region", name="Profile").get_by_label("Name")
    assert await app.press_enter_in_composition(name)
