"""The table of errors, and what a client sees of each."""

import asyncio

import pytest
from pydantic import BaseModel, ValidationError

from service.asyncapi import channels as channels_of_loa
from service.common import errors as domain
from service.common.close_reasons import CLOSE_REASONS, GONE, Reconnect
from service.common.errors import LoaError
from service.http import errors
from service.http.asyncapi import document
from service.http.errors import ERRORS
from service.telemetry.metrics import REASONS
from tests.http.conftest import build
from tests.rest import RestClient, serving


def leaf_classes(cls: type[LoaError] = LoaError) -> list[type[LoaError]]:
    below = [leaf for child in cls.__subclasses__() for leaf in leaf_classes(child)]
    return below or [cls]


def instance_of(cls: type[LoaError]) -> LoaError:
    return cls.of("name", "Invalid.") if issubclass(cls, domain.ValidationFailed) else cls()


class TestTable:
    def test_every_domain_error_is_in_the_table(self) -> None:
        """No domain error reaches a client as an internal error."""
        assert len(leaf_classes()) > 10
        assert [] == [leaf.__name__ for leaf in leaf_classes() if ERRORS.keys().isdisjoint(leaf.__mro__)]

    def test_a_subclass_has_the_entry_of_its_base(self) -> None:
        """A use case may refine an error without an entry of its own."""

        class ConversationGone(domain.NotFound):
            pass

        assert ERRORS[domain.NotFound] == errors.spec_for(ConversationGone())

    def test_any_other_exception_is_an_internal_error(self) -> None:
        assert (500, "internal_error", 1011, Reconnect.BACK_OFF) == errors.spec_for(KeyError("x"))

    def test_codes_are_those_of_the_protocol(self) -> None:
        """Clients rely on each status and code."""
        assert {
            (400, "malformed_json"),
            (403, "banned"),
            *((401, f"token_{why}") for why in ("missing", "invalid", "expired", "revoked")),
            (401, "key_invalid"),
            (401, "bad_credentials"),
            (403, "origin_not_allowed"),
            (403, "forbidden"),
            (403, "blocked"),
            (404, "not_found"),
            (409, "username_taken"),
            (409, "nonce_reused"),
            (413, "too_large"),
            (415, "unsupported_media_type"),
            (416, "range_not_satisfiable"),
            (422, "validation_failed"),
            (429, "rate_limited"),
            (503, "unavailable"),
        } == {(spec.status, spec.code) for spec in ERRORS.values()}

    def test_close_codes_are_valid_on_the_wire(self) -> None:
        """RFC 6455, 7.4.1: a server may send these."""
        assert {1003, 1008, 1009, 1013} == {spec.close_code for spec in ERRORS.values()}


class TestCloseReasons:
    def test_an_error_and_a_close_reason_of_one_name_agree(self) -> None:
        """Whether a session ends while connecting or later, the client sees the same close frame."""
        by_reason = {reason.reason: (reason, reconnect) for reason, reconnect in CLOSE_REASONS.items()}
        both = [spec for spec in (*ERRORS.values(), errors.INTERNAL_ERROR) if spec.code in by_reason]
        assert {"token_expired", "token_revoked", "too_large", "internal_error"} == {spec.code for spec in both}
        for spec in both:
            assert (spec.close_reason, spec.reconnect) == by_reason[spec.code]

    def test_the_metrics_count_each_reason(self) -> None:
        """No reason is counted as "other"."""
        assert {reason for _, reason in (*CLOSE_REASONS, *errors.CLOSING_ERRORS)} <= REASONS

    async def test_the_asyncapi_document_lists_them(self) -> None:
        """The document of each socket lists the close frames of the server; 1006 is never sent."""
        channels = document("Loa", "1", channels_of_loa())["channels"].values()
        listed = [channel["x-close-reasons"] for channel in channels if channel["bindings"].get("ws")]
        assert 2 == len(listed)
        table = {reason: reconnect for reason, reconnect in CLOSE_REASONS.items() if reason.code != GONE.code}
        for reasons in listed:
            assert table | errors.CLOSING_ERRORS == {
                (reason["code"], reason["reason"]): reason["reconnect"] for reason in reasons
            }


