"""Who is notified of a comment."""

from bson import ObjectId

from service.posts.comment_notifications import recipients


def test_a_reply_takes_precedence_and_authors_are_not_notified_of_their_own_comments() -> None:
    a, b, c = ObjectId(), ObjectId(), ObjectId()
    assert {b: "NEW_COMMENT"} == recipients(a, b, None)
    assert {} == recipients(a, a, None)
    assert {b: "NEW_COMMENT", c: "NEW_REPLY"} == recipients(a, b, c)
    assert {b: "NEW_REPLY"} == recipients(a, b, b)
    assert {c: "NEW_REPLY"} == recipients(a, a, c)
    assert {b: "NEW_COMMENT"} == recipients(a, b, a)
    assert {} == recipients(a, a, a)
    assert {} == recipients(a, None, None)
