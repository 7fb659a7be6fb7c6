"""`@endpoint` and `@connection`: authentication, validation and rate limits."""

from typing import Any

import pytest

from service.http.body import MAX_BODY_BYTES
from tests.http.conftest import CALLER, ORIGIN, SIGNED_IN, build
from tests.rest import RestClient, serving

JSON = {**SIGNED_IN, "Content-Type": "application/json"}


async def post(client: RestClient, body: str | bytes, headers: dict[str, str] = JSON) -> tuple[int, dict[str, Any]]:
    response = await client.post("/api/v1/parcels", content=body, headers=headers)
    return response.status_code, response.json()


class TestAuthentication:
    async def test_passes_caller_and_body_to_the_handler(self, client: RestClient) -> None:
        status, answer = await post(client, '{"label": "books"}')
        assert (201, CALLER.user_id, "books") == (status, answer["user_id"], answer["label"])

    @pytest.mark.parametrize(
        ("header", "code"),
        [
            (None, "token_missing"),
            ("", "token_missing"),
            ("Bearer", "token_missing"),
            ("Basic Z29vZA==", "token_missing"),
            ("Bearer bad", "token_invalid"),
            ("Bearer old", "token_expired"),
            ("Bearer good more", "token_invalid"),
        ],
    )
    async def test_rejects_a_missing_or_invalid_token_before_anything_else(
        self, client: RestClient, header: str | None, code: str
    ) -> None:
        """401, whatever the body is like."""
        headers = {"Content-Type": "text/plain"} | ({"Authorization": header} if header is not None else {})
        status, answer = await post(client, "{not json", headers)
        assert (401, code) == (status, answer["code"])

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    async def test_the_scheme_is_case_insensitive(self, client: RestClient, scheme: str) -> None:
        """RFC 9110, 11.1."""
        response = await client.delete("/api/v1/parcels/1", headers={"Authorization": f"{scheme} good"})
        assert (204, b"") == (response.status_code, response.content)

    async def test_ignores_a_token_in_the_url(self, client: RestClient) -> None:
        """Only sockets and streams accept it there: URLs end up in logs."""
        response = await client.delete("/api/v1/parcels/1?token=good")
        assert 401 == response.status_code


class TestConnection:
    @pytest.mark.parametrize("query", ["token=good", "ticket=once", "ticket=once&token=bad"])
    async def test_accepts_a_token_or_ticket_in_the_url(self, client: RestClient, query: str) -> None:
        """A browser cannot set headers for sockets and streams. A ticket takes precedence."""
        response = await client.get(f"/api/v1/parcels/stream?{query}&last_seq=7&cache=1")
        assert {"user_id": CALLER.user_id, "last_seq": 7} == response.json()

    async def test_accepts_the_authorization_header(self, client: RestClient) -> None:
        assert 200 == (await client.get("/api/v1/parcels/stream", headers=SIGNED_IN)).status_code

    @pytest.mark.parametrize(("query", "code"), [("", "token_missing"), ("ticket=spent", "token_invalid")])
    async def test_rejects_a_missing_token_or_used_ticket(self, client: RestClient, query: str, code: str) -> None:
        """A used ticket does not fall back to a token."""
        response = await client.get(f"/api/v1/parcels/stream?{query}")
        assert (401, code) == (response.status_code, response.json()["code"])

    async def test_rejects_an_invalid_query(self, client: RestClient) -> None:
        """Unknown parameters are ignored, known ones validated."""
        response = await client.get("/api/v1/parcels/stream?token=good&last_seq=x")
        assert (422, "last_seq") == (response.status_code, response.json()["errors"][0]["field"])

    async def test_rejects_head(self, client: RestClient) -> None:
        """It would open the connection for nothing."""
        response = await client.head("/api/v1/parcels/stream?token=good")
        assert (405, "GET, OPTIONS") == (response.status_code, response.headers["allow"])


