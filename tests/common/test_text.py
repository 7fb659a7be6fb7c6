"""Text: what is accepted, how it is compared, how it is cut."""

import unicodedata

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from service.common.text import cut, fold, has_visible, is_safe_name, reaction, safe_name, words

FAMILY, FLAG, THUMB = "👨‍👩‍👧", "🇻🇳", "👍🏽"

INVISIBLE = {
    "space": " ",
    "no-break space": "\u00a0",
    "zero width space": "\u200b",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "Hangul filler": "\u3164",
    "Hangul choseong filler": "\u115f",
    "halfwidth Hangul filler": "\uffa0",
    "Braille blank": "\u2800",
    "right-to-left override": "\u202e",
    "zero width joiner": "\u200d",
    "variation selector": "\ufe0f",
    "tag characters": "\U000e0061\U000e007f",
    "ideographic space": "\u3000",
    "interlinear annotation": "\ufff9",
    "combining mark alone": "\u0301",
    "NUL and other controls": "\0\x01\x7f",
}


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE.keys())
def test_invisible_text_shows_nothing(text: str) -> None:
    assert not has_visible(text)
    assert not has_visible(text * 3)
    assert has_visible(text + "x")


@pytest.mark.parametrize("text", ["a", "tiếng Việt", "مرحبا", "👍", FLAG, ".", "한", "⠁", "\u0903"])
def test_visible_text_shows_something(text: str) -> None:
    assert has_visible(text)


@pytest.mark.parametrize(
    "text",
    [
        *("Ngọc Anh", "O'Brien-Smith", "e\u0301", "한글", "श्री", "©", "☺︎", "❤️", "1️⃣"),
        *("مرحبا Loa", "שלום (abc)\u200f", "می‌خواهم", "क्‍ष", "ന്‍", "ශ්‍රී"),
        *(FAMILY + " Nguyễn", "🙂‍↔️", "👩🏽‍🚀", "🏳️‍🌈", "a🏴", "🏴󠁧󠁢󠁥󠁮󠁧󠁿 x", "葛\U000e0100城"),
    ],
)
def test_ordinary_names_are_safe(text: str) -> None:
    """Emoji, Persian, Indic and Japanese names need characters that are unsafe elsewhere."""
    assert is_safe_name(text)


@pytest.mark.parametrize(
    "text",
    [
        *("a\nb", "a\0b", "a\x7f", "a\u0085b", "a\u2028b", "\ufff9a"),
        *("a\u202eb", "a\u2066b", "An\u061cna", "Anna\u200e", "\u200fAnna"),
        *("a\u200bb", "a\ufeffb", "a\u00adb", "Anna\u2060", "Anna\u3164", "Anna\u115f", "Anna\u034f", "Anna\u180e"),
        *("An\u200dna", "Anna\u200c", "\u200dAnna", "王\u200d明", "👍\u200d", "Anna\u2800", "Anna\u206a"),
        *("Anna\ufe0f", "Anna1\ufe0f", "Anna\u180b", "Anna\U000e0100", "Anna\U000e0061", "\U000e0001a"),
    ],
    ids=ascii,
)
def test_names_that_imitate_others_are_not_safe(text: str) -> None:
    assert not is_safe_name(text)


class TestCut:
    @pytest.mark.parametrize("last", [FAMILY, FLAG, THUMB, "e\u0301", "\r\n"])
    def test_ends_before_a_grapheme_that_does_not_fit(self, last: str) -> None:
        assert "x" * 139 == cut("x" * 139 + last + " more", 140)
        assert "x" * 138 + "yy" == cut("x" * 138 + "yy" + last, 140)

    def test_a_grapheme_longer_than_the_limit_is_cut(self) -> None:
        assert 140 == len(cut("a" + "\u0301" * 500, 140))

    @given(
        st.text(alphabet=st.sampled_from([*"ab \n", *FAMILY, *FLAG, *THUMB, "\u0301"]), max_size=60), st.integers(1, 40)
    )
    def test_is_the_longest_run_of_whole_graphemes(self, text: str, limit: int) -> None:
        graphemes = regex.findall(r"\X", text)
        whole = [sum(map(len, graphemes[:count])) for count in range(len(graphemes) + 1)]
        fitting = max(length for length in whole if length <= limit)
        assert text[: fitting or min(limit, len(text))] == cut(text, limit)


class TestFold:
    @pytest.mark.parametrize(
        ("written", "typed"),
        [
            ("Nguyễn Đức Anh", "nguyen duc anh"),
            ("Trần Thị Hương", "TRẦN thi huong"),
            ("Zoë", "zoe"),
            ("Łódź", "lodz"),
            ("Straße", "STRASSE"),
            ("ﬁnal", "final"),
            ("Ｆｕｌｌ", "full"),
            ("İstanbul", "istanbul"),
        ],
    )
    def test_ignores_case_accents_and_strokes(self, written: str, typed: str) -> None:
        assert fold(written) == fold(typed)

    @given(st.text(max_size=30))
    def test_is_idempotent_and_independent_of_composition(self, text: str) -> None:
        assert fold(text) == fold(unicodedata.normalize("NFC", text)) == fold(unicodedata.normalize("NFD", text))
        assert fold(fold(text)) == fold(text)

    def test_words_are_folded_and_in_order(self) -> None:
        assert ["tran", "thi", "huong_2", "ok"] == list(words("Trần-Thị, Hương_2! (OK)"))


class TestReaction:
    @pytest.mark.parametrize(
        "emoji", ["👍", THUMB, FAMILY, FLAG, "❤️", "ℹ️", "1️⃣", "Ⓜ️", "🩷", "🫨", "🙂‍↔️", "🫩", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "‼️", "〰️"]
    )
    def test_an_emoji_is_taken_with_and_without_its_variation_selectors(self, emoji: str) -> None:
        assert emoji == reaction(emoji) == reaction(emoji.replace("\ufe0f", ""))

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "a",
            "+",
            "<",
            "=",
            "|",
            "1",
            "#",
            "👍👍",
            "👍a",
            " 👍",
            "🏽",
            "\ufe0f",
            "\u200d",
            "\ufffd",
            "$set",
            "🇻",
            "x" * 99,
        ],
    )
    def test_anything_else_is_not(self, text: str) -> None:
        assert reaction(text) is None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("  Ánh\u202e\0 ", "Ánh"),
        ("A\nB", "AB"),
        ("x" * 100, "x" * 64),
        ("\u200eAn", "An"),
        ("\u200fعلي", "\u200fعلي"),
        ("\ud800An", "An"),
        ("\u3164 \u200b", None),
        ("", None),
    ],
)
def test_a_name_of_another_site_is_made_safe(text: str, name: str | None) -> None:
    assert name == safe_name(text, 64)
