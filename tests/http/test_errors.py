"""The one table of errors, and what a client sees of each."""

import asyncio

import pytest
from pydantic import BaseModel, ValidationError

from service.common import errors as domain
from service.common.errors import LoaError
from service.http import errors
from service.http.errors import ERRORS
from tests.http.conftest import build
from tests.rest import RestClient, serving


def leaves(kind: type[LoaError] = LoaError) -> list[type[LoaError]]:
    below = [leaf for child in kind.__subclasses__() for leaf in leaves(child)]
    return below or [kind]


def made(kind: type[LoaError]) -> LoaError:
    return kind.of("name", "It is wrong.") if issubclass(kind, domain.ValidationFailed) else kind()


class TestTable:
    def test_every_error_has_its_row(self) -> None:
        """There is no domain error that would reach a client as a fault of the server."""
        assert len(leaves()) > 10
        assert [] == [leaf.__name__ for leaf in leaves() if ERRORS.keys().isdisjoint(leaf.__mro__)]

    def test_a_kind_of_an_error_has_the_row_of_its_base(self) -> None:
        """A use case may refine an error without a row of its own."""

        class ConversationGone(domain.NotFound):
            pass

        assert ERRORS[domain.NotFound] == errors.spec_for(ConversationGone())

    def test_an_error_of_ours_is_internal(self) -> None:
        """What is not in the table is no client's fault."""
        assert (500, "internal_error", 1011) == errors.spec_for(KeyError("x"))

    def test_codes_are_those_of_the_protocol(self) -> None:
        """Status and code, as PROTOCOL.md has them, with the one that only HTTP knows."""
        assert {
            (400, "malformed_json"),
            *((401, f"token_{why}") for why in ("missing", "invalid", "expired", "revoked")),
            (401, "bad_credentials"),
            (403, "origin_not_allowed"),
            (403, "forbidden"),
            (404, "not_found"),
            (409, "username_taken"),
            (409, "nonce_reused"),
            (413, "too_large"),
            (415, "unsupported_media_type"),
            (422, "validation_failed"),
            (429, "rate_limited"),
            (503, "unavailable"),
        } == {(row.status, row.code) for row in ERRORS.values()}

    def test_close_codes_are_valid_on_the_wire(self) -> None:
        """RFC 6455, 7.4.1: a server may send these."""
        assert {1003, 1008, 1009, 1013} == {row.close_code for row in ERRORS.values()}


class TestProblem:
    @pytest.mark.parametrize("kind", list(ERRORS))
    def test_is_a_document_of_rfc_9457(self, kind: type[LoaError]) -> None:
        """Each has the members that PROTOCOL.md names, and its status and code."""
        body, _ = errors.problem_of(made(kind))
        problem = errors.Problem.model_validate(body)
        row = ERRORS[kind]
        assert (row.status, row.code) == (problem.status, problem.code)
        assert problem.title
        assert problem.detail
        assert (row.status == 422) == (problem.errors is not None)

    @pytest.mark.parametrize(("wait", "header"), [(0.2, "1"), (1.0, "1"), (1.2, "2"), (59.01, "60")])
    def test_says_when_to_come_back_in_whole_seconds(self, wait: float, header: str) -> None:
        """Rounded up: at the time that is said, it works."""
        _, headers = errors.problem_of(domain.RateLimited(retry_after=wait))
        assert header == headers["Retry-After"]

    def test_unavailable_says_when_to_come_back(self) -> None:
        """503 carries Retry-After without anybody's asking."""
        assert "Retry-After" in errors.problem_of(domain.Unavailable())[1]

    def test_names_the_scheme_to_sign_in_with(self) -> None:
        """RFC 9110, 11.6.1; the reason only where a token was shown (RFC 6750, 3.1)."""
        assert "Bearer" == errors.problem_of(domain.TokenMissing())[1]["WWW-Authenticate"]
        assert 'Bearer error="invalid_token"' == errors.problem_of(domain.TokenExpired())[1]["WWW-Authenticate"]

    def test_keeps_the_input_out_of_a_refusal(self) -> None:
        """A password that breaks a rule does not come back."""

        class Secret(BaseModel):
            password: int

        with pytest.raises(ValidationError) as caught:
            Secret.model_validate({"password": "hunter2", "more": "hunter2"})
        assert "hunter2" not in str(errors.problem_of(errors.of_pydantic(caught.value)))

    def test_bounds_what_comes_back_of_unknown_fields(self) -> None:
        """Ten thousand unknown fields, or one of ten thousand characters, do not make ten thousand of answer."""

        class Nothing(BaseModel, extra="forbid"):
            pass

        with pytest.raises(ValidationError) as caught:
            Nothing.model_validate({f"{number}{'x' * 10_000}": 1 for number in range(100)})
        failed = errors.of_pydantic(caught.value)
        assert errors.MAX_FIELDS == len(failed.fields)
        assert errors.MAX_FIELD_NAME == max(len(field.field) for field in failed.fields)


