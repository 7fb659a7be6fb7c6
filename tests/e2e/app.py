"""The app as somebody uses it: the words on the page in, what is to be seen out."""

import json
import re
import urllib.request
from typing import Any, NamedTuple

from playwright.async_api import ConsoleMessage, Locator, Page, expect

from tests.running import Server

PASSWORD = "correct horse battery"
EXPECTED = re.compile(r"WebSocket connection to|net::ERR_|the server responded with a status of (401|404|409|422|503)")
"""What the browser itself writes of a server that is away or refuses; it is none of the page's doing."""


class Person(NamedTuple):
    """Somebody with an account, and what they do by the API from elsewhere."""

    server: Server
    id: str
    username: str
    name: str
    token: str

    @classmethod
    def register(cls, server: Server, name: str, number: int) -> "Person":
        username = f"person{number}.{server.process.pid}"
        body = {"username": username, "password": PASSWORD, "display_name": name}
        answer: Any = server.post("/api/v1/auth/register", body)
        return cls(server, answer["user"]["id"], username, name, answer["access_token"])

    def post(self, path: str, **body: object) -> Any:
        return self.server.post(f"/api/v1{path}", body, self.token)

    def get(self, path: str) -> Any:
        """The items of a list."""
        return self._ask("GET", path)["items"]

    def put(self, path: str) -> Any:
        return self._ask("PUT", path)

    def _ask(self, method: str, path: str) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.server.url}/api/v1{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def again(self) -> "Person":
        """With a fresh token."""
        answer: Any = self.server.post("/api/v1/auth/login", {"username": self.username, "password": PASSWORD})
        return self._replace(token=answer["access_token"])

    def converse(self, *others: "Person", title: str | None = None) -> str:
        """Begin a conversation; its id."""
        people = [other.id for other in others]
        return str(self.post("/conversations", participant_ids=people, title=title)["id"])

    def say(self, conversation_id: str, content: str, **more: object) -> Any:
        return self.post(f"/conversations/{conversation_id}/messages", content=content, **more)


class App:
    """One page. `errors`: what it has said on the console that it should not have."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(f"{error}\n{error.stack}"))
        page.on("console", self._on_console)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not EXPECTED.search(message.text):
            self.errors.append(message.text)

    async def visit(self, route: str = "") -> None:
        await self.page.goto(self.url + route)

    async def another(self, route: str = "") -> "App":
        """A second tab of the same browser."""
        app = App(await self.page.context.new_page(), self.url)
        app.errors = self.errors
        await app.visit(route)
        await expect(app.rail).to_be_visible()
        return app

    async def sign_in(self, person: Person) -> None:
        await self.page.get_by_label("Username").fill(person.username)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Sign in").click()
        await expect(self.rail).to_be_visible()

    @property
    def rail(self) -> Locator:
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

    async def open(self, name: str) -> None:
        """Open the conversation of that name, from the list."""
        await self.conversation(name).click()
        await expect(self.page.get_by_role("heading", name=name)).to_be_visible()

    def conversation(self, name: str) -> Locator:
        """Its row in the list."""
        links = self.page.get_by_role("navigation", name="Chats").get_by_role("link")
        return links.filter(has=self.page.locator(".name").filter(has_text=name))

    @property
    def composer(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message to")

    async def write(self, text: str) -> None:
        await self.composer.fill(text)
        await self.composer.press("Enter")

    @property
    def messages(self) -> Locator:
        return self.page.locator(".message")

    def message(self, text: str) -> Locator:
        """The message with exactly these words."""
        exactly = re.compile(f"^{re.escape(text)}$")
        return self.messages.filter(has=self.page.locator(".user-text").filter(has_text=exactly))

    async def texts(self) -> list[str]:
        """What the messages say, from the top."""
        return await self.page.locator(".message .user-text").all_inner_texts()

    async def choose(self, text: str, action: str) -> None:
        """An entry of the menu of the message that says `text`."""
        message = self.message(text)
        await message.hover()
        await message.get_by_role("button", name="Message actions").click()
        await self.page.get_by_role("menu").get_by_text(action).click()
