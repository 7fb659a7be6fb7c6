"""What a client may say on any socket, how it is read (as strictly as a request body), and what answers it."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, StringConstraints, TypeAdapter, ValidationError

from service.common.encoding import loads
from service.common.errors import MalformedJson
from service.common.models import Input
from service.http.errors import FieldProblem, of_pydantic

MAX_REF = 64
MAX_TOKEN = 4096

F = TypeVar("F", bound="ClientFrame")


class ClientFrame(Input):
    """Base of all. `ref` comes back in the `ack` or `error` that answers the frame."""

    ref: Annotated[str, StringConstraints(max_length=MAX_REF)] | None = None
    type: str


class Authenticate(ClientFrame):
    type: Literal["authenticate"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TOKEN)]


class Ping(ClientFrame):
    type: Literal["ping"]


class Error(BaseModel):
    """The frame that it answers has changed nothing. `retry_after` is in seconds."""

    type: Literal["error"]
    ref: str | None
    code: str
    detail: str
    retry_after: float | None = None
    errors: list[FieldProblem] | None = None


class Pong(BaseModel):
    type: Literal["pong"]
    ref: str | None


def parse(text: str, frames: TypeAdapter[F]) -> F:
    """One of `frames`, told apart by their `type`.

    Raises MalformedJson, ValidationFailed; the latter with the frame's `ref` as `error.ref`, where it has one.
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
    # JSON can spell half of a surrogate pair, which is no text and cannot be sent back.
    return ref if ref.encode(errors="ignore").decode() == ref else None
