"""Generators of clients accept the OpenAPI document, and what they generate works with the server."""

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import BaseModel, RootModel

from tests.running import ROOT, Server

pytestmark = pytest.mark.scenario

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def document(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("document") / "openapi.json"
    file.write_bytes(httpx.get(f"{server.url}/docs/openapi.json").raise_for_status().content)
    return file


def run(folder: Path, *command: str) -> str:
    """Run `command` in `folder`; fail with its output if it fails. Return the output."""
    done = subprocess.run(
        command, check=False, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120
    )
    assert 0 == done.returncode, done.stdout
    return done.stdout


def test_openapi_typescript_generates_types_that_a_strict_program_can_use(document: Path, node_folder: Path) -> None:
    run(node_folder, "npx", "openapi-typescript", str(document), "--output", "api.d.ts")
    strict = ("--noEmit", "--strict", "--target", "es2022", "--module", "nodenext")
    run(node_folder, "npx", "tsc", *strict, "use-api.ts", "api.d.ts")


def test_openapi_python_client_generates_a_client_that_chats(
    document: Path, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the line of the README. It warns of every operation and schema that it leaves out."""
    overrides = re.search(r"^content_type_overrides: .+$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert overrides
    config = tmp_path / "config.yaml"
    # Its formatters are of no use here.
    config.write_text(f"package_name_override: generated_loa_client\npost_hooks: []\n{overrides[0]}\n")
    options = ("--meta", "none", "--output-path", "generated_loa_client", "--config", str(config), "--fail-on-warning")
    run(tmp_path, sys.executable, "-m", "openapi_python_client", "generate", "--path", str(document), *options)
    monkeypatch.syspath_prepend(tmp_path)
    client = importlib.import_module("generated_loa_client")
    models: Any = importlib.import_module("generated_loa_client.models")

    def call(name: str, client: Any, *path: str, **more: Any) -> Any:
        answer = importlib.import_module(f"generated_loa_client.api.{name}").sync(*path, client=client, **more)
        assert answer is not None
        assert not isinstance(answer, models.Problem), answer
        return answer

    with client.Client(base_url=server.url) as anonymous:
        ann, binh = (
            call("auth.auth_register", anonymous, body=models.Register(username=name, password=PASSWORD))
            for name in (f"g{uuid4().hex[:20]}", f"g{uuid4().hex[:20]}")
        )
    with client.AuthenticatedClient(base_url=server.url, token=ann.access_token) as authenticated:
        body = models.NewConversation(participant_ids=[binh.user.id])
        conversation = call("chat.chat_create_conversation", authenticated, body=body)
        sent = call("chat.chat_send_message", authenticated, conversation.id, body=models.NewMessage(content="Chào!"))
        page = call("chat.chat_list_messages", authenticated, conversation.id)
    assert [("Chào!", 1, None)] == [(each.content, each.seq, each.edited_at) for each in page.items]
    assert [sent] == page.items


def test_datamodel_code_generator_generates_models_that_accept_every_example(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel", "--strict-nullable")
    output = ("--input", str(document), "--output", "generated_loa_models.py")
    run(tmp_path, sys.executable, "-m", "datamodel_code_generator", *output, *options)
    monkeypatch.syspath_prepend(tmp_path)
    models = importlib.import_module("generated_loa_models")
    schemas = json.loads(document.read_text())["components"]["schemas"]
    assert len(schemas) > 40
    for name, schema in schemas.items():
        assert component(models, name).model_validate_json(json.dumps(schema["example"])) is not None


def component(models: ModuleType, name: str) -> type[BaseModel]:
    """Return the class of a component. The generator calls it `Participant1` if the items of a field `participants`,
    with a length or pattern, have become a class `Participant`."""
    found: list[type[BaseModel]] = [getattr(models, each) for each in (name, f"{name}1") if hasattr(models, each)]
    return next((model for model in found if not issubclass(model, RootModel)), found[0])
