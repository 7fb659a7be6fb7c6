"""The frames that clients send on the notification socket."""

from typing import Annotated

from pydantic import Field, TypeAdapter

from service.edge.frames import Authenticate, Ping

Frame = Authenticate | Ping

FRAMES: TypeAdapter[Frame] = TypeAdapter(Annotated[Frame, Field(discriminator="type")])
