"""The routes of subscriptions: what is accepted, what replaces what, and what ends a subscription."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from bson import ObjectId

from service.accounts.sessions import SessionStore
from service.common.times import now
from service.datastores.mongo import Mongo
from service.push.hosts import PushHosts
from service.push.subscription_store import MAX_PER_USER, SubscriptionStore
from service.push.subscriptions import SubscriptionService
from service.push.vapid_store import VapidStore
from tests.push.browser import Browser, decoded, encoded
from tests.rest import RestClient, client
from tests.webhooks.test_service import User, register

__all__ = ["client"]

ENDPOINT = "https://fcm.googleapis.com/fcm/send/"
PASSWORD = "correct horse battery"


@pytest.fixture
def service(mongo: Mongo) -> SubscriptionService:
    """What another process has."""
    stores = SubscriptionStore(mongo.database), VapidStore(mongo.database), SessionStore(mongo.database)
    return SubscriptionService(*stores, PushHosts(["fcm.googleapis.com"]))


async def stored(mongo: Mongo, **where: Any) -> list[str]:
    """The endpoints that are stored, without what they have in common, the oldest first."""
    found = await mongo.database["push_subscriptions"].find(where).sort("created_at", 1).to_list(None)
    return [each["endpoint"].removeprefix(ENDPOINT) for each in found]


async def active(service: SubscriptionService, mongo: Mongo, user: User) -> list[str]:
    """The user's endpoints that would be pushed to."""
    found = await SubscriptionStore(mongo.database).of_users([user.id])
    return [each.endpoint.removeprefix(ENDPOINT) for each in await service.active(found)]


async def subscribe(user: User, name: str = "a") -> None:
    assert {"endpoint": ENDPOINT + name} == await user.call(
        "POST", "/push/subscriptions", **Browser().subscription(ENDPOINT + name)
    )


async def login(client: RestClient, username: str) -> tuple[User, dict[str, Any]]:
    answer = (await client.post("/api/v1/auth/login", json={"username": username, "password": PASSWORD})).json()
    return User(client, answer), answer


async def test_the_key_is_a_point_on_the_curve(client: RestClient) -> None:
    anna = await register(client, "anna")
    key = (await anna.call("GET", "/push/key"))["public_key"]
    assert (65, b"\4") == (len(decoded(key)), decoded(key)[:1])
    assert {"public_key": key} == await anna.call("GET", "/push/key")


async def test_a_subscription_is_stored_and_ended(client: RestClient, mongo: Mongo) -> None:
    """Ending one that is not there, or somebody else's, changes nothing."""
    anna, ben = await register(client, "anna"), await register(client, "ben")
    await subscribe(anna, "a")
    await ben.call("DELETE", "/push/subscriptions", endpoint=ENDPOINT + "a")
    await anna.call("DELETE", "/push/subscriptions", endpoint=ENDPOINT + "b")
    assert ["a"] == await stored(mongo)
    await anna.call("DELETE", "/push/subscriptions", endpoint=ENDPOINT + "a")
    assert [] == await stored(mongo)


async def test_the_same_endpoint_again_replaces(client: RestClient, mongo: Mongo) -> None:
    """Also if somebody else signs in with the browser: the first one gets no more pushes there."""
    anna, ben = await register(client, "anna"), await register(client, "ben")
    for _ in range(2):
        await subscribe(anna)
    assert ["a"] == await stored(mongo, user_id=ObjectId(anna.id))
    await subscribe(ben)
    assert ["a"] == await stored(mongo, user_id=ObjectId(ben.id))
    assert [] == await stored(mongo, user_id=ObjectId(anna.id))


async def test_a_subscription_ends_when_its_push_service_is_no_longer_known(
    client: RestClient, mongo: Mongo, service: SubscriptionService
) -> None:
    """`PUSH_HOSTS` was narrowed."""
    anna = await register(client, "anna")
    await subscribe(anna)
    assert ["a"] == await active(service, mongo, anna)
    stores = SubscriptionStore(mongo.database), VapidStore(mongo.database), SessionStore(mongo.database)
    assert [] == await active(SubscriptionService(*stores, PushHosts(["push.example.com"])), mongo, anna)
    assert [] == await stored(mongo)


async def test_the_oldest_of_too_many_goes(client: RestClient, mongo: Mongo) -> None:
    """Not anybody else's. One that was replaced is new again."""
    anna, ben = await register(client, "anna"), await register(client, "ben")
    await subscribe(ben, "ben")
    for number in range(MAX_PER_USER):
        await subscribe(anna, str(number))
    await subscribe(anna, "0")
    await subscribe(anna, "more")
    kept = [str(number) for number in range(2, MAX_PER_USER)]
    assert [*kept, "0", "more"] == await stored(mongo, user_id=ObjectId(anna.id))
    assert ["ben"] == await stored(mongo, user_id=ObjectId(ben.id))


