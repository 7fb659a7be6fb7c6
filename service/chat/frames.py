"""What a client says on the chat socket: one model for each frame, validated as strictly as a request body."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from service.chat.models import Rev, Seq
from service.content import Content, Nonce
from service.encoding import loads
from service.errors import MalformedJson
from service.http.endpoint import Input
from service.http.errors import of_pydantic
from service.ids import Id

MAX_WATCHED = 200
MAX_SYNCED = 2000

Ref = Annotated[str, StringConstraints(max_length=64)]


class ClientFrame(Input):
    """Base of all. `ref` comes back in the `ack` or `error` that answers the frame."""

    ref: Ref | None = None


class SendMessage(ClientFrame):
    type: Literal["send_message"]
    conversation_id: Id
    content: Content
    nonce: Nonce | None = None
    reply_to: Id | None = None


class Read(ClientFrame):
    type: Literal["read"]
    conversation_id: Id
    seq: Seq


class Typing(ClientFrame):
    type: Literal["typing"]
    conversation_id: Id


class Sync(ClientFrame):
    """`conversations`: of each conversation the last rev up to which the client has everything."""

    type: Literal["sync"]
    conversations: Annotated[dict[Id, Rev], Field(max_length=MAX_SYNCED)]


class WatchPresence(ClientFrame):
    type: Literal["watch_presence"]
    user_ids: Annotated[list[Id], Field(max_length=MAX_WATCHED)]


class Authenticate(ClientFrame):
    type: Literal["authenticate"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Ping(ClientFrame):
    type: Literal["ping"]


Frame = SendMessage | Read | Typing | Sync | WatchPresence | Authenticate | Ping

FRAMES: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])


def parse(text: str) -> Frame:
    """Raises MalformedJson, ValidationFailed; either with the frame's `ref` as `error.ref`, where it has one."""
    try:
        data = loads(text)
    except ValueError:
        raise MalformedJson("The frame is not valid JSON.") from None
    try:
        return FRAMES.validate_python(data)
    except ValidationError as error:
        refused = of_pydantic(error, tag="type")
        refused.ref = _ref_of(data)
        raise refused from None


def _ref_of(data: object) -> str | None:
    ref = data.get("ref") if isinstance(data, dict) else None
    return ref if isinstance(ref, str) and len(ref) <= 64 else None
