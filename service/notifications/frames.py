"""What a client may say on the notification socket."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, TypeAdapter, ValidationError

from service.encoding import loads
from service.errors import MalformedJson
from service.http.endpoint import Input
from service.http.errors import of_pydantic

MAX_REF = 64


class ClientFrame(Input):
    """Base of all. `ref` comes back in the frame that answers."""

    ref: Annotated[str, StringConstraints(max_length=MAX_REF)] | None = None


class Authenticate(ClientFrame):
    type: Literal["authenticate"]
    token: Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Ping(ClientFrame):
    type: Literal["ping"]


Frame = Authenticate | Ping

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
        refusal = of_pydantic(error, tag="type")
        ref = data.get("ref") if isinstance(data, dict) else None
        refusal.ref = ref if isinstance(ref, str) and len(ref) <= MAX_REF else None
        raise refusal from None
