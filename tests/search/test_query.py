"""Queries: which words they ask for, which messages match, and which parts of these are highlighted."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.common.errors import ValidationFailed
from service.common.text import fold, words
from service.search.message_terms import MAX_TERM, terms_of
from service.search.query import MAX_WORDS, SearchQuery


def found(query: str, content: str) -> list[str] | None:
    """Return the highlighted parts."""
    spans = SearchQuery.parse(query).highlights(content)
    return None if spans is None else [content[start : start + length] for start, length in spans]


@pytest.mark.parametrize(
    ("query", "content", "parts"),
    [
        ("hel", "Hello, hello world", ["Hel", "hel"]),
        ("wor hel", "Hello world", ["Hel", "wor"]),
        ("ello", "Hello", None),
        ("hello there", "Hello world", None),
        # Vietnamese: accents, tones, đ; composed and decomposed.
        ("huong", "Chị Hương ơi", ["Hương"]),
        ("Hương", "chi HUONG", ["HUONG"]),
        ("duc", "Anh Đức", ["Đức"]),
        ("đức", "anh duc", ["duc"]),
        ("ngo", unicodedata.normalize("NFD", "Ngọc"), [unicodedata.normalize("NFD", "Ngọ")]),
        ("nguyễn", "NGUYỄN", ["NGUYỄN"]),
        # What is longer or shorter when it is folded.
        ("strasse", "Die Straße", ["Straße"]),
        ("stras", "Straße", ["Straß"]),
        ("fi", "ﬁnal", ["ﬁ"]),
        ("aether", "Æther", ["Æther"]),
        ("istanbul", "İstanbul", ["İstanbul"]),
        ("가", "ㄱㅏ", ["ㄱㅏ"]),
        ("한", "한국어", ["한"]),
        # Emoji and punctuation separate words, and are no words.
        ("a", "👩🏽‍🚀a👍", ["a"]),
        ("b", "x-b.c", ["b"]),
        ("2026", "07/2026!", ["2026"]),
        # Underscores: the whole word and its parts.
        ("snake", "a_snake_case", ["snake"]),
        ("a_sn", "a_snake_case", ["a_sn"]),
        ("snake_c", "a_snake_case", None),
        # Quotes: consecutive words.
        ('"see you"', "See you. You see?", ["See", "you"]),
        ('"you at"', "see you soon at eight", None),
        ('"see yo', "I see, you", ["see", "yo"]),
        ("“see you” at", "at last: see you", ["at", "see", "you"]),
        ('"a b" "b c"', "a b c", ["a", "b", "c"]),
        ('see"you', "you see", ["you", "see"]),
        # One part in two ways.
        ("he hello", "hello", ["hello"]),
    ],
)
def test_matches(query: str, content: str, parts: list[str] | None) -> None:
    assert parts == found(query, content)


@pytest.mark.parametrize("query", [" ", '""', "!?", "👍", "\u0301", "\0", '" "'])
def test_a_query_without_a_word_is_refused(query: str) -> None:
    # A combining mark alone is folded away.
    with pytest.raises(ValidationFailed):
        SearchQuery.parse(query)


def test_a_query_has_a_limited_number_of_words() -> None:
    assert SearchQuery.parse("a " * MAX_WORDS)
    with pytest.raises(ValidationFailed):
        SearchQuery.parse("a " * (MAX_WORDS + 1))


def test_a_long_message_takes_some_milliseconds() -> None:
    """Of the most words, and a query of the most words: 15 ms of processor time. A search reads 200 messages."""
    content = "a b c d e f g h i j k l m n o p " * 125
    query = SearchQuery.parse(" ".join(content.split()[:MAX_WORDS]))
    times = []
    for _ in range(3):
        started = time.process_time()
        assert query.highlights(content)
        times.append(time.process_time() - started)
    assert min(times) < 0.15


ALPHABET = st.sampled_from("aAbBđĐơƠe_ \"'-.ßﬁİ\u0301\u0323한ㄱㅏ가ｶﾞ👍🏽\u200d")


@given(st.text(ALPHABET, max_size=12), st.text(ALPHABET | st.characters(exclude_categories=["Cs"]), max_size=40))
def test_highlights_are_parts_of_the_content_that_match_a_word(query: str, content: str) -> None:
    """Of any text: in order, without overlap, and each begins with a word of the query, folded."""
    try:
        parsed = SearchQuery.parse(query)
    except ValidationFailed:
        return
    spans = parsed.highlights(content)
    wanted = list(words(query))
    if spans is None:
        assert not all(any(word == each for each in words(content)) for word in wanted) or '"' in query
        return
    assert spans
    end = -1
    for start, length in spans:
        assert start > end
        assert length > 0
        end = start + length
        assert end <= len(content)
        assert any(fold(content[start:end]).startswith(word) for word in wanted)


@given(st.text(ALPHABET | st.characters(exclude_categories=["Cs"]), max_size=60))
def test_a_message_that_matches_has_the_terms_that_are_looked_up(content: str) -> None:
    """The index misses nothing: each word of a message finds it, whole or begun."""
    terms = terms_of({"content": content, "sender_id": "6" * 24})
    for word in words(content):
        for query in (word, word[:1], word[: len(word) // 2 + 1]):
            try:
                parsed = SearchQuery.parse(query)
            except ValidationFailed:
                continue
            if parsed.highlights(content) is None:
                continue
            for prefix in parsed.prefixes:
                assert any(term.startswith(prefix[:MAX_TERM]) for term in terms)


def test_a_message_without_content_has_no_terms() -> None:
    """Deleted and system messages are not found by their sender either."""
    assert set() == terms_of({"content": "", "sender_id": "6" * 24})
