"""The terms by which users are found: every prefix of every folded word of their names.

An equality of terms uses an index in any MongoDB, in the order of usernames. A range of words uses none in the embedded
one, where a search among 5,000 users then takes 0.7 s, and its result has to be sorted.
"""

from collections.abc import Iterator

from service.common.text import needed_prefixes, searchable_words, words

USERNAME_ONLY = "@"
"""Begins a query for usernames, and the terms that such a query looks up."""


def user_terms(username: str, display_name: str) -> list[str]:
    """Return the terms of a user."""
    terms: set[str] = set()
    for word in {*searchable_words(username), *searchable_words(display_name)}:
        terms.update(_prefixes(word))
    for word in searchable_words(username):
        terms.update(USERNAME_ONLY + prefix for prefix in _prefixes(word))
    return sorted(terms)


def query_terms(query: str) -> list[str]:
    """Return the terms that a user needs to match `query`, the longest first; none if there is no word in it."""
    query = query.strip()
    prefix = USERNAME_ONLY if query.startswith(USERNAME_ONLY) else ""
    return [prefix + word for word in needed_prefixes(words(query))]


def _prefixes(word: str) -> Iterator[str]:
    for end in range(1, len(word) + 1):
        yield word[:end]