class TestBody:
    @pytest.mark.parametrize(
        "body",
        [
            *(
                "",
                " ",
                "{",
                '{"label": "x"',
                '{"label": "x"}}',
                "{'label': 'x'}",
                '{"label": "x",}',
                "nul",
                "undefined",
            ),
            *(
                '{"label": "\\x41"}',
                b'{"label": "\xff"}',
                b"\xef\xbb\xbf{}",
                "[" * 5000,
                '{"weight": ' + "9" * 5000 + "}",
            ),
        ],
    )
    async def test_rejects_malformed_json(self, client: RestClient, body: str | bytes) -> None:
        """400 malformed_json: incomplete, invalid, not UTF-8, too deeply nested, or too long a number."""
        status, answer = await post(client, body)
        assert (400, "malformed_json") == (status, answer["code"])

    @pytest.mark.parametrize(("body", "text"), [("", "nothing"), ("{}", "nothing"), ('{"text": "x"}', "x")])
    async def test_a_body_may_be_optional(self, client: RestClient, body: str, text: str) -> None:
        """Without one, its defaults apply."""
        headers = {"Content-Type": "application/json"} if body else {}
        response = await client.post("/api/v1/parcels/notes", content=body, headers=headers)
        assert (200, {"text": text}) == (response.status_code, response.json())

    @pytest.mark.parametrize("body", ["[]", "null", '"label"', "1", "true"])
    async def test_rejects_json_that_is_not_an_object(self, client: RestClient, body: str) -> None:
        status, answer = await post(client, body)
        assert (422, "validation_failed", "body") == (status, answer["code"], answer["errors"][0]["field"])

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ("{}", "label"),
            ('{"label": ""}', "label"),
            ('{"label": null}', "label"),
            ('{"label": 5}', "label"),
            ('{"label": {"$gt": ""}}', "label"),
            ('{"label": ["x"]}', "label"),
            ('{"label": "x", "more": 1}', "more"),
            ('{"label": "x", "$where": "1"}', "$where"),
            ('{"label": "x", "__proto__": {}}', "__proto__"),
            ('{"label": "x", "weight": "5"}', "weight"),
            ('{"label": "x", "weight": true}', "weight"),
            ('{"label": "x", "weight": 5.0}', "weight"),
            ('{"label": "x", "weight": 1e1}', "weight"),
            ('{"label": "x", "weight": NaN}', "weight"),
            ('{"label": "x", "weight": Infinity}', "weight"),
            ('{"label": "x", "weight": 101}', "weight"),
            ('{"label": "x", "weight": ' + "9" * 400 + "}", "weight"),
            ('{"label": "x", "stops": {"a": {"$gt": 1}}}', "stops.a"),
            ('{"label": "x", "inside": {"label": "y", "more": 1}}', "inside.more"),
            ('{"label": "\\ud800"}', "body"),
            ('{"label": "\\uDFFF and more"}', "body"),
            (b'{"label": "\xed\xa0\x80"}', "body"),
            ('{"label": "x", "stops": {"\\ud800": 1}}', "body"),
            ('{"label": "x", "\\ud800": 1}', "body"),
        ],
    )
    async def test_reports_the_path_of_an_invalid_field(
        self, client: RestClient, body: str | bytes, field: str
    ) -> None:
        """Values are not converted; operators, unknown fields and lone surrogates are rejected."""
        status, answer = await post(client, body)
        assert (422, "validation_failed") == (status, answer["code"])
        assert [field] == [problem["field"] for problem in answer["errors"]]
        assert answer["errors"][0]["message"]

    async def test_accepts_surrogate_pairs(self, client: RestClient) -> None:
        """An emoji may be written as a pair of escapes, or as itself."""
        assert "😀😀" == (await post(client, '{"label": "\\ud83d\\ude00😀"}'))[1]["label"]

    async def test_the_last_of_two_equal_keys_counts(self, client: RestClient) -> None:
        """RFC 8259, 4: as in most parsers, so that a filter in front sees the same value."""
        assert "b" == (await post(client, '{"label": "a", "label": "b"}'))[1]["label"]

    async def test_deep_nesting_is_a_validation_error(self, client: RestClient) -> None:
        """A model that refers to itself does not exhaust the stack."""
        status, _ = await post(client, '{"inside":' * 900 + "{}" + "}" * 900)
        assert 422 == status

    async def test_a_body_may_be_as_long_as_the_limit(self, client: RestClient) -> None:
        """One byte more is 413."""
        frame = len('{"label": ""}')
        status, _ = await post(client, '{"label": "' + "x" * (MAX_BODY_BYTES - frame) + '"}')
        assert 422 == status
        status, answer = await post(client, '{"label": "' + "x" * (MAX_BODY_BYTES - frame + 1) + '"}')
        assert (413, "too_large") == (status, answer["code"])

    @pytest.mark.parametrize(
        "kind",
        [
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "text/plain",
            "text/plain;application/json",
        ],
    )
    async def test_rejects_the_content_types_of_forms(self, client: RestClient, kind: str) -> None:
        """A page of another origin can send these without a preflight."""
        status, answer = await post(client, '{"label": "x"}', SIGNED_IN | {"Content-Type": kind})
        assert (415, "unsupported_media_type") == (status, answer["code"])

    @pytest.mark.parametrize(
        "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
    )
    async def test_accepts_all_json_content_types(self, client: RestClient, kind: str) -> None:
        """Parameters, case and suffix do not matter."""
        assert 201 == (await post(client, '{"label": "x"}', SIGNED_IN | {"Content-Type": kind}))[0]

    async def test_rejects_a_body_without_content_type(self, client: RestClient) -> None:
        """A page of another origin can send one without a preflight: `fetch` with a Blob."""
        status, answer = await post(client, b'{"label": "x"}', SIGNED_IN)
        assert (415, "unsupported_media_type") == (status, answer["code"])
        assert 400 == (await post(client, b"", SIGNED_IN))[0]

    async def test_rejects_two_content_types(self, client: RestClient) -> None:
        headers = [*SIGNED_IN.items(), ("Content-Type", "application/json"), ("Content-Type", "text/plain")]
        response = await client.post("/api/v1/parcels", content=b'{"label": "x"}', headers=headers)
        assert 415 == response.status_code

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 201),
            ({"Origin": ORIGIN}, 201),
            ({"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"}, 201),
            ({"Sec-Fetch-Site": "same-origin"}, 201),
            ({"Sec-Fetch-Site": "none"}, 201),
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "null"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
            ({"Sec-Fetch-Site": "Same-Site"}, 403),
        ],
    )
    async def test_pages_of_other_origins_change_nothing(
        self, client: RestClient, headers: dict[str, str], status: int
    ) -> None:
        """Whatever the body. Clients that are not browsers send none of these headers."""
        assert status == (await post(client, '{"label": "x"}', JSON | headers))[0]
        anonymously = await client.post("/api/v1/parcels/anonymous", headers=headers)
        assert (403 if status == 403 else 204) == anonymously.status_code
        assert 200 == (await client.get("/api/v1/parcels", headers=headers)).status_code


