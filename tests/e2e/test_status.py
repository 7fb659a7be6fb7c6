"""The operator's status page, in a browser: it asks for the token, and its charts move."""

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, expect

from tests.conftest import STATUS_TOKEN
from tests.e2e.conftest import PATIENCE, Register
from tests.running import Server

GROUNDS = {"light": "rgb(247, 246, 243)", "dark": "rgb(19, 21, 20)"}
MOVED = """name => {
  const line = document.querySelector(`polyline[data-name="${name}"]`);
  const heights = line?.getAttribute("points").split(" ").map((point) => Number(point.split(",")[1])) ?? [];
  return Math.max(...heights) - Math.min(...heights) > 50;
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_the_charts_move(browser: Browser, server: Server, register: Register, theme: str) -> None:
    """With what happens on the server; the token is in no URL, in no log, and not left in the page."""
    context = await browser.new_context(color_scheme=theme, locale="en-GB")
    context.set_default_timeout(PATIENCE)
    page = await context.new_page()
    said: list[str] = []
    urls: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: urls.append(request.url))
    await page.goto(f"{server.url}/status")
    await page.get_by_label("Status token").fill("not the token of anyone")
    await page.get_by_role("button", name="Show").click()
    await expect(page.get_by_role("status")).to_have_text("That is not the token")
    await expect(page.locator("figure").first).to_be_hidden()
    assert ["401" in text for text in said] == [True], said
    said.clear()

    await page.get_by_label("Status token").fill(STATUS_TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("status")).to_have_text("Live")
    await expect(page.get_by_role("img", name="Connections", exact=True)).to_be_visible()
    assert GROUNDS[theme] == await page.evaluate("getComputedStyle(document.body).backgroundColor")
    one, other = register("An"), register("Bình")
    talk = one.converse(other)
    one.say(talk, "Hello")
    for name in ("201", "new_message"):
        await page.wait_for_function(MOVED, arg=name)
    results = (await Axe().run(page)).response
    assert [] == [one["id"] for one in results["violations"] if one["impact"] in ("serious", "critical")]
    assert [] == said
    assert STATUS_TOKEN not in await page.content()
    assert "" == await page.locator("#token").input_value()
    assert not [url for url in urls if STATUS_TOKEN in url]
    assert not [url for url in urls if not url.startswith(server.url)]
    assert STATUS_TOKEN not in server.text
    await context.close()
