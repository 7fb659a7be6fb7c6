"""The theme that the user chooses in place of the system's."""

from playwright.async_api import expect

from tests.e2e.app_page import AppPage
from tests.e2e.conftest import CreateUser, OpenApp

LIGHT, DARK = "rgb(247, 246, 243)", "rgb(19, 21, 20)"


async def choose(app: AppPage, theme: str) -> None:
    await app.nav_bar.get_by_role("button", name="You").click()
    await app.page.get_by_label("Theme").select_option(theme)
    await app.page.keyboard.press("Escape")


async def test_the_chosen_theme_replaces_the_systems(open_app: OpenApp, create_user: CreateUser) -> None:
    app = await open_app(create_user("An"))
    body = app.page.locator("body")
    await expect(body).to_have_css("background-color", LIGHT)
    await choose(app, "Dark")
    await expect(body).to_have_css("background-color", DARK)
    await app.page.reload()
    await expect(body).to_have_css("background-color", DARK)
    colours = "metas => metas.filter(meta => matchMedia(meta.media).matches).map(meta => meta.content)"
    assert ["#131514"] == await app.page.locator("meta[name=theme-color]").evaluate_all(colours)
    await choose(app, "Same as the system")
    await expect(body).to_have_css("background-color", LIGHT)
    await app.page.emulate_media(color_scheme="dark")
    await expect(body).to_have_css("background-color", DARK)
