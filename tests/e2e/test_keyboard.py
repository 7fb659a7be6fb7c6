"""Everything without a pointer, and all that a screen reader is told."""

from playwright.async_api import expect

from tests.e2e.app import PASSWORD
from tests.e2e.conftest import Enter, Register


async def test_talks_without_a_pointer(enter: Enter, register: Register) -> None:
    """From signing in to reacting and answering: Tab, arrows, Enter and Escape are enough."""
    an, binh = register("An"), register("Bình")
    conversation = an.converse(binh)
    binh.say(conversation, "One")
    binh.say(conversation, "Two")
    here = await enter()
    keys = here.page.keyboard
    await expect(here.page.get_by_label("Username")).to_be_focused()
    await keys.type(an.username)
    await keys.press("Tab")
    await keys.type(PASSWORD)
    await keys.press("Enter")
    await expect(here.conversation("Bình")).to_be_visible()
    await here.conversation("Bình").focus()
    await keys.press("Enter")
    await expect(here.composer).to_be_focused()
    await expect(here.message("Two")).to_be_visible()
    await keys.press("Shift+Tab")
    await expect(here.message("Two")).to_be_focused()
    await keys.press("ArrowUp")
    await expect(here.message("One")).to_be_focused()
    await keys.press("Enter")
    await expect(here.page.get_by_role("menuitemcheckbox").first).to_be_focused()
    await keys.press("Enter")
    await expect(here.message("One").get_by_role("button", name="👍 You")).to_be_visible()
    await expect(here.message("One")).to_be_focused()
    await keys.press("Enter")
    await keys.press("Escape")
    await expect(here.page.get_by_role("menu")).to_have_count(0)
    await expect(here.message("One")).to_be_focused()
    await keys.press("Enter")
    for _ in range(6):
        await keys.press("ArrowDown")
    await expect(here.page.get_by_role("menuitem", name="Reply")).to_be_focused()
    await keys.press("Enter")
    await expect(here.composer).to_be_focused()
    await keys.type("Three")
    await keys.press("Shift+Enter")
    await keys.type("lines")
    await keys.press("Enter")
    await expect(here.message("Three\nlines").locator(".quote")).to_contain_text("One")


async def test_reads_out_what_arrives(enter: Enter, register: Register) -> None:
    """New messages of others are in a live region, with their sender; one's own are not."""
    an, binh = register("An"), register("Bình")
    conversation = an.converse(binh)
    here = await enter(an)
    await here.open("Bình")
    await here.write("Mine")
    await expect(here.message("Mine")).to_contain_text("Sent")
    live = here.page.get_by_role("log")
    await expect(live).to_have_text("")
    binh.say(conversation, "Theirs")
    await expect(live).to_have_text("Bình: Theirs")


async def test_skips_to_the_content(enter: Enter, register: Register) -> None:
    """The first stop of Tab leads past the way about."""
    here = await enter(register("An"))
    await here.visit("/#/posts")
    await here.page.reload()
    await expect(here.page.get_by_role("heading", name="Posts")).to_be_visible()
    await here.page.keyboard.press("Tab")
    skip = here.page.get_by_role("link", name="Skip to content")
    await expect(skip).to_be_focused()
    await here.page.keyboard.press("Enter")
    await expect(here.page.get_by_role("heading", name="Posts")).to_be_focused()


async def test_a_dialog_gives_the_focus_back(enter: Enter, register: Register) -> None:
    """To what has opened it."""
    here = await enter(register("An"))
    opener = here.page.get_by_role("button", name="New chat")
    await opener.click()
    await expect(here.page.get_by_role("searchbox", name="Search people")).to_be_focused()
    await here.page.keyboard.press("Escape")
    await expect(opener).to_be_focused()


async def test_composing_a_syllable_sends_nothing(enter: Enter, register: Register) -> None:
    """Enter that ends a Vietnamese syllable under an input method is not the one that sends."""
    an, binh = register("An"), register("Bình")
    an.converse(binh)
    here = await enter(an)
    await here.open("Bình")
    await here.composer.fill("Chào bạ")
    await here.composer.evaluate(
        "field => field.dispatchEvent("
        "new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true }))"
    )
    await expect(here.messages).to_have_count(0)
    await expect(here.composer).to_have_value("Chào bạ")
