"""Waiting for what a page computes."""

import asyncio
from typing import Any

from playwright.async_api import Page

TIMEOUT = 15.0
INTERVAL = 0.05


async def wait_until(page: Page, expression: str, arg: Any = None) -> None:
    """Wait until a JavaScript expression, or a function of `arg`, is true in the page.

    Not `Page.wait_for_function`: what is not true at once, it evaluates again in a way that the page's
    Content-Security-Policy forbids.
    """
    async with asyncio.timeout(TIMEOUT):
        while not await page.evaluate(expression, arg):
            await asyncio.sleep(INTERVAL)
