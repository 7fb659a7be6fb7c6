"""Common passwords: those that an attacker would try first."""

MAX_LENGTH = 72
"""Characters that are examined: the time grows faster than the length, and the first ones decide."""
MAX_SUBSTITUTIONS = 4
"""Readings of a password's digits and signs as letters. Each takes another search in the dictionaries: with all signs
that have a reading, 72 characters would take 8 seconds. A common password has few."""
DEFAULT_REASON = "This is easy to guess."
ADVICE = "Choose another password, for example several words."


def weakness(password: str, username: str) -> str | None:
    """Return why `password` is refused, or None: it takes fewer than a thousand guesses, the username among the first.

    Takes up to 200 ms, usually less than one. The first call loads the dictionaries, which takes 100 ms.
    """
    from zxcvbn import zxcvbn

    examined = password[:MAX_LENGTH]
    if _substitutions(examined) > MAX_SUBSTITUTIONS:
        return None
    found = zxcvbn(examined, user_inputs=[username])
    if found["score"] > 0:
        return None
    return f"{found['feedback']['warning'] or DEFAULT_REASON} {ADVICE}"


def _substitutions(password: str) -> int:
    """Count the combinations of readings that zxcvbn would try, at least."""
    from zxcvbn.matching import L33T_TABLE

    count = 1
    for signs in L33T_TABLE.values():
        count *= sum(sign in password for sign in signs) or 1
    return count
