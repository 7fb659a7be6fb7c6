"""User-written content is shown as plain text."""

from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp

INJECTIONS = [
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    "<svg/onload=window.pwned=1>",
    "\"><iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    "javascript:window.pwned=1",
    "data:text/html,<script>pwned=1</script>",
    'https://example.org/"onmouseover="window.pwned=1',
    "[x](javascript:window.pwned=1)",
    "{{constructor.constructor('pwned=1')()}} ${pwned=1}",
    "</span></li><a href='javascript:pwned=1'>x</a>",
]
LINKS = {
    "see https://example.org/a_(b)?q=1#c.": ["https://example.org/a_(b)?q=1#c"],
    "(https://example.org/x), and http://example.org!": ["https://example.org/x", "http://example.org"],
    "javascript:alert(1) ftp://example.org mailto:a@example.org www.example.org": [],
    "https://": [],
}
"""The links expected in a text."""


async def test_injected_markup_is_shown_as_text(open_app: OpenApp, create_user: CreateUser) -> None:
    """In messages, quotes, titles, names, posts, comments, notifications and toasts."""
    an, binh = create_user("An"), create_user("<img src=x onerror=pwned=1>")
    group = binh.create_conversation(an, create_user("Chi"), title="<script>pwned=1</script>")
    post = an.post("/posts", content="\n".join(INJECTIONS))["id"]
    app = await open_app(an)
    for text in INJECTIONS:
        message = binh.send_message(group, text)
        binh.send_message(group, f"Reply to {text}", reply_to=message["id"])
        binh.comment(post, text)
    await app.open_conversation("<script>pwned=1</script>")
    await expect(app.message(f"Reply to {INJECTIONS[-1]}")).to_be_visible()
    assert [line for text in INJECTIONS for line in (text, f"Reply to {text}")] == await app.message_texts()
    await expect(app.toasts.last).to_contain_text(INJECTIONS[-1])
    await app.goto(f"/#/posts/{post}")
    await expect(app.page.locator(".comment .user-text")).to_have_text(INJECTIONS)
    await expect(app.page.locator(".post .user-text")).to_have_text("\n".join(INJECTIONS), use_inner_text=True)
    assert await app.page.evaluate("window.pwned") is None
    injected = (
        "script:not([src^='/bundle/']), iframe, [onerror], [onload], [onmouseover], [srcdoc], [href^='javascript:']"
    )
    await expect(app.page.locator(injected)).to_have_count(0)
    await expect(app.page.locator(".comment img, .message img")).to_have_count(0)


async def test_http_urls_become_links(open_app: OpenApp, create_user: CreateUser) -> None:
    """Without the punctuation after them; the linked page gets neither a referrer nor an opener."""
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    for text in LINKS:
        an.send_message(conversation, text)
    app = await open_app(an)
    await app.open_conversation("Bình")
    for text, urls in LINKS.items():
        await expect(app.message(text)).to_be_visible()
        links = await app.message(text).locator("a").all()
        assert urls == [await link.get_attribute("href") for link in links]
        for link in links:
            assert "noopener noreferrer nofollow" == await link.get_attribute("rel")
            assert "_blank" == await link.get_attribute("target")
