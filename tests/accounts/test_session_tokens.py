"""The state machine of a session's tokens, over all interleavings of clients that lose answers."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.accounts.session_tokens import (
    EPOCH,
    MAX_TOKENS,
    REUSE_WINDOW,
    AccessToken,
    RefreshTokenReused,
    SessionTokens,
)
from service.accounts.tokens import CLOCK_TOLERANCE
from service.common.errors import RateLimited, TokenRevoked

START = EPOCH + timedelta(days=20_000)
FIRST = SessionTokens(unused=("0",))
SECOND = timedelta(seconds=1)


def access(id: str, at: datetime, ttl: timedelta = timedelta(minutes=15)) -> AccessToken:
    return AccessToken(id, int((at + ttl).timestamp()))


def refresh(tokens: SessionTokens, used: str, fresh: str, at: datetime = START) -> SessionTokens:
    return tokens.refresh(used, fresh, access(f"a{fresh}", at), at)


def test_a_token_can_be_used_again_for_60_seconds() -> None:
    tokens = refresh(FIRST, "0", "1")
    tokens = refresh(tokens, "0", "2", START + REUSE_WINDOW)
    assert ("1", "2") == tokens.unused
    with pytest.raises(RefreshTokenReused):
        refresh(tokens, "0", "3", START + REUSE_WINDOW + SECOND)


def test_a_repeated_refresh_does_not_extend_the_reuse_window() -> None:
    tokens = refresh(refresh(FIRST, "0", "1"), "0", "2", START + REUSE_WINDOW)
    with pytest.raises(RefreshTokenReused):
        refresh(tokens, "0", "3", START + REUSE_WINDOW + SECOND)


def test_a_token_cannot_be_used_again_after_its_successor() -> None:
    tokens = refresh(refresh(FIRST, "0", "1"), "1", "2")
    with pytest.raises(RefreshTokenReused):
        refresh(tokens, "0", "3")


def test_unused_tokens_of_one_generation_are_valid_until_one_of_them_is_used() -> None:
    """Then the others are in the grace."""
    tokens = refresh(refresh(FIRST, "0", "1"), "0", "2")
    later = START + timedelta(days=10)
    tokens = refresh(tokens, "1", "3", later)
    assert ("3", "4") == refresh(tokens, "2", "4", later + REUSE_WINDOW).unused
    with pytest.raises(RefreshTokenReused):
        refresh(tokens, "2", "4", later + REUSE_WINDOW + SECOND)


def test_a_client_that_refreshes_without_end_is_stopped() -> None:
    """By the number of unused tokens and of valid access tokens, which bounds the size of the document."""
    tokens = repeated = FIRST
    for n in range(MAX_TOKENS):
        tokens = refresh(tokens, tokens.unused[-1], str(n + 1))
        repeated = refresh(repeated, "0", str(n + 1))
    with pytest.raises(RateLimited):
        refresh(repeated, "0", "x")
    with pytest.raises(RateLimited):
        refresh(tokens, tokens.unused[-1], "x")
    assert refresh(tokens, tokens.unused[-1], "x", START + timedelta(minutes=15))


def test_expired_access_tokens_are_forgotten() -> None:
    """Once they have expired on every process's clock."""
    tokens = refresh(FIRST, "0", "1")
    assert ["a1", "a2"] == [id for id, _ in refresh(tokens, "1", "2", START + timedelta(hours=1)).access]
    later = START + timedelta(minutes=15) + CLOCK_TOLERANCE
    assert ["a2"] == [id for id, _ in refresh(tokens, "1", "2", later).access]
    assert () == tokens.end_all("2", access("a2", later), later).ended_access


def test_a_password_change_ends_all_tokens_but_the_new_pair() -> None:
    tokens = refresh(refresh(FIRST, "0", "1"), "0", "2")
    tokens = tokens.end_all("new", access("new", START), START)
    assert ["a1", "a2"] == [id for id, _ in tokens.ended_access]
    assert ["new"] == [id for id, _ in tokens.access]
    for old in ("0", "1", "2"):
        with pytest.raises(TokenRevoked):
            refresh(tokens, old, "3")
    assert ("3",) == refresh(tokens, "new", "3").unused
    again = tokens.end_all("newest", access("newest", START), START)
    with pytest.raises(TokenRevoked):
        refresh(again, "0", "3")
    with pytest.raises(TokenRevoked):
        refresh(again, "new", "3")


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), max_size=12))
def test_a_client_that_repeats_lost_requests_is_never_signed_out(refreshes: list[tuple[int, int]]) -> None:
    """Each refresh loses some answers, and is repeated so many seconds later, until an answer arrives."""
    tokens, at, held, number = FIRST, START, "0", 0
    for lost, pause in refreshes:
        for _ in range(lost + 1):
            number += 1
            tokens = refresh(tokens, held, str(number), at)
            at += timedelta(seconds=pause)
        held = str(number)


@given(st.lists(st.permutations(range(4)), max_size=8))
def test_tabs_that_refresh_at_once_all_get_tokens_that_work(orders: list[list[int]]) -> None:
    """Each of four tabs keeps a token of its own, and every ten minutes all of them refresh, in any order."""
    tokens, number, held = FIRST, 0, ["0"] * 4
    for round, order in enumerate(orders):
        for tab in order:
            number += 1
            tokens = refresh(tokens, held[tab], str(number), START + round * timedelta(minutes=10))
            held[tab] = str(number)


@given(st.lists(st.sampled_from(["owner", "thief"])))
def test_a_theft_is_discovered_when_both_have_refreshed(turns: list[str]) -> None:
    """The owner and a thief of the token go on from it independently, more than the grace apart."""
    tokens, at, held = FIRST, START, {"owner": "0", "thief": "0"}
    for number, who in enumerate(turns):
        other_has_refreshed = held[who] == "0" and set(held.values()) != {"0"}
        at += REUSE_WINDOW + SECOND
        if other_has_refreshed:
            with pytest.raises(RefreshTokenReused):
                refresh(tokens, held[who], "x", at)
            break
        held[who] = f"{who} {number}"
        tokens = refresh(tokens, "0" if number == 0 else tokens.unused[-1], held[who], at)
