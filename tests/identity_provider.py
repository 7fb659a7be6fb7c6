"""The site beside Loa, as far as tokens go: its keys, the tokens that it issues, and its JWKS URL."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://site.example/"
SITE_SECRET = "the secret that the site and Loa have in common"

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]

ALGORITHMS = {
    "rsa": (jwt.algorithms.RSAAlgorithm, "RS256"),
    "rsa-2": (jwt.algorithms.RSAAlgorithm, "RS256"),
    "rsa-1024": (jwt.algorithms.RSAAlgorithm, "RS256"),
    "p256": (jwt.algorithms.ECAlgorithm, "ES256"),
    "p384": (jwt.algorithms.ECAlgorithm, "ES384"),
    "ed25519": (jwt.algorithms.OKPAlgorithm, "EdDSA"),
}


@cache
def private_key(name: str) -> Any:
    """The private key of this name, a key of ALGORITHMS; the same one in the whole run."""
    if name.startswith("rsa"):
        return generate_rsa(65537, 1024 if name == "rsa-1024" else 2048)
    if name == "ed25519":
        return Ed25519PrivateKey.generate()
    return generate_ec(SECP256R1() if name == "p256" else SECP384R1())


def public_pem(name: str) -> str:
    return private_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_jwk(name: str, **more: Any) -> dict[str, Any]:
    """The public key as a JWK whose `kid` is its name. `more`: further members; None removes one."""
    jwk = {**ALGORITHMS[name][0].to_jwk(private_key(name).public_key(), as_dict=True), "kid": name, "use": "sig"}
    return {member: value for member, value in {**jwk, **more}.items() if value is not None}


def claims(sub: str = "42", **more: Any) -> dict[str, Any]:
    """Claims of a token that is valid for five minutes. `more`: further claims; None removes one."""
    now = int(time.time())
    given = {"iss": ISSUER, "sub": sub, "iat": now, "exp": now + 300, **more}
    return {name: value for name, value in given.items() if value is not None}


def sign(payload: Any, key: str = "rsa", algorithm: str = "", **header: Any) -> str:
    """A token signed with a private key, or with the shared secret if `key` is "secret". A `header` of None is left
    out."""
    signer = SITE_SECRET if key == "secret" else private_key(key)
    algorithm = algorithm or ("HS256" if key == "secret" else ALGORITHMS[key][1])
    head = {"alg": algorithm, "typ": "JWT", "kid": None if key == "secret" else key, **header}
    signing = compact({name: value for name, value in head.items() if value is not None}, payload)
    signed = jwt.get_algorithm_by_name(algorithm).sign(signing.encode(), _prepared(algorithm, signer))
    return f"{signing}.{base64url(signed)}"


def token(sub: str = "42", key: str = "rsa", **more: Any) -> str:
    """A valid token for this person, with `claims(sub, **more)`."""
    return sign(claims(sub, **more), key)


def compact(header: Any, payload: Any) -> str:
    """Header and payload of a token, without a signature."""
    return f"{base64url(json.dumps(header).encode())}.{base64url(json.dumps(payload).encode())}"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _prepared(algorithm: str, signer: Any) -> Any:
    return jwt.get_algorithm_by_name(algorithm).prepare_key(signer)


class JwksServer:
    """Serves a JWKS on loopback, or what `answer` writes instead, but at `/elsewhere.json` the JWKS all the same.

    `requests`: how many it has got.
    """

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [public_jwk("rsa")]
        self.answer: Answer | None = None
        self.requests = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        try:
            if self.answer and not head.startswith(b"GET /elsewhere.json "):
                await self.answer(writer)
            else:
                await respond(writer, json.dumps({"keys": self.keys}).encode())
        except ConnectionError:
            # Loa has hung up.
            pass
        finally:
            writer.close()


async def respond(writer: asyncio.StreamWriter, body: bytes, status: str = "200 OK", *headers: str) -> None:
    """Write an HTTP response."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    writer.write("\r\n".join([*head, "", ""]).encode() + body)
    await writer.drain()


@asynccontextmanager
async def jwks_server() -> AsyncIterator[JwksServer]:
    server = JwksServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/jwks.json"
    try:
        yield server
    finally:
        listener.close()
