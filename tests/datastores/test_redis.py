"""How Loa connects to Redis."""

from redis.asyncio import Redis


async def test_answers_are_bytes(redis: Redis) -> None:
    """What was stored comes back as bytes."""
    await redis.set("loa:test", "a")
    assert await redis.get("loa:test") == b"a"
