"""The settings of notifications: the user's preferences, and what this device does while the app is not in view."""

import asyncio
import re

import pytest
from playwright.async_api import Locator, expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.user import User

OBSERVED_ALERTS = """
    window.shownNotifications = [];
    window.playedTones = 0;
    window.Notification = class extends Notification {
      static permission = "granted";
      constructor(title, options) {
        super(title, options);
        window.shownNotifications.push(this);
      }
    };
    window.OscillatorNode = class extends OscillatorNode {
      start(at) {
        super.start(at);
        window.playedTones += 1;
      }
    };
    window.isInBackground = false;
    Object.defineProperty(document, "hidden", { get: () => window.isInBackground });"""
"""Records what the browser is told to show and play. A headless one grants no permission, and has no hidden tabs."""
SHOWN = "window.shownNotifications.map(({ title, body }) => `${title}: ${body}`)"
PRESS = "body => window.shownNotifications.find(each => each.body === body).onclick()"
WORDS = {"en-GB": ("Activity", "Notification settings"), "vi-VN": ("Thông báo", "Cài đặt thông báo")}


async def open_settings(app: AppPage, locale: str = "en-GB") -> Locator:
    bell, title = WORDS[locale]
    await app.page.get_by_role("button", name=bell).first.click()
    await app.page.get_by_role("button", name=title).click()
    return app.page.get_by_role("dialog", name=title)


def stored(user: User) -> dict[str, object]:
    return dict(user.get("/notifications/preferences"))


@pytest.mark.parametrize("viewport", [{"width": 1280, "height": 800}, {"width": 360, "height": 640}])
@pytest.mark.parametrize("locale", WORDS)
async def test_the_settings_are_accessible(
    open_app: OpenApp, create_user: CreateUser, locale: str, viewport: dict[str, int]
) -> None:
    """In both languages; nothing is cut off on a phone."""
    app = await open_app(create_user("An"), goto=False, locale=locale, viewport=viewport)
    await app.goto()
    settings = await open_settings(app, locale)
    await expect(settings.get_by_role("row")).to_have_count(5)
    await settings.get_by_role("region").nth(2).get_by_role("switch").check()
    assert [] == await serious_violations(app.page)
    assert await settings.locator(".body").evaluate("element => element.scrollWidth <= element.clientWidth")


async def test_preferences_are_stored_and_shown_in_each_tab(open_app: OpenApp, create_user: CreateUser) -> None:
    """With the keyboard; what is not in the app is not pushed either."""
    an, binh = create_user("An"), create_user("Bình")
    post = an.post("/posts", content="A post")["id"]
    app = await open_app(an)
    tab = await app.open_tab("/#/posts")
    settings, other = await open_settings(app), await open_settings(tab)
    in_app = "Comments on my posts: In the app"
    push = "Comments on my posts: Push"
    await expect(other.get_by_label(in_app)).to_be_checked()
    await settings.get_by_label(in_app).press("Space")
    await expect(other.get_by_label(in_app)).not_to_be_checked()
    await expect(other.get_by_label(push)).to_be_disabled()
    await expect(settings.get_by_label(push)).to_be_disabled()
    binh.comment(post, "Not a notification")
    assert [] == an.list("/notifications")
    await settings.get_by_label(in_app).press("Space")
    await expect(other.get_by_label(push)).to_be_enabled()
    await settings.get_by_label("Replies to my comments: Push").uncheck()
    await settings.get_by_label("Push to my devices").select_option("Only if I am mentioned")
    await settings.get_by_role("switch", name="Show the text").uncheck()
    await expect(other.get_by_label("Replies to my comments: Push")).not_to_be_checked()
    await expect(other.get_by_label("Push to my devices")).to_have_value("mentions")
    await expect(other.get_by_role("switch", name="Show the text")).not_to_be_checked()
    both = {"in_app": True, "push": True}
    kinds = dict.fromkeys(("NEW_COMMENT", "NEW_MENTION", "NEW_REACTION"), both)
    assert {
        "kinds": {**kinds, "NEW_REPLY": {"in_app": True, "push": False}},
        "push": {"messages": "mentions", "preview": False},
        "quiet_hours": None,
    } == stored(an)


async def test_quiet_hours_begin_with_the_time_zone_of_the_browser(open_app: OpenApp, create_user: CreateUser) -> None:
    an = create_user("An")
    app = await open_app(an, timezone_id="America/New_York")
    other_device = await open_app(an, timezone_id="Europe/Berlin")
    settings, other = await open_settings(app), await open_settings(other_device)
    await settings.get_by_role("switch", name="Do not disturb me").check()
    await expect(other.get_by_label("Time zone")).to_have_value("America/New_York")
    await other.get_by_label("From").fill("23:30")
    await other.get_by_label("Time zone").select_option("Asia/Tokyo")
    await expect(settings.get_by_label("From")).to_have_value("23:30")
    await expect(settings.get_by_label("Time zone")).to_have_value("Asia/Tokyo")
    assert {"start": "23:30", "end": "07:00", "timezone": "Asia/Tokyo"} == stored(an)["quiet_hours"]
    await settings.get_by_label("Until").fill("")
    await settings.get_by_label("From").focus()
    await expect(settings.get_by_label("Until")).to_have_value("07:00")
    await other.get_by_role("switch", name="Do not disturb me").uncheck()
    await expect(settings.get_by_label("From")).to_be_hidden()
    assert stored(an)["quiet_hours"] is None


