"""A few seconds of `tests/security/fuzz.py`, the same examples each time; from the command line it goes on for long."""

from tests.running import Server
from tests.security.fuzz import Effort, fuzz_api, fuzz_frames, fuzz_socket


def test_any_bytes_in_any_pieces() -> None:
    """A socket takes the same bytes for the same however they are cut, and no bytes for an exception."""
    fuzz_socket(Effort(150))


def test_any_text_is_a_frame_or_is_refused() -> None:
    """Nothing that can be said is an exception, and every refusal can be sent back."""
    fuzz_frames(Effort(400))


def test_any_request_is_answered_as_described(server: Server) -> None:
    """No 5xx, and each answer's status, type and shape are those of the OpenAPI document."""
    statuses = fuzz_api(server, Effort(4))
    assert statuses.total() > 100
    assert statuses[200] > 5, "not only refusals are tried"
    assert statuses[422] > 5, "nor only what is right"
