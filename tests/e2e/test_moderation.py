"""The page of moderators."""

from playwright.async_api import Locator, expect

from tests.attachments.conftest import encoded, photo
from tests.e2e.accessibility import serious_violations
from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.protocol.moderator import set_moderator


def dialog(app: AppPage) -> Locator:
    return app.page.get_by_role("dialog")


async def test_moderators_close_reports_delete_and_ban(open_app: OpenApp, create_user: CreateUser) -> None:
    """On a phone, with the keyboard. Nobody else gets to the page, nor sees the link to it."""
    an, binh, judge = create_user("An"), create_user("Bình Spammer"), create_user("Judge")
    direct = an.create_conversation(binh)
    image = binh.upload("offer.png", encoded(photo(), "PNG"))
    message = binh.send_message(direct, "Buy this", attachments=[image])["id"]
    post = binh.post("/posts", content="Buy this, everyone")["id"]
    an.post("/reports", subject={"kind": "user", "id": binh.id}, reason="other")
    an.post("/reports", subject={"kind": "post", "id": post}, reason="abuse")
    an.post("/reports", subject={"kind": "message", "id": message}, reason="spam", note="Every day")
    phone = {"width": 360, "height": 740}
    reporter = await open_app(an, viewport=phone)
    await reporter.open_conversation("Bình Spammer")
    await set_moderator(judge.server.pid, judge.username)
    app = await open_app(judge, viewport=phone, color_scheme="dark")
    await app.page.get_by_role("button", name="You").press("Enter")
    await dialog(app).get_by_role("link", name="Moderation").press("Enter")
    await expect(app.page.get_by_role("heading", name="Moderation")).to_be_focused()
    about_message = app.page.get_by_role("article", name="A message from Bình Spammer was reported")
    await expect(about_message).to_contain_text("Buy this")
    await expect(about_message.get_by_role("img", name="offer.png")).to_have_js_property("naturalWidth", 60)
    await expect(about_message).to_contain_text("Every day")
    await expect(about_message).to_contain_text("Spam · Reported by An · Now")
    assert [] == await serious_violations(app.page)
    assert await app.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    await about_message.get_by_role("button", name="Delete").press("Enter")
    await dialog(app).get_by_role("button", name="Delete").press("Enter")
    await expect(app.toasts).to_contain_text("Deleted.")
    await expect(reporter.messages.filter(has_text="Message deleted")).to_be_visible()
    await about_message.get_by_role("button", name="Resolve").press("Enter")
    await expect(about_message).to_have_count(0)
    await expect(app.page.get_by_role("heading", name="Moderation")).to_be_focused()
    about_post = app.page.get_by_role("article", name="A post by Bình Spammer was reported")
    await about_post.get_by_role("button", name="Dismiss").press("Enter")
    await expect(about_post).to_have_count(0)
    states = {"resolved": "message", "dismissed": "post"}
    for state, kind in states.items():
        reports = judge.list(f"/moderation/reports?limit=100&state={state}")
        assert [kind] == [each["subject"]["kind"] for each in reports if each["reporter"]["id"] == an.id]

    about_user = app.page.get_by_role("article", name="Bình Spammer was reported").filter(has_text=binh.username)
    ban = about_user.get_by_role("button", name="Ban…")
    await ban.press("Enter")
    await dialog(app).get_by_role("button", name="Ban", exact=True).press("Enter")
    await expect(dialog(app).get_by_text("Choose how long.")).to_be_visible()
    await dialog(app).get_by_role("radio", name="For a week").press("Space")
    await dialog(app).get_by_role("textbox", name="Reason").fill("Spams everyone")
    assert [] == await serious_violations(app.page)
    await dialog(app).get_by_role("button", name="Ban", exact=True).press("Enter")
    await expect(app.toasts.last).to_contain_text("Bình Spammer is banned.")
    await expect(about_user.get_by_role("button", name="End ban")).to_be_focused()
    await app.page.get_by_role("button", name="Bans").press("Enter")
    banned = dialog(app).get_by_role("listitem").filter(has_text="Bình Spammer")
    await expect(banned).to_contain_text("Spams everyone")
    assert [] == await serious_violations(app.page)
    await app.page.route("**/ban", lambda route: route.fulfill(status=503, json={"code": "unavailable"}), times=1)
    await banned.get_by_role("button", name="End ban").press("Enter")
    await expect(app.toasts.last).to_contain_text("try again")
    await expect(banned.get_by_role("button", name="End ban")).to_be_focused()
    await banned.get_by_role("button", name="End ban").press("Enter")
    await expect(banned).to_have_count(0)
    await expect(dialog(app).get_by_role("heading", name="Bans")).to_be_focused()
    await app.page.keyboard.press("Escape")
    judge.put(f"/moderation/users/{binh.id}/ban", until=None, reason="Spams everyone")
    await app.page.get_by_role("button", name="Log").press("Enter")
    await expect(dialog(app).get_by_role("listitem").nth(0)).to_contain_text("User banned")
    await expect(dialog(app).get_by_role("listitem").nth(0)).to_contain_text("Spams everyone")
    await expect(dialog(app).get_by_role("listitem").nth(1)).to_contain_text("Ban ended")
    await expect(dialog(app).get_by_role("listitem").nth(3)).to_contain_text("Report dismissed (post)")
    await expect(dialog(app).get_by_role("listitem").nth(5)).to_contain_text("Deleted (message)")
    await expect(dialog(app).get_by_role("listitem").nth(0).get_by_role("link").first).to_have_text("Bình Spammer")
    assert [] == await serious_violations(app.page)
    await dialog(app).get_by_role("button", name="End ban").press("Enter")
    await expect(app.toasts.last).to_contain_text("The ban of Bình Spammer has ended.")
    await expect(dialog(app).get_by_role("heading", name="Log")).to_be_focused()
    binh.sign_in()
    await app.page.keyboard.press("Escape")

    await app.page.get_by_role("combobox", name="Reports").select_option("dismissed")
    await expect(about_post).to_contain_text("Closed by Judge")
    await about_post.get_by_role("button", name="Reopen").press("Enter")
    await expect(about_post).to_have_count(0)
    await app.page.get_by_role("combobox", name="Reports").select_option("open")
    await expect(about_post.get_by_role("button", name="Resolve")).to_be_visible()

    await reporter.goto("/#/moderation")
    await expect(reporter.page.get_by_role("alert")).to_have_text("You do not have permission to do this.")
    await reporter.page.get_by_role("button", name="You").click()
    await expect(dialog(reporter).get_by_text("This device")).to_be_visible()
    await expect(dialog(reporter).get_by_role("link", name="Moderation")).to_have_count(0)


async def test_the_log_names_roles_in_the_language_of_the_reader(open_app: OpenApp, create_user: CreateUser) -> None:
    judge = create_user("Judge")
    await set_moderator(judge.server.pid, judge.username)
    app = await open_app(judge, goto=False, locale="vi-VN")
    await app.goto("/#/moderation")
    await app.page.get_by_role("button", name="Nhật ký").click()
    granted = dialog(app).get_by_role("listitem").filter(has=app.page.get_by_role("link", name="Judge")).first
    await expect(granted).to_contain_text("Đã cấp vai trò")
    await expect(granted).to_contain_text("Người kiểm duyệt")