async def test_a_change_that_fails_is_shown_and_taken_back(open_app: OpenApp, create_user: CreateUser) -> None:
    """Changes made meanwhile on another device appear after the reconnect."""
    an = create_user("An")
    app, other_device = await open_app(an), await open_app(an)
    settings, other = await open_settings(app), await open_settings(other_device)
    preview = settings.get_by_role("switch", name="Show the text")
    await expect(preview).to_be_checked()
    await app.page.context.set_offline(True)
    await preview.click()
    await expect(settings.locator(".toast")).to_contain_text("Cannot reach the server")
    await expect(preview).to_be_checked()
    await other.get_by_label("Push to my devices").select_option("No messages")
    await expect(other.get_by_label("Push to my devices")).to_have_value("none")
    await app.page.context.set_offline(False)
    await expect(settings.get_by_label("Push to my devices")).to_have_value("none")


async def test_a_hidden_tab_alerts_as_the_user_has_chosen(open_app: OpenApp, create_user: CreateUser) -> None:
    """By a sound and a desktop notification, each once, for comments and messages; none while a tab is in view, nor for
    what somebody writes in a group whom the user blocks."""
    an, binh, blocked = create_user("An"), create_user("Bình"), create_user("Chi")
    post = an.post("/posts", content="A post")["id"]
    conversation = binh.create_conversation(an)
    group = an.create_conversation(binh, blocked, title="Group")
    an.put(f"/users/{blocked.id}/block")
    app = await open_app(an, goto=False)
    page = app.page
    await page.add_init_script(OBSERVED_ALERTS)
    await app.goto()
    settings = await open_settings(app)
    await settings.get_by_role("switch", name="Play a sound").check()
    assert 2 == await page.evaluate("window.playedTones")
    await settings.get_by_role("switch", name="Show desktop notifications").check()
    tab = await app.open_tab("/#/posts", script=OBSERVED_ALERTS)
    binh.comment(post, "In view")
    await expect(tab.bell).to_have_accessible_name("Activity, 1 unread")
    for each in (app, tab):
        await each.page.evaluate("window.isInBackground = true")
    comment, comments = (f"Bình commented on your post: {text}" for text in ("In the background", "Once more"))
    message = "Bình: A message in the background"

    async def until_shown(count: int) -> list[tuple[str, AppPage]]:
        async with asyncio.timeout(15):
            while True:
                shown = [(text, each) for each in (app, tab) for text in await each.page.evaluate(SHOWN)]
                if len(shown) >= count:
                    return shown

    # An alert waits for 0.3 to 0.7 s: one for the blocked user would come before the third of the others.
    blocked.send_message(group, "A message of somebody whom the user blocks")
    binh.comment(post, "In the background")
    await expect(tab.bell).to_have_accessible_name("Activity, 2 unread")
    await until_shown(1)
    binh.comment(post, "Once more")
    await until_shown(2)
    binh.send_message(conversation, "A message in the background")
    shown = await until_shown(3)
    assert sorted((comment, comments, message)) == sorted(text for text, _ in shown)
    assert 2 < sum([await each.page.evaluate("window.playedTones") for each in (app, tab)])
    alerting = dict(shown)[message].page
    await alerting.evaluate(PRESS, "A message in the background")
    await expect(alerting).to_have_url(re.compile(f"#/c/{conversation}$"))


async def test_blocked_desktop_notifications_are_explained(open_app: OpenApp, create_user: CreateUser) -> None:
    """The browser is asked only on a press of the user."""
    app = await open_app(create_user("An"), goto=False)
    await app.page.add_init_script(
        """
        window.asked = 0;
        let permission = "default";
        Object.defineProperty(Notification, "permission", { get: () => permission });
        Notification.requestPermission = async () => {
          window.asked += 1;
          return (permission = "denied");
        };"""
    )
    await app.goto()
    settings = await open_settings(app)
    desktop = settings.get_by_role("switch", name="Show desktop notifications")
    await expect(desktop).not_to_be_checked()
    assert 0 == await app.page.evaluate("window.asked")
    await desktop.click()
    await expect(settings.get_by_text("Your browser blocks notifications")).to_be_visible()
    await expect(desktop).not_to_be_checked()
    assert 1 == await app.page.evaluate("window.asked")
