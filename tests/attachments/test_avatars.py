"""Avatars that users upload."""

import asyncio
from datetime import timedelta

from service.common.times import now
from service.datastores.mongo import Mongo
from service.services import Services
from tests.attachments.conftest import encoded, photo, upload
from tests.attachments.test_messages import empty
from tests.notifications.api_user import ApiUser
from tests.rest import RestClient


async def test_an_uploaded_image_becomes_the_avatar_that_everyone_sees(
    client: RestClient, services: Services, emptied: Mongo
) -> None:
    """By a URL without a token. The next one replaces it, and its file is deleted; so is the last one."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    first, second = [await upload(ann, encoded(photo(width), "PNG")) for width in (60, 600)]
    assert 404 == (await client.get(f"/api/v1/attachments/{first['id']}/avatar")).status_code
    profile = await ann.call("patch", "/users/me", 200, json={"avatar": first["url"]})
    assert f"/api/v1/attachments/{first['id']}/avatar" == profile["avatar"]
    assert profile["avatar"] == (await bob.call("get", f"/users/{ann.id}", 200))["avatar"]
    image = await client.get(profile["avatar"])
    assert (200, "image/webp") == (image.status_code, image.headers["content-type"])
    assert "public, max-age=86400, immutable" == image.headers["cache-control"]
    assert ("nosniff", "sandbox") == tuple(
        image.headers[name] for name in ("x-content-type-options", "content-security-policy")
    )
    # What is used is kept, also with the URL that the profile has; what it replaces is not.
    await emptied.database.attachments.update_many({}, {"$set": {"expires_at": now() - timedelta(hours=1)}})
    await services.attachments.sweep()
    assert 404 == (await client.get(second["url"])).status_code
    assert profile == await ann.call("patch", "/users/me", 200, json={"avatar": profile["avatar"]})
    third = await upload(ann, encoded(photo(), "PNG"))
    changed = await ann.call("patch", "/users/me", 200, json={"avatar": third["thumbnail_url"]})
    assert 404 == (await client.get(profile["avatar"])).status_code
    assert 200 == (await client.get(changed["avatar"])).status_code
    await ann.call("patch", "/users/me", 200, json={"avatar": None})
    assert 404 == (await client.get(changed["avatar"])).status_code
    async with asyncio.timeout(10):
        while not await empty(emptied):
            await asyncio.sleep(0.01)


async def test_others_see_neither_the_file_itself_nor_its_name(client: RestClient) -> None:
    """An avatar is small; the photo may show more."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    image = await upload(ann, encoded(photo(600), "PNG"), "Ann-at-home.png")
    profile = await ann.call("patch", "/users/me", 200, json={"avatar": image["url"]})
    for path in (f"/attachments/{image['id']}", f"/attachments/{image['id']}/thumbnail"):
        assert 404 == (await bob.request("get", path)).status_code
        assert 200 == (await ann.request("get", path)).status_code
    public = await client.get(profile["avatar"])
    assert 'inline; filename="avatar.webp"' == public.headers["content-disposition"]


async def test_only_an_own_unused_image_becomes_an_avatar(client: RestClient) -> None:
    """An attachment of a message is no avatar, and an avatar no attachment."""
    ann, bob = [await ApiUser.register(client) for _ in range(2)]
    image, used = [await upload(ann, encoded(photo(), "PNG")) for _ in range(2)]
    text = await upload(ann, b"x")
    post = await ann.call("post", "/posts", 201, json={"content": "", "attachments": [used["id"]]})
    for user, file in ((bob, image), (ann, used), (ann, text), (ann, {"url": f"/api/v1/attachments/{'0' * 24}"})):
        problem = await user.call("patch", "/users/me", 422, json={"avatar": file["url"]})
        assert "avatar" == problem["errors"][0]["field"]
    assert [used["id"]] == [each["id"] for each in post["attachments"]]
    assert 404 == (await client.get(f"/api/v1/attachments/{used['id']}/avatar")).status_code
    await ann.call("patch", "/users/me", 200, json={"avatar": image["url"]})
    await ann.call("post", "/posts", 422, json={"content": "", "attachments": [image["id"]]})
    for url in ("/api/v1/attachments/x", "/api/v1/users", f"//evil.example/api/v1/attachments/{image['id']}"):
        await ann.call("patch", "/users/me", 422, json={"avatar": url})
