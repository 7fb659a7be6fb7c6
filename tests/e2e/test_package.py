"""The npm package of the client library, in two projects: TypeScript without a bundler, and Vite with React."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import CreateUser, NewPage
from tests.e2e.site import Site
from tests.e2e.user import PASSWORD
from tests.running import ROOT

pytestmark = pytest.mark.scenario

LIBRARY = ROOT / "service/web/client"
PROJECTS = ROOT / "tests/web_package"
PLAIN_PAGE = """<!doctype html>
<title>Page</title>
<script type="importmap">{"imports": {"loa-client": "SERVER/client/index.js"}}</script>
<pre id="list"></pre>
<script type="module" src="/main.js"></script>
"""


def run(folder: Path, *command: str) -> str:
    """Run `command` in `folder`; fail with its output if it fails. Return what it writes to standard output."""
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=120)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def projects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `tests/web_package` in which the packed library is installed."""
    if not shutil.which("npm"):
        if os.environ.get("CI"):
            pytest.fail("npm is missing")
        pytest.skip("npm is missing")
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(LIBRARY, folder / "client", ignore=shutil.ignore_patterns("node_modules", "types"))
    shutil.copytree(PROJECTS, folder / "projects", ignore=shutil.ignore_patterns("node_modules", "dist"))
    run(folder / "projects", "npm", "ci")
    package = run(folder, "npm", "pack", "--prefer-offline", "./client").splitlines()[-1]
    assert not (folder / "client" / "types").exists()
    run(folder / "projects", "npm", "install", "--no-save", "--offline", str(folder / package))
    return folder / "projects"


async def test_the_package_has_the_library_and_its_types_and_nothing_else(projects: Path) -> None:
    installed = projects / "node_modules" / "loa-client"
    modules = {file.stem for file in LIBRARY.glob("*.js")}
    expected = {f"{name}.js" for name in modules} | {f"types/{name}.d.ts" for name in modules}
    files = {file.relative_to(installed).as_posix() for file in installed.rglob("*") if file.is_file()}
    assert expected | {"README.md", "package.json"} == files


async def test_a_strict_typescript_page_without_a_bundler_chats(
    projects: Path, new_page: NewPage, site: Site, create_user: CreateUser
) -> None:
    run(projects, "npx", "tsc", "--project", "plain")
    an, binh = create_user("An", site.server), create_user("Bình", site.server)
    binh.send_message(binh.create_conversation(an), "before")
    site.page, site.folder = PLAIN_PAGE.replace("SERVER", site.server.url), projects / "plain" / "dist"
    page = await new_page(site.origin)
    await page.goto(f"{site.origin}/?server={site.server.url}&username={an.username}&password={PASSWORD}")
    await expect(page.locator("#list")).to_have_text("before\nfrom plain TypeScript")


async def test_a_react_component_that_vite_builds_chats(
    projects: Path, new_page: NewPage, site: Site, create_user: CreateUser
) -> None:
    run(projects, "npx", "tsc", "--project", "vite")
    run(projects, "npx", "vite", "build", "vite")
    an, binh = create_user("An", site.server), create_user("Bình", site.server)
    conversation = binh.create_conversation(an)
    binh.send_message(conversation, "before")
    site.user, site.folder = an, projects / "vite" / "dist"
    page = await new_page(site.origin)
    await page.goto(f"{site.origin}/index.html?server={site.server.url}")
    shown = page.locator("#list")
    await expect(shown).to_have_text("before")
    await page.locator("input").fill("from React")
    await page.locator("input").press("Enter")
    binh.comment(an.post("/posts", content="Look at this.")["id"], "Nice!")
    await expect(shown).to_have_text("before\nfrom React")
    await expect(page.locator("#bell")).to_have_text("🔔 1")
    await page.reload()
    await expect(shown).to_have_text("before\nfrom React")
    binh.send_message(conversation, "after")
    await expect(shown).to_have_text("before\nfrom React\nafter")
