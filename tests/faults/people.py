"""The people of a run, put straight into the database: thousands of passwords would take minutes to hash."""

import secrets
from datetime import timedelta
from typing import NamedTuple

from bson import ObjectId

from service.accounts.tokens import ACCESS, Tokens
from service.common.times import now
from service.datastores.mongo import Mongo

DAY = 24 * 3600
BATCH = 500


class Person(NamedTuple):
    """Someone who is signed in on one device."""

    id: str
    username: str
    token: str
    session_id: str


async def add(mongodb_uri: str, secret: str, count: int) -> list[Person]:
    """As many new people, each with a session and a token for a day."""
    mongo = Mongo(mongodb_uri)
    tokens = Tokens(secret, access_ttl=DAY, refresh_ttl=DAY)
    moment = now()
    people: list[Person] = []
    try:
        for first in range(0, count, BATCH):
            some = []
            for _ in range(min(BATCH, count - first)):
                user_id, session_id = ObjectId(), ObjectId()
                token = tokens.issue(ACCESS, str(user_id), str(session_id)).text
                some.append(Person(str(user_id), f"p{secrets.token_hex(10)}", token, str(session_id)))
            users = [
                {
                    "_id": ObjectId(person.id),
                    "username": person.username,
                    "display_name": person.username,
                    "display_folded": person.username,
                    "avatar": None,
                    "password_hash": "",
                    "password_version": 0,
                    "created_at": moment,
                }
                for person in some
            ]
            sessions = [
                {
                    "_id": ObjectId(person.session_id),
                    "user_id": ObjectId(person.id),
                    "refresh": "",
                    "created_at": moment,
                    "last_used_at": moment,
                    "expires_at": moment + timedelta(days=1),
                    "user_agent": "faults",
                }
                for person in some
            ]
            await mongo.database["users"].insert_many(users)
            await mongo.database["sessions"].insert_many(sessions)
            people += some
    finally:
        mongo.close()
    return people
