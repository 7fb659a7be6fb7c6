"""The list of notifications: in groups, filtered, and marked as read."""

import re

import pytest
from playwright.async_api import Locator, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp

SENTENCES = {
    "en-GB": [
        "Bình commented on your post",
        "Chi and Bình commented on your post",
        "Dũng and 2 others commented on your post",
    ],
    "vi-VN": [
        "Bình đã bình luận về bài viết của bạn",
        "Chi và Bình đã bình luận về bài viết của bạn",
        "Dũng và 2 người khác đã bình luận về bài viết của bạn",
    ],
}
TITLES = {"en-GB": "Activity", "vi-VN": "Thông báo"}


def groups(app: AppPage) -> Locator:
    return app.page.locator(".notification-panel li")


@pytest.mark.parametrize("locale", SENTENCES)
async def test_comments_on_one_post_are_one_group(open_app: OpenApp, create_user: CreateUser, locale: str) -> None:
    """It grows while the list is open, and says how many people it is about."""
    an, *others = [create_user(name) for name in ("An", "Bình", "Chi", "Dũng")]
    post = an.post("/posts", content="A post")["id"]
    app = await open_app(an, goto=False, locale=locale)
    await app.goto()
    bell = app.page.get_by_role("button", name=TITLES[locale])
    await bell.first.click()
    for other, sentence in zip(others, SENTENCES[locale], strict=True):
        other.comment(post, f"From {other.name}")
        await expect(groups(app).locator("strong")).to_have_text([sentence])
        await expect(groups(app)).to_contain_text(f"From {other.name}")
    assert [] == await serious_violations(app.page)


async def test_a_group_is_marked_as_read(open_app: OpenApp, create_user: CreateUser) -> None:
    """By its button, with the keyboard; on each tab and device; and the others stay unread."""
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    posts = [an.post("/posts", content=f"Post {number}")["id"] for number in range(2)]
    for post in posts:
        for other in (binh, chi):
            other.comment(post, f"About {posts.index(post)}")
    app = await open_app(an)
    tab, other_device = await app.open_tab("/#/posts"), await open_app(an)
    for each in (app, tab, other_device):
        await expect(each.bell).to_have_accessible_name("Activity, 4 unread")
        await each.bell.click()
        await expect(groups(each)).to_have_count(2)
    first = groups(app).filter(has_text="About 0")
    await first.get_by_role("button", name="Mark as read").press("Enter")
    await expect(first.get_by_role("link")).to_be_focused()
    for each in (app, tab, other_device):
        await expect(each.bell).to_have_accessible_name("Activity, 2 unread")
        await expect(groups(each).filter(has_text="About 0").locator(".read")).to_have_count(1)
        await expect(groups(each).filter(has_text="About 1").locator(".read")).to_have_count(0)


async def test_the_list_is_filtered(open_app: OpenApp, create_user: CreateUser) -> None:
    """Unread ones, and those of one kind; what is read disappears from the unread ones."""
    an, binh = create_user("An"), create_user("Bình")
    own, others = an.post("/posts", content="Own")["id"], binh.post("/posts", content="Another's")["id"]
    binh.comment(own, "A comment")
    binh.comment(others, "A reply", parent_id=an.comment(others, "Mine")["id"])
    app = await open_app(an)
    await expect(app.bell).to_have_accessible_name("Activity, 2 unread")
    await app.bell.click()
    await expect(groups(app)).to_have_count(2)
    kind = app.page.get_by_label("Kind")
    await kind.select_option("Replies to my comments")
    await expect(groups(app)).to_have_count(1)
    await expect(groups(app)).to_contain_text("Bình replied to your comment")
    await kind.select_option("All kinds")
    unread = app.page.locator(".filter").get_by_role("button", name="Unread")
    await unread.press("Enter")
    await expect(unread).to_have_attribute("aria-pressed", "true")
    await groups(app).filter(has_text="A comment").get_by_role("button", name="Mark as read").click()
    await expect(groups(app)).to_have_count(1)
    await app.page.get_by_role("button", name="Mark all as read").click()
    await expect(app.page.get_by_text("Nothing here.")).to_be_visible()
    await expect(app.bell).to_have_accessible_name("Activity")
    await unread.click()
    await expect(groups(app)).to_have_count(2)


async def test_groups_appear_after_a_reconnect(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="A post")["id"]
    app = await open_app(an)
    await app.bell.click()
    await expect(app.page.get_by_text("No notifications yet")).to_be_visible()
    await app.page.context.set_offline(True)
    await expect(app.banner).to_have_count(1)
    binh.comment(post, "While away")
    await app.page.context.set_offline(False)
    await expect(groups(app)).to_contain_text("While away")


async def test_reading_a_post_marks_what_was_about_it(open_app: OpenApp, create_user: CreateUser) -> None:
    """Also what arrives while it is open; on another device, too. Such a comment causes no toast."""
    an, binh = create_user("An"), create_user("Bình")
    post, other_post = (an.post("/posts", content=text)["id"] for text in ("One", "Two"))
    for each in (post, post, other_post):
        binh.comment(each, "A comment")
    app, other_device = await open_app(an), await open_app(an)
    for each in (app, other_device):
        await expect(each.bell).to_have_accessible_name("Activity, 3 unread")
    await app.goto(f"/#/posts/{post}")
    for each in (app, other_device):
        await expect(each.bell).to_have_accessible_name("Activity, 1 unread")
    binh.comment(post, "While it is open")
    await expect(app.page.locator(".comment").last).to_contain_text("While it is open")
    await expect(other_device.bell).to_have_accessible_name("Activity, 1 unread")
    await expect(app.toasts).to_have_count(0)


async def test_mentions_are_announced_with_their_place(open_app: OpenApp, create_user: CreateUser) -> None:
    """One in a post leads to the post, one in a comment to the comment."""
    an, binh = create_user("An"), create_user("Bình")
    post = binh.post("/posts", content=f"Look, @{an.username}")["id"]
    other_post = binh.post("/posts", content="A post")["id"]
    binh.comment(other_post, f"And here, @{an.username}")
    app = await open_app(an)
    await expect(app.bell).to_have_accessible_name("Activity, 2 unread")
    await app.bell.click()
    in_post = groups(app).filter(has_text="Bình mentioned you in a post")
    in_comment = groups(app).filter(has_text="Bình mentioned you in a comment")
    await expect(in_post.get_by_role("link")).to_have_attribute("href", f"#/posts/{post}")
    await in_comment.get_by_role("link").click()
    await expect(app.page).to_have_url(re.compile(rf"#/posts/{other_post}#comment-\w+$"))
    await expect(app.page.locator(".comment")).to_be_focused()
