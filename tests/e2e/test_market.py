"""The site of config/examples with Loa beside it, as its README starts it."""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Locator, Page, expect

from tests.e2e.app_page import BROWSER_NETWORK_ERRORS
from tests.e2e.conftest import DevicePool
from tests.e2e.market import Market, running_market
from tests.interop.conftest import need
from tests.running import eventually

pytestmark = pytest.mark.scenario


class MarketPage:
    """A tab of the market. `errors` collects what the page writes to the console, and its exceptions."""

    def __init__(self, page: Page, market: Market) -> None:
        self.page = page
        self.market = market
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._on_console(message.type, message.text))

    def _on_console(self, type: str, text: str) -> None:
        if type in ("error", "warning") and not BROWSER_NETWORK_ERRORS.search(text):
            self.errors.append(text)

    async def register(self, name: str, username: str) -> None:
        await self.page.goto(f"{self.market.url}/login")
        form = self.page.locator("form", has_text="New here?")
        await form.get_by_label("Your name").fill(name)
        await form.get_by_label("Username").fill(username)
        await form.get_by_label("Password").fill("correct horse battery")
        await form.get_by_role("button", name="Register").click()
        await expect(self.page.get_by_role("button", name="Sign out")).to_be_visible()

    async def offer(self, title: str) -> None:
        await self.page.goto(self.market.url)
        await self.page.get_by_text("Sell something").click()
        await self.page.get_by_label("What is it?").fill(title)
        await self.page.get_by_label("About it").fill("Hardly used.")
        await self.page.get_by_role("button", name="Offer it").click()
        await expect(self.page.get_by_role("heading", name=title)).to_be_visible()

    async def open_offer(self, title: str) -> None:
        await self.page.goto(self.market.url)
        await self.page.get_by_role("link", name=title).click()

    async def comment(self, content: str) -> None:
        await self.page.get_by_label("Comment").fill(content)
        await self.page.get_by_role("button", name="Comment").click()

    async def send(self, content: str) -> None:
        await self.page.get_by_role("textbox", name="Message").fill(content)
        await self.page.get_by_role("button", name="Send").click()

    def toast(self, text: str) -> Locator:
        return self.page.locator("#toasts").get_by_role("link").filter(has_text=text)

    @property
    def messages(self) -> Locator:
        return self.page.get_by_role("list", name="Messages").get_by_role("listitem").locator("p")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Market]:
    need("node", "npm")
    with running_market(tmp_path_factory.mktemp("loa")) as market:
        yield market


@pytest_asyncio.fixture(loop_scope="session")
async def pages(device_pool: DevicePool, market: Market) -> AsyncIterator[tuple[MarketPage, MarketPage]]:
    """The pages of two people, each in a browser of their own; neither has had an error at the end."""
    pages = [MarketPage(await device_pool.acquire(market.url, locale="en-GB"), market) for _ in range(2)]
    yield pages[0], pages[1]
    for page in pages:
        await device_pool.release(page.page.context)
    assert [] == [error for page in pages for error in page.errors]


