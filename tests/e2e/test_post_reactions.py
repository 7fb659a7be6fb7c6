"""Reactions to posts and comments."""

import asyncio
from urllib.parse import quote

from playwright.async_api import Locator, Route, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp


async def react(app: AppPage, subject: Locator, emoji: str) -> None:
    """With the keyboard alone."""
    await subject.get_by_role("button", name="Add a reaction").press("Enter")
    chosen = app.page.get_by_role("menuitemcheckbox", name=f"React with {emoji}")
    await app.page.get_by_role("menuitemcheckbox").first.press("ArrowRight")
    await chosen.press("Enter")


async def test_reactions_are_added_counted_and_removed(open_app: OpenApp, create_user: CreateUser) -> None:
    """To a post and a comment; the user's own are marked; others' appear after a reload."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="A post")["id"]
    comment = an.comment(post, "A comment")["id"]
    binh.put(f"/posts/{post}/reactions/{quote('❤️')}")
    app = await open_app(an, goto=False)
    await app.goto(f"/#/posts/{post}")
    card, thread = app.page.get_by_role("article"), app.page.locator(".comment")
    heart = card.get_by_role("button", name="❤️ from")
    await expect(heart).to_have_accessible_name("❤️ from 1 person")
    await expect(heart).to_have_attribute("aria-pressed", "false")
    await heart.press("Enter")
    await expect(heart).to_have_accessible_name("❤️ from 2 people")
    await expect(heart).to_have_attribute("aria-pressed", "true")
    await expect(heart).to_be_focused()
    await react(app, thread, "🎉")
    await expect(thread.get_by_role("button", name="🎉 from 1 person")).to_have_attribute("aria-pressed", "true")
    assert [] == await serious_violations(app.page)
    binh.put(f"/posts/{post}/comments/{comment}/reactions/{quote('🎉')}")
    await app.page.reload()
    party = thread.get_by_role("button", name="🎉 from 2 people")
    await expect(party).to_have_attribute("aria-pressed", "true")
    await party.click()
    await expect(thread.get_by_role("button", name="🎉 from 1 person")).to_have_attribute("aria-pressed", "false")
    await app.goto("/#/posts")
    in_feed = app.page.get_by_role("article").filter(has_text="A post").first
    await in_feed.get_by_role("button", name="❤️ from 2 people").press("Enter")
    await expect(in_feed.get_by_role("button", name="❤️ from 1 person")).to_be_visible()
    stored = an.get(f"/posts/{post}")
    assert {"❤️": 1} == stored["reactions"]
    assert [] == stored["my_reactions"]


async def test_a_reaction_is_announced_to_the_author(open_app: OpenApp, create_user: CreateUser) -> None:
    """In a group of the list; and an open post shows it."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="A post")["id"]
    app, other_device = await open_app(an), await open_app(an)
    await app.goto(f"/#/posts/{post}")
    await expect(app.page.get_by_text("No comments yet.")).to_be_visible()
    binh.put(f"/posts/{post}/reactions/{quote('🎉')}")
    await expect(app.page.get_by_role("article").get_by_role("button", name="🎉 from 1 person")).to_be_visible()
    await other_device.bell.click()
    item = other_device.page.locator(".notification-panel li")
    await expect(item).to_contain_text("Bình reacted to your post: 🎉")
    await expect(item.get_by_role("link")).to_have_attribute("href", f"#/posts/{post}")


async def test_a_response_from_before_a_reaction_does_not_undo_it(open_app: OpenApp, create_user: CreateUser) -> None:
    """The notification of another's reaction makes the page load the post again."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="A post")["id"]
    app = await open_app(an, goto=False)
    await app.goto(f"/#/posts/{post}")
    card = app.page.get_by_role("article")
    await expect(card).to_be_visible()
    held, released = asyncio.Event(), asyncio.Event()

    async def hold(route: Route) -> None:
        response = await route.fetch()
        held.set()
        await released.wait()
        await route.fulfill(response=response)

    await app.page.route(f"**/api/v1/posts/{post}", hold)
    await asyncio.to_thread(binh.put, f"/posts/{post}/reactions/{quote('🎉')}")
    await held.wait()
    await react(app, card, "❤️")
    heart = card.get_by_role("button", name="❤️ from 1 person")
    await expect(heart).to_have_attribute("aria-pressed", "true")
    async with app.page.expect_response(f"**/api/v1/posts/{post}"):
        released.set()
    await expect(card.get_by_role("button", name="🎉 from 1 person")).to_be_visible()
    await expect(heart).to_have_attribute("aria-pressed", "true")
