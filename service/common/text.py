"""What people write: which text is accepted, how it is compared, how it is cut. Every rule about text is here.

Lengths are in code points, as clients and the database count them; cutting happens between graphemes, which is what a
reader takes for one character (Unicode Standard Annex 29, 3).
"""

import unicodedata
from collections.abc import Iterator
from functools import cache

import regex

VARIATION_SELECTOR = "\ufe0f"
"""Asks for a colourful picture where a character has a plain form, too."""

GRAPHEME = regex.compile(r"\X")
VISIBLE = regex.compile(r"[^\p{Z}\p{Cc}\p{Cf}\p{Cs}\p{Mn}\p{Me}\p{Default_Ignorable_Code_Point}\u2800]")
"""A character with a shape of its own. Hangul fillers are ignorable; the empty Braille cell is a symbol, but blank."""
UNSAFE_IN_NAMES = regex.compile(r"[\p{Cc}\u00ad\u061c\u200b\u2028-\u202e\u2060-\u206f\ufeff\p{Cs}]")
"""Controls, invisible spaces, and what reverses the direction of the text around it: a name with one of them can look
like another name. The joiners U+200C and U+200D stay: Persian and emoji need them."""
WORD = regex.compile(r"[\p{L}\p{N}\p{M}_]+")
STROKES = str.maketrans({"đ": "d", "ł": "l", "ø": "o", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe"})
"""Letters that Unicode does not decompose, though people type them without their stroke."""


def has_visible(text: str) -> bool:
    """Whether a reader sees anything of `text`."""
    return VISIBLE.search(text) is not None


def is_safe_name(text: str) -> bool:
    """Whether `text` can stand beside other names: nothing in it hides, breaks the line or reverses its direction."""
    return UNSAFE_IN_NAMES.search(text) is None


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
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    return unicodedata.normalize("NFC", bare.translate(STROKES))


def words(text: str) -> Iterator[str]:
    """The folded words of `text`, in order."""
    for match in WORD.finditer(fold(text)):
        yield match[0]


def reaction(text: str) -> str | None:
    """The fully qualified form of `text`, if it is one emoji of Unicode's `emoji-test.txt`, with or without its
    variation selectors; else None. Skin tones and hair by themselves are components and no emoji."""
    return _emoji().get(text.replace(VARIATION_SELECTOR, ""))


@cache
def _emoji() -> dict[str, str]:
    """Each emoji without variation selectors → fully qualified."""
    # Not before the first reaction: its data takes 30 ms to load.
    import emoji

    qualified = emoji.STATUS["fully_qualified"]
    return {
        text.replace(VARIATION_SELECTOR, ""): text
        for text, entry in emoji.EMOJI_DATA.items()
        if entry["status"] == qualified
    }
