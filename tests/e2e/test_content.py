"""What people write is text, whatever it says."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import Enter, Register

HOSTILE = [
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


async def test_hostile_text_is_shown_as_it_was_typed(enter: Enter, register: Register) -> None:
    """In messages, quotes, titles, names, posts, comments, notifications and toasts; nothing of it runs or is made."""
    an, binh = register("An"), register("<img src=x onerror=pwned=1>")
    group = binh.converse(an, register("Chi"), title="<script>pwned=1</script>")
    post = an.post("/posts", content="\n".join(HOSTILE))["id"]
    here = await enter(an)
    for text in HOSTILE:
        said = binh.say(group, text)
        binh.say(group, f"Answer to {text}", reply_to=said["id"])
        binh.post(f"/posts/{post}/comments", content=text)
    await here.open("<script>pwned=1</script>")
    await expect(here.message(f"Answer to {HOSTILE[-1]}")).to_be_visible()
    assert [line for text in HOSTILE for line in (text, f"Answer to {text}")] == await here.texts()
    await expect(here.toasts.last).to_contain_text(HOSTILE[-1])
    await here.visit(f"/#/posts/{post}")
    await expect(here.page.locator(".comment .user-text")).to_have_text(HOSTILE)
    await expect(here.page.locator(".post .user-text")).to_have_text("\n".join(HOSTILE), use_inner_text=True)
    assert await here.page.evaluate("window.pwned") is None
    made = (
        "script:not([src='/app/main.js']), iframe, [onerror], [onload], [onmouseover], [srcdoc], [href^='javascript:']"
    )
    await expect(here.page.locator(made)).to_have_count(0)
    await expect(here.page.locator(".comment img, .message img")).to_have_count(0)


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://example.org/a_(b)?q=1#c.", ["https://example.org/a_(b)?q=1#c"]),
        ("(https://example.org/x), and http://example.org!", ["https://example.org/x", "http://example.org"]),
        ("javascript:alert(1) ftp://example.org mailto:a@example.org www.example.org", []),
        ("https://", []),
    ],
)
async def test_web_addresses_become_links(enter: Enter, register: Register, text: str, links: list[str]) -> None:
    """Only http and https, without what ends the sentence; and the page behind them learns nothing of this one."""
    an, binh = register("An"), register("Bình")
    an.say(an.converse(binh), text)
    here = await enter(an)
    await here.open("Bình")
    await expect(here.message(text)).to_be_visible()
    found = here.message(text).locator("a")
    assert links == [await link.get_attribute("href") for link in await found.all()]
    for link in await found.all():
        assert "noopener noreferrer nofollow" == await link.get_attribute("rel")
        assert "_blank" == await link.get_attribute("target")
