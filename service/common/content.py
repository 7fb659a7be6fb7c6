"""What people write: the text of a message, a post or a comment, and the nonce that makes sending it repeatable."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

MAX_CONTENT = 4000
MAX_NONCE = 64


def _without_nul(text: str) -> str:
    """MongoDB would keep a NUL, but not every client and log that the text passes through does."""
    if "\0" in text:
        raise ValueError("It contains a NUL character.")
    return text


Content = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CONTENT),
    AfterValidator(_without_nul),
]
"""1–4000 characters after trimming, no NUL. Lone surrogates, which are not text, pydantic refuses by itself."""

Nonce = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NONCE), AfterValidator(_without_nul)]
"""Chosen by the sender: the same sender, place and nonce is the same thing sent."""
