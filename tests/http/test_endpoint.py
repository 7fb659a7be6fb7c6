"""What comes in through `@endpoint`: signed in, read and checked before a handler sees it."""

from typing import Any

import pytest

from service.http.body import MAX_BODY_BYTES
from tests.http.conftest import CALLER, SIGNED_IN, build
from tests.rest import RestClient, serving

JSON = {**SIGNED_IN, "Content-Type": "application/json"}


async def post(client: RestClient, body: str | bytes, headers: dict[str, str] = JSON) -> tuple[int, dict[str, Any]]:
    response = await client.post("/api/v1/parcels", content=body, headers=headers)
    return response.status_code, response.json()


class TestSigningIn:
    async def test_hands_the_caller_to_the_handler(self, client: RestClient) -> None:
        """The handler is given who is calling, and its model."""
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
    async def test_refuses_a_stranger_before_anything_else(
        self, client: RestClient, header: str | None, code: str
    ) -> None:
        """401, whatever the body is like."""
        headers = {"Content-Type": "text/plain"} | ({"Authorization": header} if header is not None else {})
        status, answer = await post(client, "{not json", headers)
        assert (401, code) == (status, answer["code"])

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
    async def test_takes_the_scheme_in_any_case(self, client: RestClient, scheme: str) -> None:
        """RFC 9110, 11.1."""
        response = await client.delete("/api/v1/parcels/1", headers={"Authorization": f"{scheme} good"})
        assert (204, b"") == (response.status_code, response.content)

    async def test_takes_no_token_from_a_url(self, client: RestClient) -> None:
        """Only sockets and streams may be opened with one: of others the URL is logged on the way."""
        response = await client.delete("/api/v1/parcels/1?token=good")
        assert 401 == response.status_code


class TestConnection:
    @pytest.mark.parametrize("query", ["token=good", "ticket=once", "ticket=once&token=bad"])
    async def test_takes_a_token_or_a_ticket_from_the_url(self, client: RestClient, query: str) -> None:
        """A browser can give a socket or a stream no header. A ticket goes first."""
        response = await client.get(f"/api/v1/parcels/stream?{query}&last_seq=7&cache=1")
        assert {"user_id": CALLER.user_id, "last_seq": 7} == response.json()

    async def test_takes_the_header_too(self, client: RestClient) -> None:
        """Of clients that can."""
        assert 200 == (await client.get("/api/v1/parcels/stream", headers=SIGNED_IN)).status_code

    @pytest.mark.parametrize(("query", "code"), [("", "token_missing"), ("ticket=spent", "token_invalid")])
    async def test_refuses_a_stranger(self, client: RestClient, query: str, code: str) -> None:
        """A spent ticket does not fall back on a token."""
        response = await client.get(f"/api/v1/parcels/stream?{query}")
        assert (401, code) == (response.status_code, response.json()["code"])

    async def test_refuses_a_query_of_the_wrong_kind(self, client: RestClient) -> None:
        """Unknown parameters pass, known ones are what they should be."""
        response = await client.get("/api/v1/parcels/stream?token=good&last_seq=x")
        assert (422, "last_seq") == (response.status_code, response.json()["errors"][0]["field"])

    async def test_has_no_head(self, client: RestClient) -> None:
        """A HEAD would open the connection without wanting it."""
        response = await client.head("/api/v1/parcels/stream?token=good")
        assert (405, "GET") == (response.status_code, response.headers["allow"])


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
    async def test_refuses_what_is_not_json(self, client: RestClient, body: str | bytes) -> None:
        """400 malformed_json: unfinished, invalid, not UTF-8, nested or long beyond reason."""
        status, answer = await post(client, body)
        assert (400, "malformed_json") == (status, answer["code"])

    @pytest.mark.parametrize("body", ["[]", "null", '"label"', "1", "true"])
    async def test_refuses_what_is_no_object(self, client: RestClient, body: str) -> None:
        """422: JSON, but not a body of ours."""
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
    async def test_names_the_field_that_is_wrong(self, client: RestClient, body: str | bytes, field: str) -> None:
        """422 with its path: types as they are, no operators, no unknown fields, no half characters."""
        status, answer = await post(client, body)
        assert (422, "validation_failed") == (status, answer["code"])
        assert [field] == [problem["field"] for problem in answer["errors"]]
        assert answer["errors"][0]["message"]

    async def test_lets_whole_characters_through(self, client: RestClient) -> None:
        """An emoji may be written as a pair of escapes, or as itself."""
        assert "😀😀" == (await post(client, '{"label": "\\ud83d\\ude00😀"}'))[1]["label"]

    async def test_takes_the_last_of_two_values(self, client: RestClient) -> None:
        """RFC 8259, 4: what most readers do. Whoever checks the body before us should not see another one."""
        assert "b" == (await post(client, '{"label": "a", "label": "b"}'))[1]["label"]

    async def test_survives_deep_nesting(self, client: RestClient) -> None:
        """A model that refers to itself ends in a refusal, not in a fault."""
        status, _ = await post(client, '{"inside":' * 900 + "{}" + "}" * 900)
        assert 422 == status

    async def test_takes_as_much_as_it_says(self, client: RestClient) -> None:
        """Up to the bound the model decides; one byte beyond it is 413."""
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
    async def test_refuses_the_forms_of_other_sites(self, client: RestClient, kind: str) -> None:
        """A page elsewhere can send these without being asked whether it may."""
        status, answer = await post(client, '{"label": "x"}', SIGNED_IN | {"Content-Type": kind})
        assert (415, "unsupported_media_type") == (status, answer["code"])

    @pytest.mark.parametrize(
        "kind", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"]
    )
    async def test_takes_every_spelling_of_json(self, client: RestClient, kind: str) -> None:
        """Parameters, case and suffix do not matter."""
        assert 201 == (await post(client, '{"label": "x"}', SIGNED_IN | {"Content-Type": kind}))[0]

    async def test_takes_a_body_that_says_nothing_of_itself(self, client: RestClient) -> None:
        """For a client that is no browser and does not care."""
        assert 201 == (await post(client, b'{"label": "x"}', SIGNED_IN))[0]


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
    async def test_reads_numbers_and_truths(self, client: RestClient) -> None:
        """A query string has only text; the model says what it means."""
        response = await client.get("/api/v1/parcels?limit=5&unread=1&query=%C3%A4")
        assert {"query": "ä", "limit": 5, "unread": True} == response.json()

    async def test_has_defaults(self, client: RestClient) -> None:
        """What is not said, or said without a value, is what the model says."""
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
    async def test_names_the_parameter_that_is_wrong(self, client: RestClient, query: str, field: str) -> None:
        """422: repeated and unknown parameters as well."""
        response = await client.get(f"/api/v1/parcels?{query}")
        assert (422, "validation_failed") == (response.status_code, response.json()["code"])
        assert [field] == [problem["field"] for problem in response.json()["errors"]]

    async def test_makes_text_of_what_is_no_utf_8(self, client: RestClient) -> None:
        """Bytes that are no character become the one that stands for it."""
        assert "\ufffd" == (await client.get("/api/v1/parcels?query=%ff")).json()["query"]