async def test_two_people_comment_chat_order_and_ship(market: Market, pages: tuple[MarketPage, MarketPage]) -> None:
    an, binh = pages
    await an.register("An", "an.nguyen")
    await binh.register("Bình", "binh")

    # A comment there is a toast here.
    await an.offer("Bicycle")
    await binh.open_offer("Bicycle")
    await binh.comment("Does it have a bell?")
    toast = an.toast("Bình commented on your offer")
    await expect(toast).to_contain_text("Does it have a bell?")
    await toast.click()
    await expect(an.page).to_have_url(re.compile(r"/posts/1#comment-1$"))

    # They chat, both ways.
    await binh.page.get_by_role("button", name="Chat with An").click()
    await binh.send("Is it still there?")
    await expect(binh.messages).to_have_text(["Is it still there?"])
    toast = an.toast("Is it still there?")
    await expect(toast).to_contain_text("Bình")
    await toast.click()
    await expect(an.page.get_by_role("heading", name="Bicycle")).to_be_visible()
    await expect(an.messages).to_have_text(["Is it still there?"])
    await an.send("Yes. With a bell.")
    conversation = ["Is it still there?", "Yes. With a bell."]
    for page in (an, binh):
        await expect(page.messages).to_have_text(conversation)

    # The history is there after a reload, and the same conversation for the same offer.
    await binh.page.reload()
    await expect(binh.messages).to_have_text(conversation)
    await binh.open_offer("Bicycle")
    await binh.page.get_by_role("button", name="Chat with An").click()
    await expect(binh.messages).to_have_text(conversation)

    # An order, and its shipping: a toast that leads to it.
    await binh.open_offer("Bicycle")
    await binh.page.get_by_role("button", name="Order it").click()
    await an.toast("Bình ordered something from you").click()
    await an.page.get_by_role("button", name="Mark as shipped").click()
    toast = binh.toast("An has shipped your order")
    await expect(toast).to_contain_text("“Bicycle” is on its way.")
    await expect(toast).to_have_attribute("href", "/orders#order-1")
    await toast.click()
    await expect(binh.page.locator("#order-1")).to_contain_text("shipped")

    # Loa keeps the notifications.
    await binh.page.reload()
    bell = binh.page.locator("#bell")
    await expect(bell.locator(".badge")).to_have_text("1")
    await bell.locator("summary").click()
    await expect(bell.get_by_role("link")).to_have_text([re.compile("An has shipped your order")])


async def test_the_market_receives_webhooks(market: Market, pages: tuple[MarketPage, MarketPage]) -> None:
    """Loa reports what has happened, signed; the market counts the messages about an offer."""
    hoa, lan = pages
    await hoa.register("Hoa", "hoa")
    await lan.register("Lan", "lan")
    await hoa.offer("Guitar")
    offer = hoa.page.url
    await lan.open_offer("Guitar")
    await lan.comment("How old is it?")
    await lan.page.get_by_role("button", name="Chat with Hoa").click()
    for content in ("Hello", "How old is it?"):
        await lan.send(content)
    await expect(lan.messages).to_have_text(["Hello", "How old is it?"])
    expected = {"conversation.created", "message.created", "notification.created", "user.created"}

    def received() -> bool:
        return expected <= set(market.webhooks()) and market.messages_about(offer) == 2

    await asyncio.to_thread(eventually, received, 30)
    await hoa.page.goto(offer)
    await expect(hoa.page.get_by_text("2 messages about it")).to_be_visible()


async def test_signing_out_ends_the_connections(market: Market, pages: tuple[MarketPage, MarketPage]) -> None:
    """A second tab follows."""
    page, _ = pages
    await page.register("Chi", "chi")
    tab = MarketPage(await page.page.context.new_page(), market)
    await tab.page.goto(market.url)
    await expect(tab.page.locator("body[data-connected]")).to_be_attached()
    await page.page.get_by_role("button", name="Sign out").click()
    await expect(tab.page.get_by_role("link", name="Sign in")).to_be_visible()


async def test_a_comment_while_loa_is_down_is_a_toast_once_it_is_back(
    market: Market, pages: tuple[MarketPage, MarketPage]
) -> None:
    """The commenter notices nothing."""
    dung, giang = pages
    await dung.register("Dung", "dung")
    await dung.offer("Lamp")
    await giang.register("Giang", "giang")
    await giang.open_offer("Lamp")
    await asyncio.to_thread(market.loa.stop)
    # Without Loa, the client library cannot be loaded either; the page is shown before the browser says so.
    async with giang.page.expect_event("pageerror"):
        await giang.comment("Does it glow?")
    await expect(giang.page.get_by_role("listitem").filter(has_text="Does it glow?")).to_be_visible()
    assert all("dynamically imported module" in error for error in giang.errors)
    giang.errors.clear()
    await asyncio.to_thread(market.loa.start)
    await expect(dung.toast("Giang commented on your offer")).to_contain_text("Does it glow?", timeout=60_000)
