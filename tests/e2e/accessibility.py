"""Automated accessibility checks with axe-core."""

from axe_playwright_python.async_playwright import Axe
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


async def serious_violations(page: Page) -> list[str]:
    """Return a description of each element that violates a rule with serious or critical impact.

    Waits for running animations: while an element fades in, axe would measure the contrast of a frame in between.
    """
    await page.evaluate(ANIMATIONS_FINISHED)
    violations = (await Axe().run(page)).response["violations"]
    return [
        f"{violation['id']}: {violation['help']}: {node['html'][:200]} {node['any']}"
        for violation in violations
        if violation["impact"] in ("serious", "critical")
        for node in violation["nodes"]
    ]
