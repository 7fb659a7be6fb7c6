"""Posts, comments and their notifications."""

import asyncio
import re

from playwright.async_api import Route, expect

from tests.e2e.conftest import CreateUser, OpenApp
from tests.running import eventually

FORGET_STREAM_POSITION = (
    "for (const key of Object.keys(localStorage)) if (key.startsWith('loa:notifications')) delete localStorage[key]"
)
"""Without a position, the stream starts with the next notification and does not replay earlier ones."""


async def test_publishing_commenting_and_replying(open_app: OpenApp, create_user: CreateUser) -> None:
    """A reply to a reply names the author it replies to."""
    app = await open_app(create_user("An"))
    await app.page.get_by_role("link", name="Posts").click()
    await app.page.get_by_label("Write a post").get_by_role("textbox").fill("Something to tell")
    await app.page.get_by_role("button", name="Post", exact=True).click()
    post = app.page.get_by_role("article").filter(has_text="Something to tell")
    await post.get_by_role("link", name="0 comments").click()
    textbox = app.page.get_by_role("textbox", name="Write a comment")
    await textbox.fill("First")
    await textbox.press("Control+Enter")
    comment = app.page.locator(".comment").filter(has_text="First").first
    await comment.get_by_role("button", name="Reply").click()
    await app.page.get_by_role("textbox", name="Reply to An").fill("Second")
    await comment.locator(".post-composer").get_by_role("button", name="Reply").click()
    reply = comment.locator(".comment").filter(has_text="Second")
    await reply.get_by_role("button", name="Reply").click()
    await app.page.get_by_role("textbox", name="Reply to An").fill("Third")
    await reply.locator(".post-composer").get_by_role("button", name="Reply").click()
    await expect(comment.locator(".comment").filter(has_text="Third")).to_contain_text("to An")
    await app.page.reload()
    await expect(app.page.locator(".thread > .comment")).to_have_count(1)
    await expect(comment.locator(".comment")).to_have_count(2)


async def test_a_comment_causes_a_notification_that_links_to_it(open_app: OpenApp, create_user: CreateUser) -> None:
    """A toast, the bell and the title show it; following the link marks it as read on every device."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="Tell me")["id"]
    for number in range(3):
        an.comment(post, f"Filling the page, {number}\n" * 30)
    app, other_device = await open_app(an), await open_app(an)
    binh.comment(post, "You should see this")
    await expect(app.toasts).to_contain_text("Bình commented on your post")
    for device in (app, other_device):
        await expect(device.bell).to_have_accessible_name("Activity, 1 unread")
        await expect(device.page).to_have_title("(1) Loa")
    await app.toasts.get_by_role("link").click()
    comment = app.page.locator(".comment").filter(has_text="You should see this")
    await expect(comment).to_be_in_viewport()
    await expect(comment).to_be_focused()
    await expect(app.page).to_have_url(re.compile(rf"#/posts/{post}#comment-\w+$"))
    for device in (app, other_device):
        await expect(device.bell).to_have_accessible_name("Activity")
        await expect(device.page).to_have_title("Loa")


async def test_notifications_are_listed_and_can_be_marked_as_read(open_app: OpenApp, create_user: CreateUser) -> None:
    """Newest first; comments and replies have different texts; marking all as read applies to every device."""
    an, binh = create_user("An"), create_user("Bình")
    post = binh.post("/posts", content="A post of Bình's")["id"]
    comment = an.comment(post, "A comment of An's")["id"]
    own_post = an.post("/posts", content="A post of An's")["id"]
    app, other_device = await open_app(an), await open_app(an)
    binh.comment(own_post, "One")
    await expect(app.bell).to_have_accessible_name("Activity, 1 unread")
    binh.comment(post, "Two", parent_id=comment)
    await expect(app.bell).to_have_accessible_name("Activity, 2 unread")
    await app.bell.click()
    notifications = app.page.get_by_role("dialog", name="Activity").get_by_role("listitem")
    await expect(notifications).to_have_count(2)
    await expect(notifications.first).to_contain_text("Bình replied to your comment")
    await expect(notifications.last).to_contain_text("Bình commented on your post")
    await app.page.get_by_role("button", name="Mark all as read").click()
    await expect(notifications.first).not_to_contain_text("Unread")
    await expect(other_device.bell).to_have_accessible_name("Activity")
    await app.page.keyboard.press("Escape")
    await expect(app.bell).to_be_focused()


async def test_an_open_post_shows_new_comments(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="Look at me")["id"]
    app = await open_app(an)
    await app.goto(f"/#/posts/{post}")
    await expect(app.page.get_by_text("No comments yet.")).to_be_visible()
    binh.comment(post, "Just now")
    await expect(app.page.locator(".comment")).to_contain_text("Just now")


async def test_an_open_post_shows_comments_made_before_the_stream_opened(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """The comments may be loaded before the stream opens; a comment between the two must not be missed."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="Look at me")["id"]
    app = await open_app(an)
    commented = asyncio.Event()

    async def delay_stream(route: Route) -> None:
        await commented.wait()
        await route.continue_()

    await app.goto(f"/#/posts/{post}")
    await app.page.route("**/notifications/stream?*", delay_stream)
    await app.page.add_init_script(FORGET_STREAM_POSITION)
    await app.page.reload()
    await expect(app.page.get_by_text("No comments yet.")).to_be_visible()
    binh.comment(post, "Just before")
    eventually(lambda: an.list("/notifications"))
    commented.set()
    await expect(app.page.locator(".comment")).to_contain_text("Just before")


async def test_a_missing_post_shows_an_error(open_app: OpenApp, create_user: CreateUser) -> None:
    app = await open_app(create_user("An"))
    await app.goto(f"/#/posts/{'0' * 24}")
    await expect(app.page.get_by_text("Post not found.")).to_be_visible()
