"""How user-written text is laid out, whatever it consists of."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp

ARABIC = "مرحبا، كيف الحال؟ استعمل Loa الآن!"
LAST_IS_LEFT_OF_FIRST = """element => {
  const text = element.firstChild;
  const left = (index) => {
    const range = document.createRange();
    range.setStart(text, index);
    range.setEnd(text, index + 1);
    return range.getBoundingClientRect().left;
  };
  return left(text.length - 1) < left(0);
}"""
MARKS = "".join(letter + "\u0301\u0312\u0334\u0337\u035c\u0362\u0345\u0330" * 40 for letter in "zalgo")
CLIPS = "element => getComputedStyle(element).overflow"


async def test_right_to_left_text_is_laid_out_from_the_right(open_app: OpenApp, create_user: CreateUser) -> None:
    """In messages, previews, names and titles; between Latin words it is isolated; fields follow what is typed."""
    an, binh = create_user("An"), create_user("أنا!")
    group = binh.create_conversation(an, title=ARABIC)
    binh.send_message(group, ARABIC)
    app = await open_app(an)
    await app.open_link(group)
    for element in (
        app.message(ARABIC).locator(".written"),
        app.message(ARABIC).locator(".sender"),
        app.page.locator(".pane h2"),
        app.conversation_row(ARABIC).locator(".name"),
    ):
        assert await element.evaluate(LAST_IS_LEFT_OF_FIRST)
    await expect(app.conversation_row(ARABIC).locator(".preview")).to_have_text(
        f"\u2068أنا!\u2069: \u2068{ARABIC}\u2069"
    )
    for field in (app.composer, app.page.get_by_role("searchbox", name="Search chats")):
        await field.fill(ARABIC)
        assert "rtl" == await field.evaluate("field => getComputedStyle(field).direction")
        await field.fill("Latin")
        assert "ltr" == await field.evaluate("field => getComputedStyle(field).direction")


@pytest.mark.parametrize("text", ["top" + "\n" * 3990 + "end", "word " * 799], ids=["blank lines", "many words"])
async def test_a_very_high_text_is_folded(text: str, open_app: OpenApp, create_user: CreateUser) -> None:
    """A message, a post and a comment; a button shows the rest, also after the message was rendered again."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    message = binh.send_message(conversation, text)
    post = an.post("/posts", content=text)["id"]
    an.comment(post, text)
    app = await open_app(an, viewport={"width": 1000, "height": 700})
    await app.open_link(conversation)
    element = app.messages.first
    height = "element => element.getBoundingClientRect().height"
    await expect(element).to_be_visible()
    assert await element.evaluate(height) < 700
    await element.get_by_role("button", name="Show more").click()
    expanded = await element.evaluate(height)
    assert expanded > 700
    binh.put(f"/conversations/{conversation}/messages/{message['id']}/reactions/👍")
    await expect(element.get_by_role("button", name="👍 Bình")).to_be_visible()
    assert await element.evaluate(height) >= expanded
    await app.goto(f"/#/posts/{post}")
    for selector in (".post", ".comment"):
        await expect(app.page.locator(selector)).to_be_visible()
        assert await app.page.locator(selector).evaluate(height) < 700
        await expect(app.page.locator(selector).get_by_role("button", name="Show more")).to_be_visible()


async def test_combining_marks_do_not_cover_what_others_have_written(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """Everything that users write is clipped: messages, posts, comments, names, previews, titles, toasts."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = binh.create_conversation(an, create_user("Chi"), title="Group")
    binh.send_message(conversation, "Before")
    # The marks come by an edit: a further message would change the corners of the bubble.
    after = binh.send_message(conversation, "After")["id"]
    app = await open_app(an)
    await app.open_conversation("Group")
    await expect(app.message("Before")).to_be_visible()
    binh.patch(f"/conversations/{conversation}/messages/{after}", content=MARKS)
    await expect(app.messages.last).to_contain_text("edited")
    await expect(app.messages.last.get_by_role("button", name="Show more")).to_have_count(0)
    assert await app.messages.last.locator(".bubble").evaluate(CLIPS) in ("clip", "hidden")
    post = an.post("/posts", content=MARKS)["id"]
    binh.comment(post, MARKS)
    await expect(app.toasts.locator("a")).to_be_visible()
    for selector in (".toast a", ".conversation .preview", ".conversation .name", ".message .sender", ".pane h2"):
        assert await app.page.locator(selector).first.evaluate(CLIPS) in ("clip", "hidden"), selector
    await app.goto(f"/#/posts/{post}")
    await expect(app.page.locator(".comment")).to_be_visible()
    for selector in (".post", ".post .name", ".comment > .text"):
        assert await app.page.locator(selector).evaluate(CLIPS) in ("clip", "hidden"), selector


async def test_a_long_group_name_leaves_room_for_the_buttons(open_app: OpenApp, create_user: CreateUser) -> None:
    """In the header and in the dialog, with and without spaces, on a phone."""
    an, binh = create_user("An"), create_user("W" * 64)
    for title in ("W" * 100, "Long title " * 9):
        group = an.create_conversation(binh, create_user("Chi"), title=title)
        app = await open_app(an, viewport={"width": 390, "height": 700})
        await app.open_link(group)
        await app.page.get_by_role("button", name="Details").click()
        dialog = app.page.get_by_role("dialog")
        for name in ("Close", f"Options for {binh.name}"):
            await expect(dialog.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
        assert await dialog.evaluate("element => element.scrollWidth <= element.clientWidth")
        await dialog.get_by_role("button", name="Close").click()
        await expect(dialog).to_be_hidden()


async def test_a_message_is_copied_on_a_page_without_a_secure_context(
    open_app: OpenApp, create_user: CreateUser
) -> None:
    """Over plain http from another host, browsers offer no `navigator.clipboard`."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    an.send_message(conversation, "Copy me\nwith both lines")
    app = await open_app(an, goto=False)
    await app.page.add_init_script("delete Navigator.prototype.clipboard")
    await app.goto(f"/#/c/{conversation}")
    await app.choose_action("Copy me\nwith both lines", "Copy text")
    await expect(app.toasts).to_have_text("Copied.")
    await app.composer.press("Control+V")
    await expect(app.composer).to_have_value("Copy me\nwith both lines")


async def test_formatting_is_shown_in_messages_posts_and_comments(open_app: OpenApp, create_user: CreateUser) -> None:
    """What it is, is tested by web_app/modules; text that looks like HTML by test_content.py."""
    text = "**Two** *ways* with `code` for @anna:\n1. one\n2. two\n\n> quoted\n```\na  b\n```"
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, text)
    post = an.post("/posts", content=text)["id"]
    an.comment(post, text)
    app = await open_app(an)
    await app.open_link(conversation)
    shown = app.messages.first.locator(".user-text")
    for tag, content in {
        "strong": "Two",
        "em": "ways",
        "code": "code",
        ".mention": "@anna",
        "ol > li:first-child": "one",
        "ol > li:last-child": "two",
        "blockquote": "quoted",
        "pre": "a  b",
    }.items():
        assert content == await shown.locator(tag).inner_text()
    await app.goto(f"/#/posts/{post}")
    for element in (".post .user-text", ".comment .user-text"):
        await expect(app.page.locator(element).locator("strong")).to_have_text("Two")