class TestLimit:
    async def test_is_checked_after_validation(self) -> None:
        """An invalid body does not count."""
        async with serving(build(rate_limits=True)) as client:
            for _ in range(5):
                assert 422 == (await post(client, "{}"))[0]
            assert [201, 201, 429] == [(await post(client, '{"label": "x"}'))[0] for _ in range(3)]

    async def test_counts_by_address_without_authentication(self) -> None:
        """All anonymous clients of one address share the limit."""
        async with serving(build(rate_limits=True)) as client:
            statuses = [(await client.post("/api/v1/parcels/anonymous")).status_code for _ in range(3)]
            assert [204, 204, 429] == statuses

    async def test_counts_by_user_with_authentication(self) -> None:
        """The same limit, reached by an address, does not stop a user of that address."""
        async with serving(build(rate_limits=True)) as client:
            for _ in range(3):
                await client.post("/api/v1/parcels/anonymous")
            assert 201 == (await post(client, '{"label": "x"}'))[0]


class TestQuery:
    async def test_parses_numbers_and_booleans(self, client: RestClient) -> None:
        response = await client.get("/api/v1/parcels?limit=5&unread=1&query=%C3%A4")
        assert {"query": "ä", "limit": 5, "unread": True} == response.json()

    async def test_has_defaults(self, client: RestClient) -> None:
        """For missing and for empty parameters."""
        assert {"query": "", "limit": 20, "unread": False} == (await client.get("/api/v1/parcels?query=")).json()

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("limit=5&limit=6", "limit"),
            ("query=a&query=b", "query"),
            ("more=1", "more"),
            ("query[$gt]=a", "query[$gt]"),
            ("unread=perhaps", "unread"),
        ],
    )
    async def test_reports_an_invalid_parameter(self, client: RestClient, query: str, field: str) -> None:
        """422, also for repeated and unknown parameters."""
        response = await client.get(f"/api/v1/parcels?{query}")
        assert (422, "validation_failed") == (response.status_code, response.json()["code"])
        assert [field] == [problem["field"] for problem in response.json()["errors"]]

    async def test_replaces_invalid_utf_8(self, client: RestClient) -> None:
        """By U+FFFD."""
        assert "\ufffd" == (await client.get("/api/v1/parcels?query=%ff")).json()["query"]
