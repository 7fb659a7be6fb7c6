"""Toasts: few, bounded in size, and never in the way."""

from functools import partial

import pytest
from playwright.async_api import Locator, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.user import User

VIEWPORTS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 390, "height": 700}}
IS_ON_TOP = """element => {
  const box = element.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  return element.contains(top);
}"""
LONG_WORD = "W" * 300
APPEARING = """async (text) => {
  (await import("/app/toast.js")).showToast(text);
  const animations = document.querySelector(".toast").getAnimations();
  const duration = Math.max(...animations.map((animation) => animation.effect.getComputedTiming().endTime));
  for (const animation of animations) {
    animation.pause();
    animation.currentTime = 20;
  }
  return duration;
}"""
"""Shows a toast, and stops it near the beginning of its animation; returns the animation's length in milliseconds."""


@pytest.fixture
def open_app(open_app: OpenApp) -> OpenApp:
    """Opens the app so that a test can show a toast in it."""
    return partial(open_app, modules=True)


async def show_toasts(app: AppPage, count: int) -> None:
    for number in range(count):
        await app.show_toast(f"{LONG_WORD} {number}")


async def open_with_post(open_app: OpenApp, user: User) -> tuple[AppPage, str]:
    """Open the app, and wait until it receives notifications; return it, and the id of a post of the user's."""
    post = str(user.post("/posts", content="A post")["id"])
    app = await open_app(user, goto=False)
    async with app.page.expect_response("**/api/v1/notifications/stream*"):
        await app.goto()
    return app, post


async def is_on_top(element: Locator) -> bool:
    return bool(await element.evaluate(IS_ON_TOP))


