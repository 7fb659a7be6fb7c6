"""Texts that depend on the present time stay current while the page is open."""

from datetime import UTC, datetime, timedelta

from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp


async def test_today_becomes_yesterday_at_midnight(open_app: OpenApp, create_user: CreateUser) -> None:
    """So do the times in the list, of posts and of comments."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, "A message of today")
    post = an.post("/posts", content="A post of today")["id"]
    app = await open_app(an, goto=False, clock=True)
    await app.goto(f"/#/c/{conversation}")
    await expect(app.page.locator(".day")).to_have_text("Today")
    row_time = app.conversation_row("Bình").locator("time")
    time_of_day = await row_time.inner_text()
    await app.page.clock.fast_forward("24:00:00")
    await expect(app.page.locator(".day")).to_have_text("Yesterday")
    await expect(row_time).not_to_have_text(time_of_day)
    await app.goto(f"/#/posts/{post}")
    post_time = app.page.locator(".post time")
    await expect(post_time).to_have_text("Yesterday")
    await app.page.clock.fast_forward("24:00:00")
    await expect(post_time).not_to_have_text("Yesterday")


async def test_a_chat_is_no_longer_muted_when_the_user_returns_after_that_time(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """As after the computer has slept: no timer ran meanwhile."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, "hello")
    app = await open_app(an, clock=True)
    await expect(app.conversation_row("Bình")).to_contain_text("hello")
    # Connected: what is rendered because the page is still being loaded would show it, too.
    binh.comment(an.post("/posts", content="A post")["id"], "A comment")
    await expect(app.page.get_by_text("A comment")).to_be_visible()
    until = datetime.now(UTC) + timedelta(hours=1)
    an.put(f"/conversations/{conversation}/mute", until=until.isoformat())
    await expect(app.conversation_row("Bình")).to_contain_text("Muted")
    await app.page.clock.set_system_time(until + timedelta(minutes=1))
    await app.page.evaluate("dispatchEvent(new Event('focus'))")
    await expect(app.conversation_row("Bình")).not_to_contain_text("Muted")
