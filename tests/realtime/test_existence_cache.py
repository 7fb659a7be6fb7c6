"""What a process keeps of which documents exist."""

from collections.abc import Collection

from service.realtime.bus import LocalBus
from service.realtime.existence_cache import ExistenceCache


async def test_what_does_not_exist_is_known_too() -> None:
    """For pairs, whose names do not depend on how a process came to know them."""
    blocks = {("a", "b")}
    reads = 0

    async def existing(keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        nonlocal reads
        reads += 1
        return blocks.intersection(keys)

    cache: ExistenceCache[tuple[str, str]] = ExistenceCache(LocalBus(), "pairs", existing)
    pairs = [("a", "b"), ("b", "a")]
    assert cache.known(pairs) is None
    assert {("a", "b")} == await cache.existing(pairs) == cache.known(pairs) == await cache.existing(pairs)
    assert 1 == reads
    blocks.add(("b", "a"))
    cache.changed([("b", "a")])
    assert {("a", "b")} == cache.known(pairs[:1])
    assert set(pairs) == await cache.existing(pairs)
    assert 2 == reads
