"""The OpenAPI document and its page, made from the same models that check the requests."""

from typing import Any

import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel, Field

from service.http.schemas import component, dialect
from tests.http.conftest import build
from tests.rest import RestClient, forget_documents, serving


@pytest.fixture
async def document(client: RestClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/docs/openapi.json")).json()
    return found


class TestDocument:
    async def test_is_valid(self, document: dict[str, Any]) -> None:
        """By the specification's own schema, with every reference resolved."""
        validate(document)

    async def test_describes_a_route(self, document: dict[str, Any]) -> None:
        """Its words, who may call it, what goes in, and what comes out."""
        operation = document["paths"]["/api/v1/parcels"]["post"]
        assert "Send a parcel" == operation["summary"]
        assert "Longer words about it." == operation["description"]
        assert ["parcels"] == operation["tags"]
        assert [{"bearer": []}] == operation["security"]
        assert {"$ref": "#/components/schemas/Parcel"} == operation["requestBody"]["content"]["application/json"][
            "schema"
        ]
        assert operation["requestBody"]["required"]
        created = operation["responses"]["201"]["content"]["application/json"]["schema"]
        assert {"$ref": "#/components/schemas/Receipt"} == created

    async def test_lists_the_codes_of_each_refusal(self, document: dict[str, Any]) -> None:
        """Of signing in and of validation too, which no route names itself."""
        responses = document["paths"]["/api/v1/parcels"]["post"]["responses"]
        codes = {
            status: response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
            for status, response in responses.items()
            if status >= "400"
        }
        assert {
            "400": ["malformed_json"],
            "401": ["token_expired", "token_invalid", "token_missing", "token_revoked"],
            "404": ["not_found"],
            "413": ["too_large"],
            "415": ["unsupported_media_type"],
            "422": ["validation_failed"],
            "429": ["rate_limited"],
            "503": ["unavailable"],
        } == codes

    async def test_describes_parameters(self, document: dict[str, Any]) -> None:
        """Of the path and of the query, with their bounds."""
        query = {p["name"]: p for p in document["paths"]["/api/v1/parcels"]["get"]["parameters"]}
        assert {"query", "limit", "unread"} == set(query)
        limit = query["limit"]
        assert ("query", False, 1, 100, 20) == (
            limit["in"],
            limit["required"],
            limit["schema"]["minimum"],
            limit["schema"]["maximum"],
            limit["schema"]["default"],
        )
        (place,) = document["paths"]["/api/v1/parcels/{parcel_id}"]["delete"]["parameters"]
        assert ("parcel_id", "path", True) == (place["name"], place["in"], place["required"])

    async def test_has_no_body_where_there_is_none(self, document: dict[str, Any]) -> None:
        """204 has no content."""
        assert not document["paths"]["/api/v1/parcels/{parcel_id}"]["delete"]["responses"]["204"].get("content")

    async def test_describes_a_connection(self, document: dict[str, Any]) -> None:
        """Its content type, and the three ways to sign in."""
        operation = document["paths"]["/api/v1/parcels/stream"]["get"]
        assert ["text/event-stream"] == list(operation["responses"]["200"]["content"])
        assert [{"bearer": []}, {"ticket": []}, {"token": []}] == operation["security"]
        assert {"bearer", "ticket", "token"} == set(document["components"]["securitySchemes"])

    async def test_says_who_it_is(self, document: dict[str, Any]) -> None:
        """Title and version."""
        assert ("Loa", "1.0.0") == (document["info"]["title"], document["info"]["version"])

    async def test_is_anew_for_each_app(self) -> None:
        """A second app in the same process describes its own routes."""
        for _ in range(2):
            async with serving(build()) as client:
                document = (await client.get("/docs/openapi.json")).json()
                assert "post" in document["paths"]["/api/v1/parcels"]


class TestComponent:
    def test_refuses_two_models_of_one_name(self) -> None:
        """One of the two would be missing from the document."""
        forget_documents()

        def first() -> type[BaseModel]:
            class Twin(BaseModel):
                left: int

            return Twin

        def second() -> type[BaseModel]:
            class Twin(BaseModel):
                right: int

            return Twin

        component(first(), "validation")
        component(first(), "validation")
        with pytest.raises(TypeError, match="Twin"):
            component(second(), "validation")


class TestDialect:
    @pytest.mark.parametrize(
        ("kind", "schema"),
        [
            (int | None, {"type": "integer", "nullable": True}),
            (int | str | None, {"anyOf": [{"type": "integer"}, {"type": "string"}], "nullable": True}),
            (type(None), {"nullable": True, "enum": [None]}),
        ],
    )
    def test_knows_no_type_null(self, kind: Any, schema: dict[str, Any]) -> None:
        """OpenAPI 3.0 has `nullable` instead."""

        class Some(BaseModel):
            field: kind

        written = dialect(Some.model_json_schema())["properties"]["field"]
        written.pop("title", None)
        assert schema == written

    def test_writes_bounds_and_examples_as_of_old(self) -> None:
        """An exclusive bound is a flag, and there is one example."""

        class Some(BaseModel):
            field: int = Field(gt=0, lt=9, examples=[5, 6])

        written = dialect(Some.model_json_schema())["properties"]["field"]
        assert (0, True, 9, True, 5) == (
            written["minimum"],
            written["exclusiveMinimum"],
            written["maximum"],
            written["exclusiveMaximum"],
            written["example"],
        )

    def test_leaves_a_property_of_any_name_alone(self) -> None:
        """A field may be called like a keyword."""

        class Some(BaseModel):
            const: int
            default: int
            examples: list[int]

        assert {"const", "default", "examples"} == set(dialect(Some.model_json_schema())["properties"])


class TestPage:
    async def test_needs_nothing_else(self, client: RestClient) -> None:
        """No script, no style and no font from anywhere, under a policy that would forbid them."""
        response = await client.get("/docs")
        assert "text/html; charset=utf-8" == response.headers["content-type"]
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "<script" not in response.text
        assert "http:" not in response.text
        assert "https:" not in response.text

    async def test_tells_the_whole_document(self, client: RestClient) -> None:
        """Operations, their parameters and codes, and the schemas that they link to."""
        page = (await client.get("/docs")).text
        for piece in (
            "POST /api/v1/parcels",
            "Send a parcel",
            "unsupported_media_type",
            'href="#Parcel"',
            'id="Parcel"',
        ):
            assert piece in page
