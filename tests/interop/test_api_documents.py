"""The OpenAPI and AsyncAPI documents, as the tools judge them that other people will read them with."""

import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.running import Server

pytestmark = pytest.mark.scenario

ACCEPTED = {"info-license", "operation-2xx-response"}
"""Redocly's rules whose warnings are accepted: the licence stands in the repository, and a WebSocket answers 101."""
AMBIGUOUS = "resolves to more than one schema"
"""Redocly takes the `id` of two examples for that of a schema. tests/test_documents.py checks the examples."""
INFORMATION = 2
"""The severity of the AsyncAPI parser's advice; errors have 0, warnings 1."""


def fetch(server: Server, path: str, folder: Path) -> Path:
    document = folder / Path(path).name
    document.write_bytes(httpx.get(server.url + path).raise_for_status().content)
    return document


def run(folder: Path, *command: str) -> str:
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    completed = subprocess.run(
        command, check=False, cwd=folder, env={**os.environ, **quiet}, stdout=subprocess.PIPE, text=True, timeout=120
    )
    assert 0 == completed.returncode, completed.stdout
    return completed.stdout


def test_redocly_finds_no_error_in_the_openapi_document(server: Server, node_folder: Path, tmp_path: Path) -> None:
    document = fetch(server, "/docs/openapi.json", tmp_path)
    report = json.loads(run(node_folder, "npx", "redocly", "lint", "--format=json", str(document)))
    assert {"errors": 0, "warnings": len(report["problems"]), "ignored": 0} == report["totals"]
    others = [
        (problem["ruleId"], problem["location"][0].get("pointer"), problem["message"])
        for problem in report["problems"]
        if problem["ruleId"] not in ACCEPTED and AMBIGUOUS not in problem["message"]
    ]
    assert [] == others


def test_the_official_parser_accepts_the_asyncapi_document(server: Server, node_folder: Path, tmp_path: Path) -> None:
    document = fetch(server, "/asyncapi.json", tmp_path)
    parsed = json.loads(run(node_folder, "node", "asyncapi.js", str(document)))
    assert [] == [problem for problem in parsed["diagnostics"] if problem["severity"] < INFORMATION]
    assert parsed["channels"] == list(json.loads(document.read_text())["channels"])
