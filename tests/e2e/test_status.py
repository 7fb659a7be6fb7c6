"""The status page in a browser."""

from typing import Literal

from playwright.async_api import Browser, expect

from tests.conftest import STATUS_TOKEN
from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import TIMEOUT, CreateUser
from tests.e2e.waiting import wait_until
from tests.running import Server

BACKGROUNDS: dict[Literal["light", "dark"], str] = {"light": "rgb(247, 246, 243)", "dark": "rgb(19, 21, 20)"}
HAS_CHANGED = """name => {
  const line = document.querySelector(`polyline[data-name="${name}"]`);
  const heights = line?.getAttribute("points").split(" ").map((point) => Number(point.split(",")[1])) ?? [];
  return Math.max(...heights) - Math.min(...heights) > 50;
}"""


async def test_charts_follow_the_metrics_and_the_token_stays_secret(
    browser: Browser, server: Server, create_user: CreateUser
) -> None:
    """The token appears in no URL, in no log and not in the document. The page is accessible in both themes."""
    context = await browser.new_context(locale="en-GB")
    context.set_default_timeout(TIMEOUT)
    page = await context.new_page()
    await page.clock.install()
    console: list[str] = []
    urls: list[str] = []
    page.on("console", lambda message: console.append(message.text))
    page.on("pageerror", lambda error: console.append(str(error)))
    page.on("request", lambda request: urls.append(request.url))
    await page.goto(f"{server.url}/status")
    await page.get_by_label("Status token").fill("not the token of anyone")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("status")).to_have_text("Invalid token")
    await expect(page.locator("figure").first).to_be_hidden()
    assert ["401" in text for text in console] == [True], console
    console.clear()

    await page.get_by_label("Status token").fill(STATUS_TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Live")
    await expect(page.get_by_role("img", name="Connections", exact=True)).to_be_visible()
    an, binh = create_user("An"), create_user("Bình")
    an.send_message(an.create_conversation(binh), "Hello")
    # Skip the interval until the next poll.
    await page.clock.fast_forward("00:02")
    for name in ("201", "new_message"):
        await wait_until(page, HAS_CHANGED, arg=name)
    for theme, background in BACKGROUNDS.items():
        await page.emulate_media(color_scheme=theme)
        assert background == await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert [] == await serious_violations(page)
    assert [] == console
    assert STATUS_TOKEN not in await page.content()
    assert "" == await page.locator("#token").input_value()
    assert not [url for url in urls if STATUS_TOKEN in url]
    assert not [url for url in urls if not url.startswith(server.url)]
    assert STATUS_TOKEN not in server.text
    await context.close()
