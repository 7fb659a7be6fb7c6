"""Webhooks, as other implementations of Standard Webhooks verify them: npm's, and the one for Python."""

import base64
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.conftest import SECRET, Datastores
from tests.interop.test_clients import Client, User, running_client
from tests.running import CHEAP_HASHES, running

pytestmark = pytest.mark.scenario

REDIS = 8
"""Number of a Redis database that nothing else uses."""


def new_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(24)).decode()


@pytest.fixture
def secret() -> str:
    return new_secret()


@asynccontextmanager
async def receiving(folder: Path, secret: str) -> AsyncIterator[tuple[Client, str]]:
    """Yield a receiver that verifies with `secret`, and its address."""
    async with running_client(folder, ["node", "webhooks.js"], secret) as receiver:
        port = (await receiver.until_type("listening"))["port"]
        yield receiver, f"http://127.0.0.1:{port}/hooks"


@asynccontextmanager
async def posting(datastores: Datastores, log: Path, url: str, secrets: str) -> AsyncIterator[User]:
    """Yield a user of a server that posts to `url`."""
    environment = {
        "MONGODB_URI": datastores.database(f"webhooks_{uuid4().hex}"),
        "REDIS_URL": datastores.redis_database(REDIS),
        "JWT_SECRET": SECRET,
        "RATE_LIMITS": "off",
        "WEBHOOK_URL": url,
        "WEBHOOK_SECRET": secrets,
        "WEBHOOK_PRIVATE": "on",
        **CHEAP_HASHES,
    }
    with running(environment, log) as server:
        async with httpx.AsyncClient(base_url=server.url + "/api/v1") as http:
            yield await User.register(http)


async def test_two_implementations_verify_what_is_sent(
    node_folder: Path, datastores: Datastores, tmp_path: Path, secret: str
) -> None:
    """The same request, read by each; and neither with another body or another secret."""
    async with (
        receiving(node_folder, secret) as (receiver, url),
        posting(datastores, tmp_path / "log", url, secret) as user,
    ):
        post = await user.post("/posts", {"content": "“Chào” 👋"})
        found = await receiver.until(lambda event: event.get("event", {}).get("type") == "post.created")
    assert post["id"] == found["event"]["data"]["id"]
    assert f"post_created_{post['id']}" == found["headers"]["webhook-id"]
    assert found["event"] == Webhook(secret).verify(found["body"], found["headers"])
    for verifier, body in [(Webhook(secret), found["body"] + " "), (Webhook(new_secret()), found["body"])]:
        with pytest.raises(WebhookVerificationError):
            verifier.verify(body, found["headers"])


async def test_a_receiver_verifies_with_either_of_two_secrets(
    node_folder: Path, datastores: Datastores, tmp_path: Path, secret: str
) -> None:
    """While the secret is being changed; with a third one it refuses."""
    secrets = (new_secret(), secret)
    for known, outcome in [*((each, "verified") for each in secrets), (new_secret(), "refused")]:
        async with (
            receiving(node_folder, known) as (receiver, url),
            posting(datastores, tmp_path / f"log-{outcome}", url, ",".join(secrets)),
        ):
            found = await receiver.until(lambda event: event["type"] in ("verified", "refused"))
            assert outcome == found["type"]
            assert 2 == len(found["headers"]["webhook-signature"].split())
