"""Types of user input: the text of a message, post or comment, and the nonce that makes a request idempotent.

`text` has the rules.
"""

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from service.common.text import has_visible, is_safe_name

MAX_CONTENT = 4000
MAX_NONCE = 64


def check_no_nul(text: str) -> str:
    """Reject NUL: MongoDB stores it, but not every client and log handles it."""
    if "\0" in text:
        raise ValueError("Contains a NUL character")
    return text


def check_content(text: str) -> str:
    """Return `text`. Raises ValueError if it has a NUL, or no visible character."""
    if not has_visible(check_no_nul(text)):
        raise ValueError("Contains no visible character")
    return text


def check_optional_content(text: str) -> str:
    """Return `text` if it is empty or `check_content` accepts it. Raises ValueError otherwise."""
    return text and check_content(text)


def check_name(text: str) -> str:
    """Return `text`, which will stand beside other names. Raises ValueError as above, or if it is not safe."""
    if not is_safe_name(check_content(text)):
        raise ValueError("Contains control characters or invisible characters")
    return text


# The validators follow the constraints: pydantic trims and measures a plain string only.
Content = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_CONTENT),
    AfterValidator(check_content),
]
"""1 to 4000 characters after trimming, without NUL, some of them visible. Pydantic itself rejects lone surrogates."""

OptionalContent = Annotated[
    str, StringConstraints(strip_whitespace=True, max_length=MAX_CONTENT), AfterValidator(check_optional_content)
]
"""Like Content, or empty: where something else is shown, too."""

Nonce = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NONCE), AfterValidator(check_no_nul)]
"""Chosen by the client. A request with the same sender, target and nonce is a repetition."""
