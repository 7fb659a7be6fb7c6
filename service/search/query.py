"""What is searched for, and whether and where a message matches it."""

from collections.abc import Sequence

import regex

from service.common.errors import ValidationFailed
from service.common.text import GRAPHEME, WORD, fold, needed_prefixes, words

MAX_WORDS = 16
MAX_HIGHLIGHTS = 100
"""Of one message."""
QUOTE = '"'
QUOTES = str.maketrans(dict.fromkeys("“”„‟«»＂", QUOTE))
"""Quotation marks that keyboards and word processors write instead."""
CLUSTER = regex.compile(rf"[\u1100-\u11ff\u3131-\u318e\uffa0-\uffdc]+|{GRAPHEME.pattern}")
"""What is folded by itself: a grapheme, or a sequence of Hangul letters, which are composed to syllables."""

Span = tuple[int, int]
"""The start and the length of a part of a text, in code points."""


class SearchQuery:
    """The phrases of a query: words between quotation marks are one phrase, every other word is one by itself.

    A message matches if it contains each phrase: consecutive words, each of which begins with the phrase's word. Words
    are compared as `text.fold` says. A word with underscores matches by its parts, too. A quotation mark without a
    second one lasts to the end.
    """

    def __init__(self, phrases: Sequence[Sequence[str]]) -> None:
        self._phrases = phrases

    @classmethod
    def parse(cls, text: str) -> "SearchQuery":
        """Raises ValidationFailed (`q`) if there is no word in `text`, or more than MAX_WORDS."""
        phrases: list[tuple[str, ...]] = []
        for index, part in enumerate(text.translate(QUOTES).split(QUOTE)):
            found = tuple(words(part))
            phrases += [found] if index % 2 else [(word,) for word in found]
        phrases = [phrase for phrase in phrases if phrase]
        if not phrases:
            raise ValidationFailed.of("q", "There is no letter and no digit in it.")
        if sum(map(len, phrases)) > MAX_WORDS:
            raise ValidationFailed.of("q", f"At most {MAX_WORDS} words.")
        # Each is looked for in every message: none twice.
        return cls(list(dict.fromkeys(phrases)))

    @property
    def prefixes(self) -> list[str]:
        """What the words of a matching message begin with, the longest first."""
        return needed_prefixes(word for phrase in self._phrases for word in phrase)

    def highlights(self, content: str) -> list[Span] | None:
        """Return the parts of `content` that match, in order, at most MAX_HIGHLIGHTS; None if it does not match.

        A part begins and ends between two graphemes.
        """
        if not self._found_in(fold(content)):
            return None
        parts = [(match.start(), match.end(), fold(match[0])) for match in CLUSTER.finditer(content)]
        starts = [start for start, _, folded in parts for _ in folded]
        ends = [end for _, end, folded in parts for _ in folded]
        spans = self._found_in("".join(folded for _, _, folded in parts))
        return _merged(sorted((starts[begin], ends[end - 1]) for begin, end in spans))[:MAX_HIGHLIGHTS]

    def _found_in(self, folded: str) -> set[Span]:
        """Return the beginning and the end of each part of a folded text that matches a word; none unless it has all
        phrases."""
        found = [(match.start(), match[0]) for match in WORD.finditer(folded)]
        spans: set[Span] = set()
        for phrase in self._phrases:
            # A message has up to 2,000 words: most of them are not even the first one of a phrase.
            firsts = [first for first, (_, word) in enumerate(found) if _begin_in(word, phrase[0]) is not None]
            places = [place for first in firsts for place in _phrase_at(found, first, phrase)]
            if not places:
                return set()
            spans.update(places)
        return spans


def _phrase_at(found: Sequence[tuple[int, str]], first: int, phrase: Sequence[str]) -> list[Span]:
    """Return the parts that match the words of `phrase`, if the words from `first` on do; else none."""
    if first + len(phrase) > len(found):
        return []
    spans: list[Span] = []
    for (start, word), prefix in zip(found[first : first + len(phrase)], phrase, strict=True):
        begin = _begin_in(word, prefix)
        if begin is None:
            return []
        spans.append((start + begin, start + begin + len(prefix)))
    return spans


def _begin_in(word: str, prefix: str) -> int | None:
    """Return where the word, or one of its parts (see `text.searchable_words`), begins with `prefix`; None: nowhere."""
    if word.startswith(prefix):
        return 0
    if "_" in word:
        begin = 0
        for part in word.split("_"):
            if part.startswith(prefix):
                return begin
            begin += len(part) + 1
    return None


def _merged(parts: Sequence[Span]) -> list[Span]:
    """Return the start and length of parts, given by start and end in order; overlapping ones as one."""
    merged: list[Span] = []
    for start, end in parts:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return [(start, end - start) for start, end in merged]
