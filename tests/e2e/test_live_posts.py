"""Posts and comments are edited, deleted, and live for everyone who looks at them."""

from playwright.async_api import expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp

LONG = "Filling the page\n\n" * 20


async def test_own_posts_and_comments_are_edited_and_deleted(open_app: OpenApp, create_user: CreateUser) -> None:
    """With the keyboard; others who look see it at once; the draft of an edit survives a reload."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="A post")["id"]
    mine = an.comment(post, "Mine")["id"]
    binh.comment(post, "A reply", parent_id=mine)
    app, other = await open_app(an, goto=False), await open_app(binh, goto=False)
    for each in (app, other):
        await each.goto(f"/#/posts/{post}")
        await expect(each.page.get_by_text("A reply")).to_be_visible()
    await other.page.get_by_role("button", name="Post actions").press("Enter")
    await expect(other.page.get_by_role("menuitem")).to_have_text(["Report…"])
    await other.page.keyboard.press("Escape")
    await app.page.get_by_role("button", name="Post actions").press("Enter")
    await app.page.get_by_role("menuitem", name="Edit").press("Enter")
    form = app.page.get_by_role("article").get_by_role("textbox", name="Edit")
    await expect(form).to_have_value("A post")
    await expect(form).to_be_focused()
    await form.fill("A better post")
    await app.page.reload()
    await expect(form).to_have_value("A better post")
    assert [] == await serious_violations(app.page)
    await form.press("Control+Enter")
    for each in (app, other):
        await expect(each.page.get_by_role("article")).to_contain_text("A better post")
        await expect(each.page.get_by_role("article")).to_contain_text("edited")
    comment = app.page.locator(".thread > .comment")
    await comment.get_by_role("button", name="Comment actions").first.press("Enter")
    await app.page.get_by_role("menuitem", name="Delete").press("Enter")
    await app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    for each in (app, other):
        await expect(each.page.locator(".thread > .comment > .text")).to_contain_text("Deleted")
    await other.page.get_by_role("button", name="Comment actions").click()
    await other.page.get_by_role("menuitem", name="Delete").click()
    await other.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    for each in (app, other):
        await expect(each.page.get_by_text("No comments yet.")).to_be_visible()
    await app.page.get_by_role("button", name="Post actions").click()
    await app.page.get_by_role("menuitem", name="Delete").click()
    await app.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(app.page.get_by_role("heading", name="Posts")).to_be_visible()
    await expect(other.page.get_by_text("Post not found.")).to_be_visible()


async def test_comments_out_of_view_wait_behind_a_fold(open_app: OpenApp, create_user: CreateUser) -> None:
    """What the reader looks at does not move; those in view appear at once."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content=LONG)["id"]
    for number in range(3):
        an.comment(post, f"{number} {LONG}")
    app = await open_app(create_user("Chi"), goto=False)
    await app.goto(f"/#/posts/{post}")
    await expect(app.page.locator(".comment")).to_have_count(3)
    for _ in range(2):
        binh.comment(post, "Just now")
    fold = app.page.get_by_role("button", name="2 new comments")
    await expect(fold).to_be_in_viewport()
    await expect(app.page.locator(".comment")).to_have_count(3)
    await fold.press("Enter")
    await expect(app.page.get_by_text("Just now").first).to_be_in_viewport()
    binh.comment(post, "In view")
    await expect(app.page.get_by_text("In view")).to_be_visible()
    await expect(fold).to_be_hidden()


async def test_the_feed_is_live_and_keeps_its_place(open_app: OpenApp, create_user: CreateUser) -> None:
    """New posts wait behind a fold, counts are current, also of an old post, and Back leads to where the reader was."""
    an = create_user("An")
    posts = [an.post("/posts", content=f"Number {number} {LONG}")["id"] for number in range(53)]
    app = await open_app(create_user("Chi"), goto=False)
    await app.goto("/#/posts")
    first = app.page.locator("article").filter(has_text="Number 0")
    await app.page.get_by_role("button", name="Load more").scroll_into_view_if_needed()
    link = first.get_by_role("link", name="0 comments")
    await link.scroll_into_view_if_needed()
    an.comment(posts[0], "A comment")
    an.post("/posts", content="The newest")
    fold = app.page.get_by_role("button", name="1 new post")
    await expect(fold).to_be_in_viewport()
    gone = an.post("/posts", content="Written by mistake")["id"]
    await expect(app.page.get_by_role("button", name="2 new posts")).to_be_visible()
    an.delete(f"/posts/{gone}")
    await expect(fold).to_be_in_viewport()
    link = first.get_by_role("link", name="1 comment")
    await expect(link).to_be_in_viewport()
    await link.click()
    await expect(app.page.get_by_text("A comment", exact=True)).to_be_visible()
    an.comment(posts[0], "Another one")
    await expect(app.page.get_by_role("button", name="1 new comment")).to_be_visible()
    # More than one page of them.
    for number in range(33):
        an.post("/posts", content=f"Arrived {number}")
    await app.page.go_back()
    fold = app.page.get_by_role("button", name="34 new posts")
    await expect(fold).to_be_in_viewport()
    await expect(first.get_by_role("link", name="2 comments")).to_be_in_viewport()
    an.comment(posts[0], "While many wait behind the fold")
    await expect(first.get_by_role("link", name="3 comments")).to_be_in_viewport()
    # It was the last one of the first page, before there were newer posts.
    an.comment(posts[23], "While nobody looks")
    await fold.click()
    await expect(app.page.get_by_text("Arrived 32")).to_be_in_viewport()
    moved = app.page.locator("article").filter(has_text="Number 23 ")
    await moved.scroll_into_view_if_needed()
    await expect(moved.get_by_role("link", name="1 comment")).to_be_visible()
