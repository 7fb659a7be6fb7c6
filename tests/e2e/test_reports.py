"""Reporting users and what they have written."""

from playwright.async_api import Locator, expect

from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp
from tests.protocol.moderator import set_moderator

THANKS = "Thank you. The moderators will look into it."


def dialog(app: AppPage) -> Locator:
    return app.page.get_by_role("dialog")


async def send_report(app: AppPage, title: str) -> None:
    """Send the report whose dialog is open, and close the toast that thanks for it."""
    await expect(dialog(app).get_by_role("heading", name=title)).to_be_visible()
    await dialog(app).get_by_role("radio", name="Spam").check()
    await dialog(app).get_by_role("button", name="Send report").click()
    await expect(dialog(app)).to_have_count(0)
    await app.toasts.filter(has_text=THANKS).get_by_role("button", name="Close").click()
    await expect(app.toasts).to_have_count(0)


async def test_whatever_others_write_is_reported_from_its_menu(open_app: OpenApp, create_user: CreateUser) -> None:
    """Reporting it again is thanked for, too; nobody reports their own."""
    an, binh, judge = create_user("An"), create_user("Bình"), create_user("Judge")
    direct = an.create_conversation(binh)
    message = binh.send_message(direct, "Buy this")["id"]
    an.send_message(direct, "No thanks")
    post = binh.post("/posts", content="Buy this, everyone")["id"]
    comment = binh.comment(post, "Really, buy it")["id"]
    app = await open_app(an)
    await app.open_conversation("Bình")
    for _ in range(2):
        await app.choose_action("Buy this", "Report…")
        await send_report(app, "Report message")
    await app.message("No thanks").get_by_role("button", name="Message actions").click()
    await expect(app.page.get_by_role("menuitem", name="Delete")).to_be_visible()
    await expect(app.page.get_by_role("menuitem", name="Report")).to_have_count(0)
    await app.page.keyboard.press("Escape")
    await app.page.get_by_role("button", name="Chat options").click()
    await app.page.get_by_role("menuitem", name="Report Bình…").click()
    await send_report(app, "Report Bình")
    await app.goto(f"/#/posts/{post}")
    for kind in ("Post", "Comment"):
        await app.page.get_by_role("button", name=f"{kind} actions").click()
        await app.page.get_by_role("menuitem", name="Report…").click()
        await send_report(app, f"Report {kind.lower()}")
    await set_moderator(judge.server.pid, judge.username)
    reports = judge.list("/moderation/reports?limit=100")
    assert [("comment", comment), ("post", post), ("user", binh.id), ("message", message)] == [
        (report["subject"]["kind"], report["subject"]["id"]) for report in reports if report["reporter"]["id"] == an.id
    ]


async def test_a_report_is_written_with_the_keyboard(open_app: OpenApp, create_user: CreateUser) -> None:
    """On a phone, in Vietnamese. It needs a reason; a failure is shown, and loses nothing."""
    an, binh, judge = create_user("An"), create_user("Bình"), create_user("Judge")
    app = await open_app(an, goto=False, locale="vi-VN", viewport={"width": 320, "height": 640})
    await app.goto(f"/#/users/{binh.id}")
    opener = app.page.get_by_role("button", name="Báo cáo Bình…")
    await opener.press("Enter")
    assert await app.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await dialog(app).locator(".body").evaluate("element => element.scrollWidth <= element.clientWidth")
    send = dialog(app).get_by_role("button", name="Gửi báo cáo")
    await send.press("Enter")
    await expect(dialog(app).get_by_text("Hãy chọn một lý do.")).to_be_visible()
    await expect(dialog(app).get_by_role("radio").first).to_be_focused()
    await app.page.keyboard.press("ArrowDown")
    await expect(dialog(app).get_by_role("radio", name="Lăng mạ hoặc quấy rối")).to_be_checked()
    await expect(dialog(app).get_by_text("Hãy chọn một lý do.")).to_have_count(0)
    note = dialog(app).get_by_role("textbox", name="Ghi chú (không bắt buộc)")
    await note.fill("Gọi tôi là kẻ ngốc")
    await app.page.context.set_offline(True)
    await send.press("Enter")
    await expect(dialog(app).get_by_role("alert")).to_have_text("Không thể kết nối với máy chủ. Vui lòng thử lại.")
    await app.page.context.set_offline(False)
    await send.press("Enter")
    await expect(app.toasts).to_contain_text("Cảm ơn bạn. Người kiểm duyệt sẽ xem xét.")
    await expect(opener).to_be_focused()
    await set_moderator(judge.server.pid, judge.username)
    reports = [each for each in judge.list("/moderation/reports?limit=100") if each["reporter"]["id"] == an.id]
    assert [("abuse", "Gọi tôi là kẻ ngốc")] == [(report["reason"], report["note"]) for report in reports]