class TestProblem:
    @pytest.mark.parametrize("cls", list(ERRORS))
    def test_is_an_rfc_9457_document(self, cls: type[LoaError]) -> None:
        """Each error has all members, and its own status and code."""
        body, _ = errors.problem_of(instance_of(cls))
        problem = errors.Problem.model_validate(body)
        spec = ERRORS[cls]
        assert (spec.status, spec.code) == (problem.status, problem.code)
        assert problem.title
        assert problem.detail
        assert (spec.status == 422) == (problem.errors is not None)

    @pytest.mark.parametrize(("wait", "header"), [(0.2, "1"), (1.0, "1"), (1.2, "2"), (59.01, "60")])
    def test_retry_after_is_rounded_up_to_whole_seconds(self, wait: float, header: str) -> None:
        """A client that waits as long is not rejected again. The detail names the same number."""
        body, headers = errors.problem_of(domain.RateLimited(retry_after=wait))
        assert header == headers["Retry-After"]
        assert f"Too many requests; try again in {header} s." == body["detail"]

    def test_unavailable_has_retry_after(self) -> None:
        """503 has a default of its own."""
        assert "Retry-After" in errors.problem_of(domain.Unavailable())[1]

    def test_names_the_authentication_scheme(self) -> None:
        """RFC 9110, 11.6.1; with the error only if the request had a token (RFC 6750, 3.1)."""
        assert "Bearer" == errors.problem_of(domain.TokenMissing())[1]["WWW-Authenticate"]
        assert 'Bearer error="invalid_token"' == errors.problem_of(domain.TokenExpired())[1]["WWW-Authenticate"]

    def test_does_not_repeat_the_input(self) -> None:
        """An invalid password is not part of the response."""

        class Secret(BaseModel):
            password: int

        with pytest.raises(ValidationError) as caught:
            Secret.model_validate({"password": "hunter2", "more": "hunter2"})
        assert "hunter2" not in str(errors.problem_of(errors.of_pydantic(caught.value)))

    def test_bounds_the_number_and_length_of_reported_fields(self) -> None:
        """Many unknown fields, or very long names, do not make a long response."""

        class Nothing(BaseModel, extra="forbid"):
            pass

        with pytest.raises(ValidationError) as caught:
            Nothing.model_validate({f"{number}{'x' * 10_000}": 1 for number in range(100)})
        failed = errors.of_pydantic(caught.value)
        assert errors.MAX_FIELDS == len(failed.fields)
        assert errors.MAX_FIELD_NAME == max(len(field.field) for field in failed.fields)


class TestHandler:
    async def test_an_unknown_path_is_a_problem_document(self, client: RestClient) -> None:
        """404 with the code `not_found`."""
        response = await client.get("/nowhere")
        assert (404, "not_found") == (response.status_code, response.json()["code"])
        assert "application/problem+json" == response.headers["content-type"]

    async def test_an_unknown_method_is_a_problem_document(self, client: RestClient) -> None:
        """405 with the allowed methods."""
        response = await client.put("/api/v1/parcels")
        assert (405, "method_not_allowed") == (response.status_code, response.json()["code"])
        assert {"GET", "HEAD", "OPTIONS", "POST"} == set(response.headers["allow"].split(", "))

    async def test_bytes_that_are_not_http_are_a_problem_document(self, client: RestClient) -> None:
        """Even if Sanic could not parse the request."""
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(b"NONSENSE\r\n\r\n")
        answer = await reader.read()
        writer.close()
        assert b"400 Bad Request" in answer
        assert b"application/problem+json" in answer
        assert b'"code":"bad_request"' in answer

    async def test_an_internal_error_reveals_nothing(self) -> None:
        """500 contains neither the exception's class nor its message."""

        def act() -> None:
            raise RuntimeError("mongodb://user:password@host")

        async with serving(build(act=act)) as client:
            response = await client.get("/api/v1/act")
        assert (500, "internal_error") == (response.status_code, response.json()["code"])
        assert "password" not in response.text
        assert "RuntimeError" not in response.text

    async def test_an_invalid_response_model_is_an_internal_error(self) -> None:
        """A pydantic error that is not about the request is not a 422."""

        class Count(BaseModel):
            count: int

        async with serving(build(act=lambda: Count.model_validate({"count": "secret"}))) as client:
            response = await client.get("/api/v1/act")
        assert 500 == response.status_code
        assert "secret" not in response.text

    @pytest.mark.parametrize("cls", list(ERRORS))
    async def test_each_domain_error_reaches_the_client(self, cls: type[LoaError]) -> None:
        """With its status, code and content type."""

        def act() -> None:
            raise instance_of(cls)

        async with serving(build(act=act)) as client:
            response = await client.get("/api/v1/act")
        spec = ERRORS[cls]
        assert (spec.status, spec.code) == (response.status_code, response.json()["code"])
        assert "application/problem+json" == response.headers["content-type"]

    async def test_a_request_that_takes_too_long_is_unavailable(self) -> None:
        """Sanic's response timeout becomes a problem document."""
        app = build(act=asyncio.Event().wait)
        app.config.RESPONSE_TIMEOUT = 0.05
        async with serving(app) as client:
            response = await client.get("/api/v1/act")
        assert (503, "unavailable") == (response.status_code, response.json()["code"])
        assert "retry-after" in response.headers

    async def test_a_cancelled_request_is_unavailable(self) -> None:
        """A stopping server cancels its last requests."""

        def act() -> None:
            raise asyncio.CancelledError

        async with serving(build(act=act)) as client:
            response = await client.get("/api/v1/act")
        assert (503, "unavailable") == (response.status_code, response.json()["code"])
