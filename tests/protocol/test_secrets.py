"""A change of JWT_SECRET keeps users signed in."""

import jwt

from tests.conftest import SECRET, Run
from tests.protocol.authenticated_endpoints import ENDPOINTS
from tests.protocol.clients import Clients
from tests.protocol.servers import load_contract

FORMER = "what signed the tokens until the secret was changed"
FOREIGN = "what has never signed a token of this deployment"


def signed(token: str, secret: str) -> str:
    """The same token with another signature."""
    return jwt.encode(jwt.decode(token, options={"verify_signature": False}), secret, "HS256")


def signer(token: str) -> str | None:
    """Which secret has signed it."""
    for secret in (SECRET, FORMER):
        try:
            jwt.decode(token, secret, ["HS256"])
        except jwt.InvalidSignatureError:
            continue
        return secret
    return None


async def test_tokens_of_the_former_secret_are_accepted_and_refreshed_with_the_present_one(run: Run) -> None:
    """A third secret is rejected."""
    server = run(JWT_SECRET_PREVIOUS=FORMER, RATE_LIMITS="off")
    async with Clients(server, load_contract(server)) as clients:
        anna = await clients.user()
        assert SECRET == signer(anna.token)
        refused = [await endpoint(clients, {"token": signed(anna.token, FOREIGN)}) for endpoint in ENDPOINTS]
        assert ["token_invalid"] * len(ENDPOINTS) == refused
        anna.token, anna.refresh_token = signed(anna.token, FORMER), signed(anna.refresh_token, FORMER)
        assert FORMER == signer(anna.token)
        assert [""] * len(ENDPOINTS) == [await endpoint(clients, {"token": anna.token}) for endpoint in ENDPOINTS]
        socket = await anna.chat_socket()
        await clients.stream(query={"ticket": await anna.ticket()})
        await anna.refresh()
        assert [SECRET, SECRET] == [signer(anna.token), signer(anna.refresh_token)]
        await socket.request("authenticate", token=anna.token)
        # A session is one, whichever secret its tokens are signed with.
        await anna.post("/auth/logout")
        assert (1008, "token_revoked") == await socket.closed()
        assert "token_revoked" == await ENDPOINTS[0](clients, {"token": signed(anna.token, FORMER)})
