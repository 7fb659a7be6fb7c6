"""Signed URLs."""

from urllib.parse import parse_qs, urlsplit

import pytest
from bson import ObjectId

from service.attachments.links import STEP, VALIDITY, AttachmentLinks
from service.common.errors import TokenExpired, TokenInvalid

SECRET = "s" * 32
NOW = 1_800_000_000.0
STORED = {
    "id": ObjectId("6b08bc9e5281b79e820259bb"),
    "name": "a.png",
    "content_type": "image/png",
    "size": 3,
    "width": 1,
    "height": 1,
    "thumbnail": True,
}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test may change."""
    time = [NOW]
    monkeypatch.setattr("service.attachments.links.time.time", lambda: time[0])
    return time


def parts(url: str) -> tuple[str, int, str]:
    query = parse_qs(urlsplit(url).query)
    return urlsplit(url).path.split("/")[4], int(query["expires"][0]), query["signature"][0]


def test_a_url_is_valid_for_an_hour(clock: list[float]) -> None:
    """And no longer than a quarter of an hour more, for which it stays the same."""
    links = AttachmentLinks(SECRET)
    shown = links.as_json(STORED)
    clock[0] += STEP - 1
    assert links.as_json(STORED)["url"] == shown["url"]
    clock[0] = NOW + VALIDITY
    for url in (shown["url"], shown["thumbnail_url"]):
        links.verify(*parts(url))
    clock[0] += STEP + 1
    with pytest.raises(TokenExpired):
        links.verify(*parts(shown["url"]))


def test_nothing_of_a_url_can_be_changed() -> None:
    links = AttachmentLinks(SECRET)
    attachment_id, expires, signature = parts(links.as_json(STORED)["url"])
    links.verify(attachment_id, expires, signature)
    changed = "A" if signature[0] != "A" else "B"
    for forged in (
        (str(ObjectId()), expires, signature),
        (attachment_id, expires + 1, signature),
        (attachment_id, expires, changed + signature[1:]),
        (attachment_id, expires, ""),
        (attachment_id, expires, "ü"),
    ):
        with pytest.raises(TokenInvalid):
            links.verify(*forged)


def test_signatures_of_previous_secrets_are_accepted() -> None:
    """While the secret is being changed, processes with either run side by side."""
    url = AttachmentLinks(SECRET).as_json(STORED)["url"]
    AttachmentLinks("t" * 32, [SECRET]).verify(*parts(url))
    with pytest.raises(TokenInvalid):
        AttachmentLinks("t" * 32).verify(*parts(url))
