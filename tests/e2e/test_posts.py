"""Posts, comments, and hearing of them."""

import asyncio
import re

from playwright.async_api import Route, expect

from tests.e2e.conftest import Enter, Register
from tests.running import eventually

FORGET = (
    "for (const key of Object.keys(localStorage)) if (key.startsWith('loa:notifications')) delete localStorage[key]"
)
"""As a browser that has never been told of a notification: the stream begins with what comes next."""


async def test_publishes_comments_and_replies(enter: Enter, register: Register) -> None:
    """A post, a comment on it, an answer to that, and an answer to the answer, which names whom it is to."""
    an = await enter(register("An"))
    await an.page.get_by_role("link", name="Posts").click()
    await an.page.get_by_label("Write a post").get_by_role("textbox").fill("Something to tell")
    await an.page.get_by_role("button", name="Post", exact=True).click()
    post = an.page.get_by_role("article").filter(has_text="Something to tell")
    await post.get_by_role("link", name="0 comments").click()
    write = an.page.get_by_role("textbox", name="Write a comment")
    await write.fill("First")
    await write.press("Control+Enter")
    comment = an.page.locator(".comment").filter(has_text="First").first
    await comment.get_by_role("button", name="Reply").click()
    await an.page.get_by_role("textbox", name="Reply to An").fill("Second")
    await comment.locator(".post-composer").get_by_role("button", name="Reply").click()
    answer = comment.locator(".comment").filter(has_text="Second")
    await answer.get_by_role("button", name="Reply").click()
    await an.page.get_by_role("textbox", name="Reply to An").fill("Third")
    await answer.locator(".post-composer").get_by_role("button", name="Reply").click()
    await expect(comment.locator(".comment").filter(has_text="Third")).to_contain_text("to An")
    await an.page.reload()
    await expect(an.page.locator(".thread > .comment")).to_have_count(1)
    await expect(comment.locator(".comment")).to_have_count(2)


async def test_a_comment_is_told_and_leads_to_itself(enter: Enter, register: Register) -> None:
    """A toast, the bell and the title say so; the toast leads to the comment, however many came before it."""
    an, binh = register("An"), register("Bình")
    post = an.post("/posts", content="Tell me")["id"]
    for number in range(3):
        an.post(f"/posts/{post}/comments", content=f"Filling the page, {number}\n" * 30)
    here, elsewhere = await enter(an), await enter(an)
    binh.post(f"/posts/{post}/comments", content="You should see this")
    await expect(here.toasts).to_contain_text("Bình commented on your post")
    for device in (here, elsewhere):
        await expect(device.bell).to_have_accessible_name("Activity, 1 unread")
        await expect(device.page).to_have_title("(1) Loa")
    await here.toasts.get_by_role("link").click()
    comment = here.page.locator(".comment").filter(has_text="You should see this")
    await expect(comment).to_be_in_viewport()
    await expect(comment).to_be_focused()
    await expect(here.page).to_have_url(re.compile(rf"#/posts/{post}#comment-\w+$"))
    for device in (here, elsewhere):
        await expect(device.bell).to_have_accessible_name("Activity")
        await expect(device.page).to_have_title("Loa")


async def test_the_bell_lists_what_has_happened(enter: Enter, register: Register) -> None:
    """Newest first; a reply says that it is one; all can be marked as read at once, on every device."""
    an, binh = register("An"), register("Bình")
    post = binh.post("/posts", content="A post of Bình's")["id"]
    comment = an.post(f"/posts/{post}/comments", content="A comment of An's")["id"]
    mine = an.post("/posts", content="A post of An's")["id"]
    here, elsewhere = await enter(an), await enter(an)
    binh.post(f"/posts/{mine}/comments", content="One")
    await expect(here.bell).to_have_accessible_name("Activity, 1 unread")
    binh.post(f"/posts/{post}/comments", content="Two", parent_id=comment)
    await expect(here.bell).to_have_accessible_name("Activity, 2 unread")
    await here.bell.click()
    notices = here.page.get_by_role("dialog", name="Activity").get_by_role("listitem")
    await expect(notices).to_have_count(2)
    await expect(notices.first).to_contain_text("Bình replied to your comment")
    await expect(notices.last).to_contain_text("Bình commented on your post")
    await here.page.get_by_role("button", name="Mark all as read").click()
    await expect(notices.first).not_to_contain_text("Unread")
    await expect(elsewhere.bell).to_have_accessible_name("Activity")
    await here.page.keyboard.press("Escape")
    await expect(here.bell).to_be_focused()


async def test_an_open_post_shows_new_comments(enter: Enter, register: Register) -> None:
    """Whoever looks at their post need not reload it."""
    an, binh = register("An"), register("Bình")
    post = an.post("/posts", content="Look at me")["id"]
    here = await enter(an)
    await here.visit(f"/#/posts/{post}")
    await expect(here.page.get_by_text("No comments yet.")).to_be_visible()
    binh.post(f"/posts/{post}/comments", content="Just now")
    await expect(here.page.locator(".comment")).to_contain_text("Just now")


async def test_an_open_post_shows_what_came_before_the_stream(enter: Enter, register: Register) -> None:
    """The comments may be loaded first, and the stream opened late: what came in between is told by neither."""
    an, binh = register("An"), register("Bình")
    post = an.post("/posts", content="Look at me")["id"]
    here = await enter(an)
    commented = asyncio.Event()

    async def hold(route: Route) -> None:
        await commented.wait()
        await route.continue_()

    await here.visit(f"/#/posts/{post}")
    await here.page.route("**/notifications/stream?*", hold)
    await here.page.add_init_script(FORGET)
    await here.page.reload()
    await expect(here.page.get_by_text("No comments yet.")).to_be_visible()
    binh.post(f"/posts/{post}/comments", content="Just before")
    eventually(lambda: an.get("/notifications"))
    commented.set()
    await expect(here.page.locator(".comment")).to_contain_text("Just before")


async def test_a_post_that_is_not_there_is_said_not_to_be(enter: Enter, register: Register) -> None:
    """A link may be older than what it leads to."""
    here = await enter(register("An"))
    await here.visit(f"/#/posts/{'0' * 24}")
    await expect(here.page.get_by_text("There is no such post.")).to_be_visible()
