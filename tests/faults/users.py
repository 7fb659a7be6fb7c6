"""Create users directly in the database: hashing thousands of passwords would take minutes."""

import secrets
from datetime import timedelta
from typing import NamedTuple

from bson import ObjectId

from service.accounts.search_terms import user_terms
from service.accounts.tokens import Tokens
from service.common.identity import ACCESS
from service.common.times import now
from service.datastores.mongo import Mongo

DAY = 24 * 3600
BATCH = 500


class User(NamedTuple):
    """A user who is signed in on one device."""

    id: str
    username: str
    token: str
    session_id: str


async def create_users(mongodb_uri: str, secret: str, count: int) -> list[User]:
    """Create `count` users, each with a session and a token that is valid for a day."""
    mongo = Mongo(mongodb_uri)
    tokens = Tokens(secret, access_ttl=DAY, refresh_ttl=DAY)
    created_at = now()
    users: list[User] = []
    try:
        for first in range(0, count, BATCH):
            batch = []
            for _ in range(min(BATCH, count - first)):
                user_id, session_id = ObjectId(), ObjectId()
                token = tokens.issue(ACCESS, str(user_id), str(session_id)).text
                batch.append(User(str(user_id), f"p{secrets.token_hex(10)}", token, str(session_id)))
            user_documents = [
                {
                    "_id": ObjectId(user.id),
                    "username": user.username,
                    "display_name": user.username,
                    "search_terms": user_terms(user.username, user.username),
                    "avatar": None,
                    "password_hash": "",
                    "password_version": 0,
                    "created_at": created_at,
                }
                for user in batch
            ]
            session_documents = [
                {
                    "_id": ObjectId(user.session_id),
                    "user_id": ObjectId(user.id),
                    "refresh": "",
                    "created_at": created_at,
                    "last_used_at": created_at,
                    "expires_at": created_at + timedelta(days=1),
                    "user_agent": "faults",
                }
                for user in batch
            ]
            claims = [
                {"_id": user.username, "user_id": ObjectId(user.id), "version": ObjectId(), "is_new": False}
                for user in batch
            ]
            await mongo.database["usernames"].insert_many(claims)
            await mongo.database["users"].insert_many(user_documents)
            await mongo.database["sessions"].insert_many(session_documents)
            users += batch
    finally:
        mongo.close()
    return users
