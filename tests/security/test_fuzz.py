"""A few seconds of `tests/security/fuzz.py` with fixed examples; the command line runs it longer with new ones."""

from tests.running import Server
from tests.security.effort import Effort
from tests.security.frame_fuzz import fuzz_chat_socket, fuzz_frames
from tests.security.fuzz import fuzz_api, fuzz_socket


def test_random_bytes_parse_the_same_however_they_are_split() -> None:
    """Splitting the bytes differently changes nothing, and no input raises an exception."""
    fuzz_socket(Effort(150))


def test_random_text_is_parsed_or_rejected() -> None:
    """No input raises an exception, and every error can be sent back."""
    fuzz_frames(Effort(400))


def test_random_frames_are_answered_as_documented(server: Server) -> None:
    """Each frame is answered once, with an event of the AsyncAPI document, and the socket stays open."""
    answers = fuzz_chat_socket(server, Effort(50))
    assert answers["ack"] > 5, "valid frames must be among them"
    assert answers["validation_failed"] > 5, "invalid frames must be among them"
    assert answers["closed"] == 0


def test_random_requests_are_answered_as_documented(server: Server) -> None:
    """There is no 5xx, and each answer's status, type and body match the OpenAPI document."""
    statuses = fuzz_api(server, Effort(4))
    assert statuses.total() > 100
    assert statuses[200] > 5, "valid requests must be among them"
    assert statuses[422] > 5, "invalid requests must be among them"
