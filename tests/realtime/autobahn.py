"""Runs the Autobahn cases of `kosoku`. `python -m tests.realtime.autobahn OPTIONS URL` takes its options.

Its cases about compression come from Python 2: they compare bytes with the texts that they are handed here. Each sends
1,000 messages, which takes minutes for all of them; twenty show the same.
"""

from typing import Any

from kosoku import _caseindex, _cli

MESSAGES = 20
COMPRESSION = ("12.", "13.")

_build = _caseindex.build_index


def build_index(*args: Any) -> tuple[dict[str, type], dict[str, dict[str, list[str]]]]:
    cases, groups = _build(*args)
    for number, case in cases.items():
        if number.startswith(COMPRESSION):
            case.COUNT = MESSAGES  # type: ignore[attr-defined]
            case.onMessage = taking_bytes(case.onMessage)  # type: ignore[attr-defined]
    return cases, groups


def taking_bytes(on_message: Any) -> Any:
    """Hand `on_message` the bytes of a message, of which it would get each as a character."""

    def wrapped(case: Any, message: str | bytes, binary: bool) -> None:
        on_message(case, message.encode("latin-1") if isinstance(message, str) else message, binary)

    return wrapped


if __name__ == "__main__":
    _caseindex.build_index = build_index
    _cli.main()
