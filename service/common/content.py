"""Types of user input: the text of a message, post or comment, and the nonce that makes a request idempotent."""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

MAX_CONTENT = 4000
MAX_NONCE = 64


def _without_nul(text: str) -> str:
    """Reject NUL: MongoDB stores it, but not every client and log handles it."""
    if "\0" in text:
        raise ValueError("Contains a NUL character")
    return text


Content = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CONTENT),
    AfterValidator(_without_nul),
]
"""1 to 4000 characters after trimming, without NUL. Pydantic itself rejects lone surrogates."""

Nonce = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NONCE), AfterValidator(_without_nul)]
"""Chosen by the client. A request with the same sender, target and nonce is a repetition."""
