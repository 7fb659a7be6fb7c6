"""What people write: which text is accepted, how it is compared, how it is cut. Every rule about text is here.

Lengths are in code points, as clients and the database count them; cutting happens between graphemes, which is what a
reader takes for one character (Unicode Standard Annex 29, 3).
"""

import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache

import regex

VARIATION_SELECTOR = "\ufe0f"
"""Asks for a colourful picture where a character has a plain form, too."""

GRAPHEME = regex.compile(r"\X")
VISIBLE = regex.compile(r"[^\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{Mn}\p{Me}\p{Default_Ignorable_Code_Point}\u2800]")
"""A character with a shape of its own. Hangul fillers are ignorable; the empty Braille cell is a symbol, but blank."""
JOINED = (
    r"[[\p{L}\p{M}\p{Extended_Pictographic}\p{Emoji_Modifier}]"
    r"--[\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Georgian}\p{Hebrew}\p{Han}\p{Hangul}\p{Hiragana}\p{Katakana}]]"
)
"""What the joiners U+200C and U+200D change the shape of: emoji, and letters of Arabic and Indic scripts."""
TAG = r"[\U000e0020-\U000e007f]"
UNSAFE_IN_NAMES = regex.compile(
    "(?V1)"
    # Controls, line breaks, overrides of the direction, and what has no shape but for the exceptions below.
    r"[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2800\ufff9-\ufffb]"
    r"|[\p{Default_Ignorable_Code_Point}--[\u180b-\u180d\u200c-\u200f\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef]]"
    # A joiner that joins nothing (the second rule of RFC 5892, A.1 and A.2: after a virama it may end a word).
    rf"|(?<!{JOINED})[\u200c\u200d]|(?<!\p{{ccc=9}})[\u200c\u200d](?!{JOINED})"
    # A variation selector after a character that has no variants.
    r"|(?<![[\p{Emoji}\p{Han}\p{Math}\p{Mongolian}\p{Myanmar}\p{Phags_Pa}]--[0-9#*]])[\u180b-\u180d\ufe00-\ufe0f](?!\u20e3)"
    r"|(?<!\p{Han})[\U000e0100-\U000e01ef]"
    # Tags name a region after a black flag.
    rf"|(?<!\U0001f3f4{TAG}*){TAG}"
)
"""What makes a name look like another one, or disturbs the text around it. Emoji, and names in Persian, Hindi or
Japanese, need some invisible characters; these are allowed where they have an effect."""
DIRECTION_MARK = regex.compile(r"[\u200e\u200f]")
RIGHT_TO_LEFT = regex.compile(r"[\p{Bidi_Class=R}\p{Bidi_Class=AL}&&\p{L}]", regex.V1)
WORD = regex.compile(r"[\p{L}\p{N}\p{M}_]+")
STROKES = str.maketrans({"đ": "d", "ł": "l", "ø": "o", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe"})
"""Letters that Unicode does not decompose, though people type them without their stroke."""


def has_visible(text: str) -> bool:
    """Whether a reader sees anything of `text`."""
    return VISIBLE.search(text) is not None


def is_safe_name(text: str) -> bool:
    """Whether `text` can stand beside other names: nothing in it hides, breaks the line or reverses its direction."""
    if UNSAFE_IN_NAMES.search(text):
        return False
    return not DIRECTION_MARK.search(text) or RIGHT_TO_LEFT.search(text) is not None


def safe_name(text: str, limit: int) -> str | None:
    """`text` without what `is_safe_name` refuses, cut to `limit` code points; None if nothing visible remains."""
    text = UNSAFE_IN_NAMES.sub("", text)
    if not RIGHT_TO_LEFT.search(text):
        text = DIRECTION_MARK.sub("", text)
    text = cut(text.strip(), limit).strip()
    # What was removed may have joined its neighbours: such a name is seldom anything but an attempt.
    return text if has_visible(text) and is_safe_name(text) else None


def cut(text: str, limit: int) -> str:
    """The longest beginning of `text` with at most `limit` code points that ends between two graphemes.

    If already the first grapheme is longer, it is cut.
    """
    if len(text) <= limit:
        return text
    end = 0
    # A grapheme that begins within the limit may end beyond it.
    for grapheme in GRAPHEME.finditer(text):
        if grapheme.end() > limit:
            break
        end = grapheme.end()
    return text[: end or limit]


def fold(text: str) -> str:
    """`text` as searches compare it: without case, accents and strokes (`Đức` and `duc` are equal)."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", bare.translate(STROKES))


def words(text: str) -> Iterator[str]:
    """The folded words of `text`, in order."""
    for match in WORD.finditer(fold(text)):
        yield match[0]


def searchable_words(text: str) -> Iterator[str]:
    """The folded words of `text`, and their parts: an underscore is a letter of a word, and separates words, too."""
    for word in words(text):
        yield word
        if "_" in word:
            yield from filter(None, word.split("_"))


def needed_prefixes(query: Iterable[str]) -> list[str]:
    """The words of `query`, each once, the longest first, without those that are a prefix of another one: what has a
    word that begins with the longer one has such a word for the shorter one, too."""
    needed: list[str] = []
    for word in sorted(set(query), key=len, reverse=True):
        if not any(longer.startswith(word) for longer in needed):
            needed.append(word)
    return needed


def reaction(text: str) -> str | None:
    """The fully qualified form of `text`, if it is one emoji of Unicode's `emoji-test.txt`, with or without its
    variation selectors; else None. Skin tones and hair by themselves are components and no emoji."""
    return _emoji().get(without_selectors(text))


def without_selectors(text: str) -> str:
    """`text` without variation selectors: equal for all forms of one emoji."""
    return text.replace(VARIATION_SELECTOR, "")


@cache
def _emoji() -> dict[str, str]:
    """Each emoji without variation selectors → fully qualified."""
    # Not before the first reaction: its data takes 30 ms to load.
    import emoji

    qualified = emoji.STATUS["fully_qualified"]
    return {without_selectors(text): text for text, entry in emoji.EMOJI_DATA.items() if entry["status"] == qualified}
