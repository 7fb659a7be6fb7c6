"""Automated accessibility checks with axe-core."""

from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.async_api import Page

ANIMATIONS_FINISHED = """async () => {
  const nextFrame = () => new Promise(requestAnimationFrame);
  await nextFrame();
  await nextFrame();
  const isRunning = animation =>
    animation.playState === "running" && animation.effect.getComputedTiming().endTime !== Infinity;
  for (let running; (running = document.getAnimations().filter(isRunning)).length > 0; ) {
    await Promise.allSettled(running.map(animation => animation.finished));
  }
}"""
"""Resolves when no animation or transition that comes to an end is running, nor one that has started meanwhile.

Transitions begin with the frame after the change.
"""


RESULTS: dict[str, Any] = {"resultTypes": ["violations"]}
COLOUR_RULES: dict[str, Any] = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""The rules of axe's category `cat.color` that are enabled by default."""


async def serious_violations(page: Page, *, only_colours: bool = False) -> list[str]:
    """Return a description of each element that violates a rule with serious or critical impact.

    `only_colours`: check only the rules about colours, on a page that was checked in another theme. Waits for running
    animations: while an element fades in, axe would measure the contrast of a frame in between.
    """
    await page.evaluate(ANIMATIONS_FINISHED)
    options = RESULTS | (COLOUR_RULES if only_colours else {})
    # Once in each document: to load axe takes longer than to run it.
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(f"{AXE_SCRIPT};0")
    violations = await page.evaluate("async options => (await axe.run(options)).violations", options)
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node['any']}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