def _changed(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(body: dict[str, Any]) -> dict[str, Any]:
        keys = body["keys"] | changes.pop("keys", {})
        return body | changes | {"keys": keys}

    return change


NOT_ON_CURVE = b"\4" + b"\1" * 64
WRONG: list[tuple[str, Callable[[dict[str, Any]], Any]]] = [
    ("endpoint", lambda body: {name: value for name, value in body.items() if name != "endpoint"}),
    ("endpoint", _changed(endpoint="")),
    ("endpoint", _changed(endpoint=5)),
    ("endpoint", _changed(endpoint="http://fcm.googleapis.com/x")),
    ("endpoint", _changed(endpoint="https://10.0.0.1/x")),
    ("endpoint", _changed(endpoint="https://localhost/x")),
    ("endpoint", _changed(endpoint="https://example.org/x")),
    ("endpoint", _changed(endpoint=ENDPOINT + "x" * 2048)),
    ("keys", lambda body: {name: value for name, value in body.items() if name != "keys"}),
    ("keys.auth", _changed(keys={"auth": encoded(b"x" * 15)})),
    ("keys.auth", _changed(keys={"auth": encoded(b"x" * 17)})),
    ("keys.auth", _changed(keys={"auth": "not base64 at all!!!!!"})),
    ("keys.auth", _changed(keys={"auth": 16})),
    ("keys.p256dh", _changed(keys={"p256dh": encoded(NOT_ON_CURVE)})),
    ("keys.p256dh", _changed(keys={"p256dh": encoded(b"\4" + b"\0" * 64)})),
    ("keys.p256dh", _changed(keys={"p256dh": encoded(b"\0")})),
    ("keys.p256dh", _changed(keys={"p256dh": encoded(Browser().public_key[:33])})),
    ("keys.p256dh", _changed(keys={"p256dh": "A" * 10_000})),
    ("keys.more", _changed(keys={"more": "x"})),
    ("more", _changed(more="x")),
    ("expirationTime", _changed(expirationTime="soon")),
    ("expirationTime", _changed(expirationTime=-1)),
    ("expirationTime", _changed(expirationTime=1e300)),
]


async def test_what_is_not_a_subscription_is_refused(client: RestClient, mongo: Mongo) -> None:
    anna = await register(client, "anna")
    for number, (field, change) in enumerate(WRONG):
        body = change(Browser().subscription(ENDPOINT + "a"))
        response = await client.post("/api/v1/push/subscriptions", json=body, headers=anna._headers)
        assert 422 == response.status_code, (number, field, response.text)
        assert {field} == {error["field"] for error in response.json()["errors"]}, (number, field)
    assert [] == await stored(mongo)


async def test_padding_and_an_expiration_time_are_accepted(client: RestClient, mongo: Mongo) -> None:
    """Libraries differ in the one, browsers in the other."""
    anna = await register(client, "anna")
    body = Browser().subscription(ENDPOINT + "a") | {"expirationTime": 1_800_000_000_000}
    body["keys"] = {name: value + "=" * (-len(value) % 4) for name, value in body["keys"].items()}
    await anna.call("POST", "/push/subscriptions", **body)
    assert ["a"] == await stored(mongo)


async def test_a_subscription_ends_with_its_session(
    client: RestClient, mongo: Mongo, service: SubscriptionService
) -> None:
    """By signing out, being signed out from elsewhere, and a new password; the others of the user stay."""
    anna = await register(client, "anna")
    await subscribe(anna, "stays")
    ended = [(await login(client, "anna"))[0] for _ in range(2)]
    for number, device in enumerate(ended):
        await subscribe(device, str(number))
    other, _ = await login(client, "anna")
    await subscribe(other, "other")
    assert {"stays", "0", "1", "other"} == set(await active(service, mongo, anna))

    await ended[0].call("POST", "/auth/logout")
    assert {"stays", "1", "other"} == set(await active(service, mongo, anna))
    sessions = await mongo.database["push_subscriptions"].find({"endpoint": ENDPOINT + "1"}).to_list(None)
    await anna.call("DELETE", f"/auth/sessions/{sessions[0]['session_id']}")
    assert {"stays", "other"} == set(await active(service, mongo, anna))
    await anna.call("POST", "/auth/password", current_password=PASSWORD, new_password="another good battery")
    assert ["stays"] == await active(service, mongo, anna)
    # What was found to be over is not stored any more.
    assert ["stays"] == await stored(mongo)


async def test_retention_deletes_what_nobody_pushes_to(
    client: RestClient, mongo: Mongo, service: SubscriptionService
) -> None:
    anna, ben = await register(client, "anna"), await register(client, "ben")
    await subscribe(anna, "a")
    await subscribe(ben, "b")
    await anna.call("POST", "/auth/logout")
    assert [1, 0] == [await service.delete_ended() for _ in range(2)]
    assert ["b"] == await stored(mongo)
    assert 0 == await service.delete_ended()
    assert ["b"] == await stored(mongo)


async def test_a_session_from_outside_outlasts_its_token(mongo: Mongo) -> None:
    """One of Loa's own, and one that is revoked, do not last longer for it."""
    sessions = SessionStore(mongo.database)
    moment = now()
    user, kept, revoked = (str(ObjectId()) for _ in range(3))
    for session in (kept, revoked):
        await sessions.add_external(session, user, moment + timedelta(minutes=1), "")
    await sessions.revoke(revoked, user)
    until = moment + timedelta(days=365)
    for session in (kept, revoked, str(ObjectId())):
        await sessions.keep_external(session, user, until)
    ends = {
        str(each["_id"]): each["expires_at"]
        async for each in mongo.database["sessions"].find({"user_id": ObjectId(user)})
    }
    assert {kept, revoked} == ends.keys()
    assert abs(ends[kept] - until) < timedelta(seconds=1)
    assert ends[revoked] < until - timedelta(days=1)
