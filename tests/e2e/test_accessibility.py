"""The accessibility check itself."""

import pytest

from tests.e2e.accessibility import serious_violations
from tests.e2e.conftest import OpenApp

PAGE = """<!doctype html><html lang="en"><title>Fading</title>
<style>
  @keyframes fade {{ from {{ opacity: 0.2 }} }}
  @keyframes pulse {{ to {{ outline-width: 3px }} }}
  p {{ animation: fade 1500ms steps(1, end) }}
  hr {{ animation: pulse 300ms infinite }}
</style>
<main><h1>Fading</h1><hr><p style="color: {color}">This text fades in.</p></main>"""


@pytest.mark.parametrize(("color", "rules"), {"black": [], "#bbb": ["color-contrast"]}.items())
async def test_contrast_is_measured_once_a_fade_has_finished(open_app: OpenApp, color: str, rules: list[str]) -> None:
    """An animation without an end is not waited for."""
    page = (await open_app(goto=False)).page
    await page.set_content(PAGE.format(color=color))
    assert rules == [violation.partition(":")[0] for violation in await serious_violations(page)]
