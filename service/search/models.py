"""The request and response models of the search for messages."""

from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from service.chat.models import Message
from service.common.ids import Id
from service.common.models import Query
from service.search.cursor import MAX_LIMIT, Cursor

MAX_QUERY = 200
"""Characters of a query."""


class MessageSearch(Query):
    """`q`: words, of which each has to be the beginning of a word of the message; `"in quotes"`: of consecutive words.
    `conversation_id`: only in this one; `sender_id`: only messages of this user. `before`: the `next` of the previous
    page of the same search."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=MAX_QUERY)] = Field(examples=["tran huong"])
    conversation_id: Id | None = None
    sender_id: Id | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 20
    before: Cursor | None = None


class MessageFound(BaseModel):
    """`highlights`: the parts of the content that match, each as its start and its length, in code points, in order and
    without overlap; at most 100."""

    message: Message
    conversation_id: str
    highlights: list[Annotated[list[int], Field(min_length=2, max_length=2)]] = Field(examples=[[[0, 4], [10, 5]]])


class MessagesFound(BaseModel):
    """The newest first. `next` is the `before` of the next page, null on the last page. A page can be short or empty
    although there is a next one, because the server reads a bounded number of messages for it."""

    items: list[MessageFound]
    next: str | None
