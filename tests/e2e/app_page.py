"""Page object of the browser app: tests refer to what a user sees, not to the markup."""

import re

from playwright.async_api import ConsoleMessage, Locator, Page, expect

from tests.e2e.user import PASSWORD, User

BROWSER_NETWORK_ERRORS = re.compile(
    r"WebSocket connection to|net::ERR_|the server responded with a status of (401|403|404|409|422|503)"
)
"""Console messages that the browser itself writes about failed requests; they are no errors of the app."""


class AppPage:
    """A browser tab with the app. `errors` collects what the app writes to the console, and its exceptions.

    `modules`: whether the page loads the app's modules one by one, so that a test can import one that the app uses.
    """

    def __init__(self, page: Page, url: str, *, modules: bool = False) -> None:
        self.page = page
        self.url = url
        self.modules = modules
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(f"{error}\n{error.stack}"))
        page.on("console", self._on_console)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not BROWSER_NETWORK_ERRORS.search(message.text):
            self.errors.append(message.text)

    async def goto(self, route: str = "") -> None:
        if self.modules:
            route = (route or "/").replace("/", "/?modules", 1)
        await self.page.goto(self.url + route)

    async def open_tab(self, route: str = "", *, script: str = "") -> "AppPage":
        """Open a second tab of the same browser, where the user is signed in, too. `script` runs before the app's."""
        page = await self.page.context.new_page()
        if script:
            # Not in the context: other tests use it later.
            await page.add_init_script(script)
        tab = AppPage(page, self.url, modules=self.modules)
        tab.errors = self.errors
        await tab.goto(route)
        await expect(tab.nav_bar).to_be_visible()
        return tab

    async def sign_in(self, user: User) -> None:
        """Fill in and submit the sign-in form."""
        await self.page.get_by_label("Username").fill(user.username)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.nav_bar).to_be_visible()

    async def sign_out(self) -> None:
        await self.page.get_by_role("button", name="You").click()
        await self.page.get_by_role("button", name="Sign out", exact=True).click()

    @property
    def nav_bar(self) -> Locator:
        return self.page.get_by_role("navigation", name="Main")

    @property
    def bell(self) -> Locator:
        return self.page.get_by_role("button", name="Activity")

    @property
    def banner(self) -> Locator:
        return self.page.locator(".banner")

    @property
    def toasts(self) -> Locator:
        return self.page.locator(".toast")

    async def open_conversation(self, name: str) -> None:
        """Open a conversation from the list."""
        await self.conversation_row(name).click()
        await expect(self.page.get_by_role("heading", name=name)).to_be_visible()

    async def open_link(self, conversation_id: str) -> None:
        """Open a conversation by its URL: a direct one without messages is not in the list of the other user."""
        await self.goto(f"/#/c/{conversation_id}")
        await expect(self.composer).to_be_visible()

    def conversation_row(self, name: str) -> Locator:
        links = self.page.get_by_role("navigation", name="Chats").get_by_role("link")
        return links.filter(has=self.page.locator(".name").filter(has_text=name))

    @property
    def composer(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message to")

    async def send(self, text: str) -> None:
        """Type a message and press Enter."""
        await self.composer.fill(text)
        await self.composer.press("Enter")

    @property
    def messages(self) -> Locator:
        return self.page.locator(".message")

    def message(self, text: str) -> Locator:
        """The message with exactly this text."""
        exactly = re.compile(f"^{re.escape(text)}$")
        return self.messages.filter(has=self.page.locator(".user-text").filter(has_text=exactly))

    async def message_texts(self) -> list[str]:
        """Return the texts of all messages, from top to bottom."""
        return await self.page.locator(".message .user-text").all_inner_texts()

    async def reload(self) -> None:
        await self.page.reload()
        await expect(self.nav_bar).to_be_visible()

    async def show_toast(self, text: str) -> None:
        """Show a toast with this text, as the app's own modules do. The page must have been opened with `modules`."""
        await self.page.evaluate("async (text) => (await import('/app/toast.js')).showToast(text)", text)

    async def press_enter_in_composition(self, field: Locator) -> bool:
        """Press the Enter that ends a composition, as Safari reports it. Returns whether the app suppressed it."""
        return bool(
            await field.evaluate(
                "field => !field.dispatchEvent(new KeyboardEvent('keydown', "
                "{ key: 'Enter', keyCode: 229, isComposing: false, ctrlKey: true, bubbles: true, cancelable: true }))"
            )
        )

    async def choose_action(self, text: str, action: str) -> None:
        """Choose an entry of the menu of the message with this text."""
        message = self.message(text)
        await message.hover()
        await message.get_by_role("button", name="Message actions").click()
        await self.page.get_by_role("menu").get_by_text(action).click()
