"""The app in English and Vietnamese."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, OpenApp
from tests.e2e.user import PASSWORD


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [("vi-VN", "vi-VN", "Đăng nhập"), ("en-US", "en-US", "Sign in"), ("fr-FR", "en", "Sign in")],
)
async def test_the_browsers_language_is_used(open_app: OpenApp, locale: str, language: str, title: str) -> None:
    """English is used if the browser's language is not supported."""
    app = await open_app(locale=locale)
    await expect(app.page.get_by_role("heading", name=title)).to_be_visible()
    assert language == await app.page.evaluate("document.documentElement.lang")


async def test_labels_counts_times_and_errors_are_vietnamese(open_app: OpenApp, create_user: CreateUser) -> None:
    an, binh = create_user("An"), create_user("Bình")
    conversation = an.create_conversation(binh)
    binh.send_message(conversation, "Chào An")
    app = await open_app(locale="vi-VN")
    page = app.page
    await page.get_by_label("Tên đăng nhập").fill(an.username)
    await page.get_by_label("Mật khẩu").fill("sai mật khẩu")
    await page.get_by_role("button", name="Đăng nhập").click()
    await expect(page.get_by_role("alert")).to_have_text("Sai tên đăng nhập hoặc mật khẩu.")
    await page.get_by_label("Mật khẩu").fill(PASSWORD)
    await page.get_by_role("button", name="Đăng nhập").click()
    row = page.get_by_role("navigation", name="Trò chuyện").get_by_role("link").filter(has_text="Bình")
    await expect(row).to_contain_text("1 chưa đọc")
    await row.click()
    await expect(page.locator(".day")).to_have_text("Hôm nay")
    await page.get_by_role("textbox", name="Tin nhắn gửi Bình").fill("Chào Bình")
    await page.keyboard.press("Enter")
    await expect(app.message("Chào Bình")).to_contain_text("Đã gửi")


async def test_another_language_can_be_chosen(open_app: OpenApp, create_user: CreateUser) -> None:
    """The device keeps it, also for who signs in next."""
    app = await open_app(create_user("An"))
    await app.nav_bar.get_by_role("button", name="You").click()
    await app.page.get_by_label("Language").select_option("Tiếng Việt")
    await expect(app.page.get_by_text("Chưa có cuộc trò chuyện nào")).to_be_visible()
    assert "vi" == await app.page.evaluate("document.documentElement.lang")
