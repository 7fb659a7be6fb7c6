"""The frames that a client may send on any WebSocket, their answers, and how they are parsed: as strictly as a request
body."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, StringConstraints, TypeAdapter, ValidationError

from service.common.encoding import loads
from service.common.errors import MalformedJson
from service.common.identity import MAX_TOKEN
from service.common.models import Input
from service.http.errors import FieldProblem, of_pydantic

MAX_REF = 64

F = TypeVar("F", bound="ClientFrame")


class ClientFrame(Input):
    """Base of all frames. `ref` is repeated in the `ack` or `error` frame that answers the frame."""

    ref: Annotated[str, StringConstraints(max_length=MAX_REF)] | None = None
    type: str


class Authenticate(ClientFrame):
    type: Literal["authenticate"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN)]


class Ping(ClientFrame):
    type: Literal["ping"]


class Error(BaseModel):
    """The answer to a frame that failed and has changed nothing. `retry_after` is in seconds."""

    type: Literal["error"]
    ref: str | None
    code: str
    detail: str
    retry_after: float | None = None
    errors: list[FieldProblem] | None = None


class Pong(BaseModel):
    type: Literal["pong"]
    ref: str | None


def parse(text: str | bytes, frames: TypeAdapter[F]) -> F:
    """Parse `text` as one of `frames`, which their `type` distinguishes.

    Raises MalformedJson; raises ValidationFailed, with the frame's `ref` as `error.ref` if it has one.
    """
    try:
        data = loads(text)
    except ValueError:
        raise MalformedJson("The frame is not valid JSON.") from None
    try:
        return frames.validate_python(data)
    except ValidationError as error:
        refusal = of_pydantic(error, tag="type")
        refusal.ref = _ref_of(data)
        raise refusal from None


def _ref_of(data: Any) -> str | None:
    ref = data.get("ref") if isinstance(data, dict) else None
    if not isinstance(ref, str) or len(ref) > MAX_REF:
        return None
    # JSON can contain half of a surrogate pair, which cannot be encoded in an answer.
    return ref if ref.encode(errors="ignore").decode() == ref else None
