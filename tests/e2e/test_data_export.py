"""The export of the user's data in the app."""

import json
from pathlib import Path

from playwright.async_api import expect

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import CreateUser, OpenApp


async def test_the_data_are_downloaded_as_a_file(open_app: OpenApp, create_user: CreateUser, tmp_path: Path) -> None:
    """By keyboard."""
    user = create_user("An")
    app = await open_app(user)
    await app.page.get_by_role("button", name="You").click()
    section = app.page.get_by_role("region", name="Your data")
    async with app.page.expect_download() as downloading:
        await section.get_by_role("button", name="Download my data").press("Enter")
    download = await downloading.value
    assert "loa-export.ndjson" == download.suggested_filename
    await download.save_as(tmp_path / "export")
    lines = [json.loads(line) for line in (tmp_path / "export").read_text().splitlines()]
    assert ["profile", "session", "preferences"] == [line["kind"] for line in lines]
    assert user.username == lines[0]["data"]["username"]
    await expect(app.page.get_by_text("Your data is downloaded.")).to_be_visible()
    assert [] == await serious_violations(app.page)
