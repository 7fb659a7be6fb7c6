"""Notifications of a site's own types, which the app does not know: shown with their sender, preview and link."""

import re
from itertools import count
from typing import Any

import httpx
import pytest
from playwright.async_api import Locator, expect

from tests.conftest import API_KEY
from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import OpenApp
from tests.e2e.user import User
from tests.running import Server

MARKUP = "<img src=x onerror=alert(1)> & <b>bold</b>"
TITLES = {"en-GB": "Activity", "vi-VN": "Thông báo"}

numbers = count(1)


class Site:
    """A server of the site that `server` stands beside."""

    def __init__(self, http: httpx.Client, server: Server) -> None:
        self._http = http
        self._server = server

    def user(self, display_name: str) -> tuple[User, str]:
        """Create a user; return them, signed in, and their external id."""
        external_id = f"site-user-{next(numbers)}"
        profile = self._call("PUT", f"/users/{external_id}", display_name=display_name)
        token = self._call("POST", f"/users/{external_id}/tokens", expires_in=3600)
        session = {"user": profile, "refresh_token": "none", **token}
        return User(self._http, self._server, display_name, session), external_id

    def notify(self, *to: str, **fields: Any) -> None:
        answer = self._call("POST", "/notifications", type="ORDER_SHIPPED", to=list(to), **fields)
        assert len(to) == answer["accepted"]

    def _call(self, method: str, path: str, **body: Any) -> Any:
        url, headers = f"{self._server.url}/api/v1/server{path}", {"Authorization": f"Bearer {API_KEY}"}
        return self._http.request(method, url, headers=headers, json=body).raise_for_status().json()


@pytest.fixture
def site(http: httpx.Client, server: Server) -> Site:
    return Site(http, server)


def item(app: AppPage, text: str) -> Locator:
    return app.page.locator(".notification-panel li").filter(has_text=text)


async def open_streaming(open_app: OpenApp, user: User, locale: str = "en-GB") -> AppPage:
    """Open the app, and wait until it receives notifications: an earlier one causes no toast."""
    app = await open_app(user, goto=False, locale=locale)
    async with app.page.expect_response("**/api/v1/notifications/stream*"):
        await app.goto()
    return app


@pytest.mark.parametrize("locale", TITLES)
async def test_a_type_that_the_app_does_not_know_is_shown(open_app: OpenApp, site: Site, locale: str) -> None:
    """As a toast and in the list, in each language; what the site writes is text."""
    (an, an_id), (_, binh_id) = site.user("An"), site.user(f"Bình {MARKUP}"[:64])
    app = await open_streaming(open_app, an, locale)
    bell = app.page.get_by_role("button", name=TITLES[locale])
    site.notify(an_id, sender=binh_id, preview=f"Your order {MARKUP}", url="#/posts")
    toast = app.toasts.filter(has_text="Your order")
    await expect(toast).to_contain_text(f"Your order {MARKUP}")
    await expect(toast).to_contain_text("Bình <img")
    await bell.click()
    link = item(app, "Your order").get_by_role("link")
    await expect(link).to_contain_text("Bình <img")
    assert not await app.page.locator(".notification-panel img, .toast img").count()
    await link.click()
    await expect(app.page).to_have_url(re.compile(r"#/posts$"))
    await expect(item(app, "Your order").locator(".notification")).to_have_class("notification read")
    await expect(bell).to_have_accessible_name(TITLES[locale])
    assert 0 == an.get("/notifications/unread_count")["unread_count"]


async def test_a_link_to_another_origin_opens_in_a_tab_of_its_own(open_app: OpenApp, site: Site) -> None:
    """It has no hold of the app's tab, and does not learn where it was opened. One to the same origin does not."""
    an, an_id = site.user("An")
    app = await open_streaming(open_app, an)
    for url in ("https://shop.example/orders/7", "/app/#/posts"):
        site.notify(an_id, preview=f"Leads to {url}", url=url)
    await app.bell.click()
    other, own = (item(app, f"Leads to {each}").get_by_role("link") for each in ("https", "/app"))
    for name, value in (
        ("href", "https://shop.example/orders/7"),
        ("target", "_blank"),
        ("rel", "noopener noreferrer"),
    ):
        await expect(other).to_have_attribute(name, value)
    await expect(own).to_have_attribute("href", f"{an.server.url}/app/#/posts")
    assert await own.get_attribute("target") is None


async def test_a_notification_without_sender_and_link_can_be_marked_as_read(open_app: OpenApp, site: Site) -> None:
    """By a press on it, in the list or on the toast; with the keyboard, too."""
    an, an_id = site.user("An")
    app = await open_streaming(open_app, an)
    site.notify(an_id, preview="The first one")
    await app.toasts.get_by_role("button", name="The first one").click()
    await expect(app.toasts).to_have_count(0)
    await expect(app.bell).to_have_accessible_name("Activity")
    site.notify(an_id, preview="W" * 300)
    await expect(app.bell).to_have_accessible_name("Activity, 1 unread")
    await app.bell.click()
    button = item(app, "WWW").get_by_role("button", name="WWW")
    await expect(button).to_contain_text("Unread")
    assert [] == await serious_violations(app.page)
    assert await button.evaluate("element => element.scrollWidth <= element.clientWidth")
    await button.focus()
    await app.page.keyboard.press("Enter")
    await expect(app.bell).to_have_accessible_name("Activity")
    assert 0 == an.get("/notifications/unread_count")["unread_count"]
