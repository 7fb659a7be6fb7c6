"""The documents hold what they promise: links lead somewhere, named files exist, pasted commands work."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.running import ROOT, Server

DOCUMENTS = sorted(
    file.relative_to(ROOT).as_posix()
    for folder in (ROOT, ROOT / ".github", ROOT / "config", ROOT / "service", ROOT / "tests")
    for file in (folder.glob("*.md") if folder in (ROOT, ROOT / ".github") else folder.rglob("*.md"))
    if "node_modules" not in file.parts
)
MAX_WORDS = {"README.md": 1500, "config/examples/README.md": 600}
SUFFIXES = "py|js|mjs|c|conf|json|md|yaml|service|txt|css|html"


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


@pytest.mark.parametrize("document", MAX_WORDS)
def test_what_newcomers_read_first_stays_short(document: str) -> None:
    assert len(text_of(document).split()) < MAX_WORDS[document]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_of_the_repository(document: str) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text_of(document))
    missing = {
        target
        for target in targets
        if not target.startswith(("http://", "https://")) and not ((ROOT / document).parent / target).exists()
    }
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_file_that_a_document_names_exists(document: str) -> None:
    """A path in backticks is relative to the document or to the root."""
    names = re.findall(rf"`((?:[\w.-]+/)+[\w.-]+\.(?:{SUFFIXES}))(?:::[\w:]+)?`", text_of(document))
    missing = {name for name in names if not ((ROOT / document).parent / name).exists() and not (ROOT / name).exists()}
    assert not missing


def test_the_minute_with_it_works_as_pasted(server: Server, tmp_path: Path) -> None:
    """Two people, a post, a comment: the author's stream shows the notification and the new count."""
    section = text_of("README.md").partition("## A minute with it")[2]
    commands = re.search(r"```sh\n(.*?)```", section, re.DOTALL)
    assert commands
    script = commands[1].replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "event: hello" in done.stdout, done.stderr
    assert '"type":"NEW_COMMENT"' in done.stdout
    assert re.search(r'event: unread_count\ndata: {"unread_count":1', done.stdout)
