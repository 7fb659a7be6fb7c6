"""The service worker in a real Chromium: what is pushed is shown, and a click leads to the place."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, CDPSession, Page, Worker, async_playwright, expect

from tests.conftest import PUSH_HOST
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, CHROMIUM_COMMANDS, TIMEOUT
from tests.e2e.user import User
from tests.push.browser import Browser as RemoteBrowser
from tests.running import Server

SUBSCRIBE = """async () => {
  const { Loa } = await import("/client/index.js");
  const loa = new Loa();
  try {
    await loa.push.subscribe();
    return "subscribed";
  } catch (error) {
    return error.code;
  }
}"""
SHOWN = """async () => {
  const registration = await navigator.serviceWorker.ready;
  const shown = await registration.getNotifications();
  return shown.map(({ title, body, tag, data }) => ({ title, body, tag, url: data.url }));
}"""
EXPECT_SHOWN = """() => {
  const { showNotification } = ServiceWorkerRegistration.prototype;
  self.expected = new Promise((resolve) => {
    ServiceWorkerRegistration.prototype.showNotification = function (...options) {
      ServiceWorkerRegistration.prototype.showNotification = showNotification;
      const shown = showNotification.apply(this, options);
      resolve(shown);
      return shown;
    };
  });
}"""
CLOSE = """async () => {
  const registration = await navigator.serviceWorker.ready;
  for (const notification of await registration.getNotifications()) notification.close();
}"""
CLICK = """async () => {
  const [notification] = await self.registration.getNotifications();
  self.dispatchEvent(new NotificationEvent("notificationclick", { notification }));
}"""
"""A click as the browser reports it, but for the activation that lets a real one move the focus."""


async def open_settings(page: Page) -> None:
    await page.get_by_role("button", name="Activity").first.click()
    await page.get_by_role("button", name="Notification settings").click()


class Device:
    """A browser in which a user is signed in, with the service worker of the app."""

    def __init__(self, page: Page, devtools: CDPSession, url: str, registration: str, worker: Worker) -> None:
        self.page = page
        self.worker = worker
        self._devtools = devtools
        self.url = url
        self._registration = registration

    async def push(self, data: str) -> None:
        """Deliver a push, and wait until its notification is shown.

        Chromium's `getNotifications` forgets a notification that has been stored but is not on display yet, for good.
        So nothing may ask for them meanwhile.
        """
        await self.worker.evaluate(EXPECT_SHOWN)
        await self._devtools.send(
            "ServiceWorker.deliverPushMessage",
            {"origin": self.url, "registrationId": self._registration, "data": data},
        )
        async with asyncio.timeout(TIMEOUT / 1000):
            await self.worker.evaluate("() => self.expected.then(() => {})")

    async def shown(self, count: int, **first: Any) -> list[dict[str, Any]]:
        """Wait until so many notifications are shown, the first of which has these values; return them."""
        async with asyncio.timeout(TIMEOUT / 1000):
            while True:
                shown: list[dict[str, Any]] = await self.page.evaluate(SHOWN)
                if len(shown) == count and (not first or first.items() <= shown[0].items()):
                    return shown
                await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def full_browser() -> AsyncIterator[Browser]:
    """A Chromium that is not the headless shell, which denies all notifications."""
    installed = next(filter(None, map(shutil.which, CHROMIUM_COMMANDS[1:])), None)
    if not installed:
        missing = "Chromium is missing: apt-get install chromium."
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=installed, args=CHROMIUM_ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_device(full_browser: Browser, server: Server, http: httpx.Client) -> AsyncIterator[Device]:
    """A context with its first page takes a second of processor time in a full Chromium."""
    context = await full_browser.new_context(locale="en-GB")
    context.set_default_timeout(TIMEOUT)
    await context.grant_permissions(["notifications"], origin=server.url)
    yield await open_device(context, server, User.register(http, server, "An"))
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def device(shared_device: Device) -> Device:
    """The shared device, on which no notification is shown, at the start of the app."""
    await shared_device.page.evaluate(CLOSE)
    await shared_device.shown(0)
    await shared_device.page.goto(f"{shared_device.url}/#/")
    return shared_device


async def open_device(context: BrowserContext, server: Server, user: User) -> Device:
    page = await context.new_page()
    devtools = await context.new_cdp_session(page)
    registrations: list[str] = []
    devtools.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: registrations.extend(each["registrationId"] for each in event["registrations"]),
    )
    await devtools.send("ServiceWorker.enable")
    await page.add_init_script(user.sign_in_script())
    await page.goto(server.url)
    # The tests' machine reaches no push service; everything else has been done by then.
    async with context.expect_event("serviceworker") as found:
        assert "push_failed" == await page.evaluate(SUBSCRIBE)
    await page.evaluate("navigator.serviceWorker.ready.then(() => {})")
    worker = await found.value
    assert f"{server.url}/service-worker.js" == worker.url
    return Device(page, devtools, server.url, registrations[0], worker)


def payload(**changes: Any) -> str:
    fields = {"type": "message", "title": "Bình", "body": "See you", "url": "/#/posts", "tag": "a", "unread_count": 1}
    return json.dumps(fields | changes)


async def test_a_push_is_shown_and_replaces_an_older_one_of_its_tag(device: Device) -> None:
    await device.push(payload())
    assert [{"title": "Bình", "body": "See you", "tag": "a", "url": "/#/posts"}] == await device.shown(1)
    await device.push(payload(body="At nine"))
    await device.shown(1, body="At nine")
    await device.push(payload(tag="b"))
    assert {"a", "b"} == {each["tag"] for each in await device.shown(2)}


async def test_a_push_that_cannot_be_understood_is_shown_all_the_same(device: Device) -> None:
    """Browsers end the subscription of a worker that shows nothing."""
    await device.push("not JSON")
    assert ["Loa"] == [each["title"] for each in await device.shown(1)]


async def test_a_click_leads_the_open_page_to_the_place(device: Device) -> None:
    """Without loading it again, and without another tab. The notification is gone."""
    await device.page.evaluate("globalThis.marked = true")
    await device.push(payload(url="/#/posts"))
    await device.shown(1)
    await device.worker.evaluate(CLICK)
    await expect(device.page).to_have_url(f"{device.url}/#/posts")
    assert await device.page.evaluate("globalThis.marked")
    assert 1 == len(device.page.context.pages)
    await device.shown(0)


async def test_no_push_leads_to_a_script(device: Device) -> None:
    before = device.page.url
    await device.push(payload(url="javascript:alert(1)"))
    await device.shown(1)
    async with device.page.expect_event("load"):
        await device.worker.evaluate(CLICK)
    await device.shown(0)
    await expect(device.page).to_have_url(f"{device.url}/")
    assert before.startswith(device.url)


PUSH_SERVICE = """
    const json = %s;
    const subscription = {
      endpoint: json.endpoint,
      toJSON: () => json,
      async unsubscribe() {
        current = null;
        return true;
      },
    };
    let current = null;
    PushManager.prototype.subscribe = async () => (current = subscription);
    PushManager.prototype.getSubscription = async () => current;"""
"""What the browser does if it reaches its push service, which the tests' machine cannot."""


async def test_the_switch_in_the_settings_subscribes_this_device(device: Device) -> None:
    """And ends the subscription. If the browser cannot subscribe, the switch stays off, and the reason is shown."""
    page = device.page
    switch = page.get_by_role("switch", name="Push to this device")
    # SUBSCRIBE has loaded a module of its own beside those of the app.
    await page.reload()
    await open_settings(page)
    await switch.click()
    await expect(page.get_by_text("Your browser cannot reach its push service.")).to_be_visible()
    await expect(switch).not_to_be_checked()
    await page.add_init_script(PUSH_SERVICE % json.dumps(RemoteBrowser().subscription(f"https://{PUSH_HOST}/tests")))
    await page.reload()
    await open_settings(page)
    async with page.expect_response("**/push/subscriptions") as created:
        await switch.click()
    assert 201 == (await created.value).status
    await expect(switch).to_be_checked()
    async with page.expect_response("**/push/subscriptions") as removed:
        await switch.click()
    assert ("DELETE", 204) == ((await removed.value).request.method, (await removed.value).status)
    await expect(switch).not_to_be_checked()
