"""Unsent texts: kept for each form, over reloads, until they are sent or the user signs out."""

from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp

STORED_DRAFTS = "Object.keys(localStorage).filter((key) => key.startsWith('loa:draft:')).length"


async def test_each_conversation_has_its_own_draft(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh, chi = create_user("An"), create_user("Bình"), create_user("Chi")
    an.create_conversation(binh)
    an.create_conversation(chi)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await app.composer.fill("For Bình only")
    await app.open_conversation("Chi")
    await expect(app.composer).to_have_value("")
    await expect(app.conversation_row("Bình")).to_contain_text("Draft: For Bình only")
    await app.open_conversation("Bình")
    await expect(app.composer).to_have_value("For Bình only")
    await expect(app.conversation_row("Bình")).not_to_contain_text("Draft")
    await app.reload()
    await expect(app.composer).to_have_value("For Bình only")
    await app.composer.press("Enter")
    await expect(app.message("For Bình only")).to_be_visible()
    await app.reload()
    await expect(app.message("For Bình only")).to_be_visible()
    await expect(app.composer).to_have_value("")
    assert 0 == await app.page.evaluate(STORED_DRAFTS)


async def test_a_reply_and_an_edit_survive_a_reload(open_app: OpenApp, create_user: CreateUser) -> None:
    """After an edit, the reply that was being written is there again."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, "Lunch?")
    an.send_message(conversation, "Mine")
    app = await open_app(an)
    await app.open_link(conversation)
    context = app.page.locator(".composer .context")
    await app.choose_action("Lunch?", "Reply")
    await app.composer.fill("With pleasure")
    await app.choose_action("Mine", "Edit")
    await app.composer.fill("Mine, corrected")
    await app.reload()
    await expect(context).to_contain_text("Edit message")
    await expect(app.composer).to_have_value("Mine, corrected")
    await app.composer.press("Enter")
    await expect(app.message("Mine, corrected")).to_be_visible()
    await expect(context).to_contain_text("Reply to Bình")
    await app.reload()
    await expect(context).to_contain_text("Reply to Bình")
    await expect(context).to_contain_text("Lunch?")
    await expect(app.composer).to_have_value("With pleasure")
    await app.composer.press("Enter")
    await expect(app.message("With pleasure").locator(".quote")).to_contain_text("Lunch?")
    await expect(context).to_be_hidden()
    assert 0 == await app.page.evaluate(STORED_DRAFTS)


async def test_posts_comments_and_replies_survive_a_reload(open_app: OpenApp, create_user: CreateUser) -> None:
    an = create_user("An")
    post = an.post("/posts", content="A post")["id"]
    an.comment(post, "A comment")
    app = await open_app(an, goto=False)
    await app.goto("/#/posts")
    new_post = app.page.get_by_label("Write a post").get_by_role("textbox")
    await new_post.fill("A post to come")
    await app.goto(f"/#/posts/{post}")
    comment = app.page.get_by_role("textbox", name="Write a comment")
    reply = app.page.get_by_role("textbox", name="Reply to An")
    await comment.fill("A comment to come")
    await app.page.locator(".comment").get_by_role("button", name="Reply").click()
    await reply.fill("A reply to come")
    await app.reload()
    await expect(comment).to_have_value("A comment to come")
    await expect(reply).to_have_value("A reply to come")
    await reply.press("Control+Enter")
    await expect(app.page.locator(".comment .comment")).to_contain_text("A reply to come")
    await comment.press("Control+Enter")
    await expect(comment).to_have_value("")
    await app.goto("/#/posts")
    await expect(new_post).to_have_value("A post to come")
    await new_post.press("Control+Enter")
    await expect(new_post).to_have_value("")
    assert 0 == await app.page.evaluate(STORED_DRAFTS)


async def test_signing_out_removes_the_drafts(open_app: OpenApp, create_user: CreateUser) -> None:
    """The next user of the browser finds nothing, neither on the page nor in the storage."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    app = await open_app(an)
    await app.open_conversation("Bình")
    await app.composer.fill("Not for your eyes")
    assert 1 == await app.page.evaluate(STORED_DRAFTS)
    await app.sign_out()
    await expect(app.page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert 0 == await app.page.evaluate(STORED_DRAFTS)
    await app.sign_in(binh)
    await app.open_link(conversation)
    await expect(app.composer).to_have_value("")
