"""Request and response models of Web Push."""

import binascii
from typing import Annotated

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from service.common import base64url
from service.common.models import Input

MAX_ENDPOINT = 2048
"""Characters: those of the known push services have 100 to 700."""
PUBLIC_KEY_BYTES = 65
"""RFC 8291, 3.1: a point on P-256 in the uncompressed form of X9.62."""
MAX_TIME = 8.64e15
"""Milliseconds: the last moment of a JavaScript `Date`."""
AUTH_BYTES = 16
"""RFC 8291, 3.2."""

Base64Url = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_-]+={0,2}$", max_length=128)]
Endpoint = Annotated[
    str,
    StringConstraints(pattern="^https://[!-~]+$", max_length=MAX_ENDPOINT),
    Field(examples=["https://fcm.googleapis.com/fcm/send/dX3kq0"]),
]


def decode_base64url(text: str) -> bytes:
    """Decode with or without padding. Raises ValueError."""
    try:
        return base64url.decode(text.rstrip("="))
    except binascii.Error:
        raise ValueError("Is not Base64url") from None


def _check_public_key(text: str) -> str:
    data = decode_base64url(text)
    try:
        if len(data) != PUBLIC_KEY_BYTES:
            raise ValueError
        # A point that is not on the curve would give away something about the other key of the agreement.
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise ValueError("Is not an uncompressed point on P-256") from None
    return text


def _check_auth(text: str) -> str:
    if len(decode_base64url(text)) != AUTH_BYTES:
        raise ValueError(f"Does not have {AUTH_BYTES} bytes")
    return text


class SubscriptionKeys(Input):
    """`p256dh`: the browser's public key. `auth`: a secret that it shares with Loa. Both in Base64url."""

    p256dh: Annotated[
        Base64Url,
        AfterValidator(_check_public_key),
        Field(examples=["BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"]),
    ]
    auth: Annotated[Base64Url, AfterValidator(_check_auth), Field(examples=["BTBZMqHH6r4Tts7J_aSIgg"])]


class NewSubscription(Input):
    """What a browser's `PushSubscription.toJSON()` returns. `expirationTime`, in milliseconds, means nothing to Loa:
    the push service tells when a subscription has ended."""

    endpoint: Endpoint
    expirationTime: float | None = Field(None, ge=0, le=MAX_TIME, examples=[None])
    keys: SubscriptionKeys


class EndedSubscription(Input):
    endpoint: Endpoint


class PushKey(BaseModel):
    """`public_key`: the `applicationServerKey` with which browsers subscribe, in Base64url."""

    public_key: str


class Subscribed(BaseModel):
    """A subscription as it is stored."""

    endpoint: Endpoint