@pytest.mark.parametrize("viewport", VIEWPORTS)
async def test_toasts_cover_no_button(viewport: str, open_app: OpenApp, create_user: CreateUser) -> None:
    """In a conversation, at posts, and in a dialog; three with words of any length fit onto the page."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    post = an.post("/posts", content="A post")["id"]
    app = await open_app(an, viewport=VIEWPORTS[viewport])
    page = app.page

    async def check(*buttons: Locator) -> None:
        await show_toasts(app, 5)
        await expect(app.toasts.filter(visible=True)).to_have_count(3)
        for toast in await app.toasts.filter(visible=True).all():
            await expect(toast).to_be_in_viewport(ratio=0.99)
        for button in buttons:
            await button.scroll_into_view_if_needed()
            assert await is_on_top(button), button

    await app.open_link(conversation)
    await app.composer.fill("Something to send")
    back = page.locator(".back").filter(visible=True)
    await check(
        page.get_by_role("button", name="Send"), page.get_by_role("button", name="Details"), *(await back.all())
    )
    await app.goto("/#/posts")
    await page.get_by_label("Write a post").get_by_role("textbox").fill("Something to post")
    await check(page.get_by_role("button", name="Post", exact=True))
    await app.goto(f"/#/posts/{post}")
    await page.get_by_role("textbox", name="Write a comment").fill("Something to add")
    await check(page.get_by_role("button", name="Comment", exact=True), page.get_by_role("link", name="Posts").last)
    await app.goto(f"/#/c/{conversation}")
    await page.get_by_role("button", name="Details").click()
    dialog = page.get_by_role("dialog")
    await check(dialog.get_by_role("button", name="Close").first)


async def test_a_toast_in_a_dialog_can_be_used(open_app: OpenApp, create_user: CreateUser) -> None:
    """Outside of the dialog it would be dimmed, and inert. It moves out again when the dialog closes."""
    app = await open_app(create_user("An"))
    await app.show_toast("Before")
    await app.page.get_by_role("button", name="New chat").click()
    dialog = app.page.get_by_role("dialog")
    await expect(dialog.locator(".toast")).to_have_text("Before")
    await app.show_toast("Within")
    await dialog.locator(".toast").filter(has_text="Before").get_by_role("button", name="Close").click()
    await expect(app.toasts).to_have_text(["Within"])
    await dialog.get_by_role("button", name="Close").first.click()
    await expect(dialog).to_have_count(0)
    await expect(app.toasts).to_have_text(["Within"])
    await app.bell.click()
    panel = app.page.get_by_role("dialog", name="Activity")
    await expect(panel.locator(".toast")).to_have_text("Within")
    await app.page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    await expect(app.toasts).to_be_visible()


async def test_older_toasts_are_folded_and_equal_ones_are_shown_once(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    app = await open_app(create_user("An"))
    shown = app.toasts.filter(visible=True)
    for _ in range(3):
        await app.show_toast("The same")
    await expect(app.toasts).to_have_text(["The same"])
    for number in range(30):
        await app.show_toast(f"Number {number}")
    await expect(shown).to_have_text([f"Number {number}" for number in (27, 28, 29)])
    await app.page.get_by_role("button", name="17 more").click()
    await expect(shown).to_have_count(20)


async def test_a_burst_of_notifications_is_folded(open_app: OpenApp, create_user: CreateUser) -> None:
    """Three are shown, and how many there are beyond; a press shows the others."""
    an, binh = create_user("An"), create_user("Bình")
    app, post = await open_with_post(open_app, an)
    for number in range(8):
        binh.comment(post, f"Number {number}")
    await expect(app.bell).to_have_accessible_name("Activity, 8 unread")
    await expect(app.toasts.filter(visible=True)).to_have_count(3)
    await app.page.get_by_role("button", name="and 5 more", exact=True).press("Enter")
    await expect(app.toasts.filter(visible=True)).to_have_count(8)


async def test_toasts_close_when_their_notification_is_read_on_another_device(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """Only those that were read; in each tab; and what was read meanwhile is not shown after a reconnect."""
    an, binh = create_user("An"), create_user("Bình")
    app, post = await open_with_post(open_app, an)
    tab, other_device = await app.open_tab("/#/posts"), await open_app(an)
    await expect(other_device.bell).to_be_visible()
    other_post = an.post("/posts", content="Another post")["id"]
    binh.comment(other_post, "Older")
    binh.comment(post, "Newer")
    # A hidden tab shows none.
    await app.page.bring_to_front()
    await expect(app.toasts).to_have_count(2)
    await other_device.bell.click()
    await other_device.page.locator(".notification").filter(has_text="Older").click()
    await expect(app.toasts).to_have_count(1)
    await expect(app.toasts).to_contain_text("Newer")
    await tab.bell.click()
    await tab.page.get_by_role("button", name="Mark all as read").click()
    await expect(app.toasts).to_have_count(0)
    await app.page.context.set_offline(True)
    await expect(app.banner).to_be_visible()
    binh.comment(post, "While away")
    await expect(other_device.bell).to_have_accessible_name("Activity, 1 unread")
    await other_device.bell.click()
    await other_device.page.get_by_role("button", name="Mark all as read").click()
    await expect(other_device.bell).to_have_accessible_name("Activity")
    await app.page.context.set_offline(False)
    await expect(app.banner).to_be_hidden()
    binh.comment(post, "Back again")
    await expect(app.toasts).to_have_count(1)
    await expect(app.toasts).to_contain_text("Back again")


async def test_news_wait_while_a_dialog_is_open(open_app: OpenApp, create_user: CreateUser) -> None:
    """In the list of notifications they are shown anyway."""
    an, binh = create_user("An"), create_user("Bình")
    app, post = await open_with_post(open_app, an)
    await app.page.get_by_role("button", name="New chat").click()
    dialog = app.page.get_by_role("dialog")
    await expect(dialog).to_be_visible()
    binh.comment(post, "Meanwhile")
    await expect(app.page).to_have_title("(1) Loa")
    await app.show_toast("A result")
    await expect(app.toasts.filter(visible=True)).to_have_text(["A result"])
    await dialog.get_by_role("button", name="Close").first.click()
    await expect(app.toasts.filter(visible=True).filter(has_text="Meanwhile")).to_have_count(1)
    await app.bell.click()
    await expect(app.toasts).to_have_text(["A result"])
    binh.comment(post, "Later")
    await expect(app.page.locator(".notification")).to_contain_text("Later")
    await expect(app.toasts).to_have_text(["A result"])


async def test_a_toast_is_legible_while_it_appears(open_app: OpenApp, create_user: CreateUser) -> None:
    app = await open_app(create_user("An"))
    assert 20 < await app.page.evaluate(APPEARING, "Is this legible?")
    assert [] == await serious_violations(app.page)


async def test_toasts_do_not_move_if_the_user_prefers_reduced_motion(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    app = await open_app(create_user("An"), reduced_motion="reduce")
    assert 1 > await app.page.evaluate(APPEARING, "Is this moving?")
