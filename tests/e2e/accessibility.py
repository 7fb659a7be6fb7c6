"""Automated accessibility checks with axe-core."""

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page


async def serious_violations(page: Page) -> list[str]:
    """Return a description of each element that violates a rule with serious or critical impact."""
    violations = (await Axe().run(page)).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node['any']}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