class TestHandler:
    async def test_answers_an_unknown_path_with_a_problem(self, client: RestClient) -> None:
        """404, whatever it is that is not there."""
        response = await client.get("/nowhere")
        assert (404, "not_found") == (response.status_code, response.json()["code"])
        assert "application/problem+json" == response.headers["content-type"]

    async def test_answers_another_method_with_a_problem(self, client: RestClient) -> None:
        """405, with what is allowed."""
        response = await client.put("/api/v1/parcels")
        assert (405, "method_not_allowed") == (response.status_code, response.json()["code"])
        assert {"GET", "HEAD", "OPTIONS", "POST"} == set(response.headers["allow"].split(", "))

    async def test_answers_what_is_no_http_with_a_problem(self, client: RestClient) -> None:
        """Even a request that was never parsed gets a document."""
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"NONSENSE\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert b"400 Bad Request" in answer
        assert b"application/problem+json" in answer
        assert b'"code":"bad_request"' in answer

    async def test_says_nothing_of_a_fault_of_ours(self) -> None:
        """500 names neither the exception nor what it says."""

        def act() -> None:
            raise RuntimeError("mongodb://user:password@host")

        async with serving(build(act=act)) as client:
            response = await client.get("/api/v1/act")
        assert (500, "internal_error") == (response.status_code, response.json()["code"])
        assert "password" not in response.text
        assert "RuntimeError" not in response.text

    async def test_blames_itself_for_an_answer_that_breaks_its_model(self) -> None:
        """A pydantic error that is not about the request is a fault of ours, not a 422."""

        class Count(BaseModel):
            count: int

        async with serving(build(act=lambda: Count.model_validate({"count": "secret"}))) as client:
            response = await client.get("/api/v1/act")
        assert 500 == response.status_code
        assert "secret" not in response.text

    @pytest.mark.parametrize("kind", list(ERRORS))
    async def test_answers_each_error_over_http(self, kind: type[LoaError]) -> None:
        """What a use case raises arrives with its status, code and content type."""

        def act() -> None:
            raise made(kind)

        async with serving(build(act=act)) as client:
            response = await client.get("/api/v1/act")
        row = ERRORS[kind]
        assert (row.status, row.code) == (response.status_code, response.json()["code"])
        assert "application/problem+json" == response.headers["content-type"]

    async def test_is_unavailable_to_a_request_that_takes_too_long(self) -> None:
        """Sanic's own limit ends it, in our words."""
        app = build(act=asyncio.Event().wait)
        app.config.RESPONSE_TIMEOUT = 0.05
        async with serving(app) as client:
            response = await client.get("/api/v1/act")
        assert (503, "unavailable") == (response.status_code, response.json()["code"])
        assert "retry-after" in response.headers

    async def test_is_unavailable_to_a_request_that_is_cancelled(self) -> None:
        """As at the end of a server that stops."""

        def act() -> None:
            raise asyncio.CancelledError

        async with serving(build(act=act)) as client:
            response = await client.get("/api/v1/act")
        assert (503, "unavailable") == (response.status_code, response.json()["code"])
