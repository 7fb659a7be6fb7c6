"""The layout of the index: every message is in one chunk, and every term where a prefix of it is looked up."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from service.search.layout import BLOCK, FAN, TOP, Chunk, bucket_of, buckets_of_prefix, chunks, completed, covering
from service.search.postings import LARGE, Postings, computed

BLOCKS = st.integers(0, 3 * FAN**TOP)


@given(BLOCKS)
def test_the_chunks_have_each_message_once_newest_first(blocks: int) -> None:
    found = chunks(blocks)
    end = blocks * BLOCK
    for chunk in found:
        assert end == chunk.before + chunk.size
        end = chunk.before
    assert 0 == end
    assert len(found) <= (FAN - 1) * TOP + blocks // FAN**TOP


@given(BLOCKS, st.data())
def test_a_message_is_covered_by_its_chunk(blocks: int, data: st.DataObject) -> None:
    seq = data.draw(st.integers(1, (blocks + 1) * BLOCK))
    chunk = covering(blocks, seq)
    assert (chunk is None) == (seq > blocks * BLOCK)
    if chunk:
        assert chunk in chunks(blocks)
        assert chunk.before < seq <= chunk.before + chunk.size


@given(st.integers(0, 3 * FAN**TOP - 1))
def test_a_further_block_becomes_a_chunk_and_completes_larger_ones(blocks: int) -> None:
    """Exactly the children of what it completes are replaced."""
    live = {*chunks(blocks), Chunk(0, blocks)}
    for chunk in completed(blocks + 1):
        assert set(chunk.children) <= live
        live = live - set(chunk.children) | {chunk}
    assert live == set(chunks(blocks + 1))


@given(st.text(min_size=1, max_size=6), st.integers(1, 6), st.integers(0, TOP))
def test_a_prefix_is_looked_up_where_the_term_is(term: str, length: int, level: int) -> None:
    buckets = buckets_of_prefix(term[:length], level)
    assert bucket_of(term, level) in buckets
    assert buckets[-1] < Chunk(level, 0).buckets
    assert length == 1 or len(term) == 1 or 1 == len(buckets)


@given(st.text(min_size=1, max_size=4))
def test_a_bucket_becomes_buckets_with_its_number_in_front(term: str) -> None:
    for level in range(1, TOP + 1):
        assert bucket_of(term, level - 1) == bucket_of(term, level) // FAN


async def test_large_postings_are_computed_in_a_thread() -> None:
    """Invented words make buckets that take up to a second, in which others have their turn."""
    few, many = Postings.of({"a": [1]}), Postings.of({f"a{number}": [1] for number in range(LARGE + 1)})
    here = threading.get_ident()
    assert here == await computed(threading.get_ident, [few, few])
    assert here != await computed(threading.get_ident, [few, many])
