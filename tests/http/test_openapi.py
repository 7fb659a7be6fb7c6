"""The OpenAPI document and its page, built from the models that validate requests."""

import asyncio
import threading
from typing import Any, Literal

import pytest
from openapi_spec_validator import validate
from pydantic import BaseModel, Field

from service.http import asset, openapi
from service.http.content_coding import BROTLI
from service.http.schemas import NULL, Components, to_openapi
from tests.http.conftest import build
from tests.rest import RestClient, serving


@pytest.fixture
async def document(client: RestClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/docs/openapi.json")).json()
    return found


class TestDocument:
    async def test_is_valid(self, document: dict[str, Any]) -> None:
        """According to the schema of the specification, with all references resolved."""
        validate(document)

    async def test_describes_a_route(self, document: dict[str, Any]) -> None:
        """Summary, description, authentication, request body and response."""
        operation = document["paths"]["/api/v1/parcels"]["post"]
        assert "Send a parcel" == operation["summary"]
        assert "A longer description." == operation["description"]
        assert ["parcels"] == operation["tags"]
        assert [{"bearer": []}] == operation["security"]
        assert {"$ref": "#/components/schemas/Parcel"} == operation["requestBody"]["content"]["application/json"][
            "schema"
        ]
        assert operation["requestBody"]["required"]
        created = operation["responses"]["201"]["content"]["application/json"]["schema"]
        assert {"$ref": "#/components/schemas/Receipt"} == created

    async def test_lists_the_error_codes_of_each_status(self, document: dict[str, Any]) -> None:
        """Those of authentication, validation and the rate limit are included."""
        responses = document["paths"]["/api/v1/parcels"]["post"]["responses"]
        codes = {
            status: response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
            for status, response in responses.items()
            if status >= "400"
        }
        assert {
            "400": ["malformed_json"],
            "401": ["token_expired", "token_invalid", "token_missing", "token_revoked"],
            "403": ["banned", "origin_not_allowed"],
            "404": ["not_found"],
            "413": ["too_large"],
            "415": ["unsupported_media_type"],
            "422": ["validation_failed"],
            "429": ["rate_limited"],
            "503": ["unavailable"],
        } == codes

    async def test_describes_parameters(self, document: dict[str, Any]) -> None:
        """Path and query parameters, with their constraints."""
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
        (parcel_id,) = document["paths"]["/api/v1/parcels/{parcel_id}"]["delete"]["parameters"]
        assert ("parcel_id", "path", True) == (parcel_id["name"], parcel_id["in"], parcel_id["required"])

    async def test_204_has_no_content(self, document: dict[str, Any]) -> None:
        assert not document["paths"]["/api/v1/parcels/{parcel_id}"]["delete"]["responses"]["204"].get("content")

    async def test_lists_429_only_for_routes_with_a_limit(self, document: dict[str, Any]) -> None:
        """A route may declare that it has no limit."""
        assert "429" in document["paths"]["/api/v1/parcels/anonymous"]["post"]["responses"]
        assert "429" not in document["paths"]["/api/v1/parcels/{parcel_id}"]["delete"]["responses"]

    async def test_describes_a_connection(self, document: dict[str, Any]) -> None:
        """Its content type, and the three ways to authenticate."""
        operation = document["paths"]["/api/v1/parcels/stream"]["get"]
        assert ["text/event-stream"] == list(operation["responses"]["200"]["content"])
        assert [{"bearer": []}, {"ticket": []}, {"token": []}] == operation["security"]
        assert {"bearer", "ticket", "token"} == set(document["components"]["securitySchemes"])

    async def test_requests_have_no_defaults(self, document: dict[str, Any]) -> None:
        """Generators of clients would make these fields required."""
        schemas = document["components"]["schemas"]
        assert {"weight", "stops", "inside"} <= schemas["Parcel"]["properties"].keys() - set(
            schemas["Parcel"]["required"]
        )
        assert not [name for name, field in schemas["Parcel"]["properties"].items() if "default" in field]

    async def test_has_title_and_version(self, document: dict[str, Any]) -> None:
        assert ("Loa", "1.0.0") == (document["info"]["title"], document["info"]["version"])

    async def test_two_apps_of_one_process_have_documents_of_their_own(self) -> None:
        for _ in range(2):
            async with serving(build()) as client:
                document = (await client.get("/docs/openapi.json")).json()
                assert "post" in document["paths"]["/api/v1/parcels"]


class TestAssets:
    @pytest.mark.parametrize("path", ["/docs", "/docs/openapi.json"])
    async def test_are_compressed_and_revalidated(self, client: RestClient, path: str) -> None:
        """The entity tags of the two encodings differ."""
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
        packed = await client.get(path, headers={"Accept-Encoding": "gzip"})
        assert (None, "gzip") == tuple(each.headers.get("content-encoding") for each in (plain, packed))
        assert plain.content == packed.content
        assert plain.headers["etag"] != packed.headers["etag"]
        for each, encoding in ((plain, "identity"), (packed, "gzip")):
            headers = {"If-None-Match": each.headers["etag"], "Accept-Encoding": encoding}
            assert (304, b"") == ((again := await client.get(path, headers=headers)).status_code, again.content)

    async def test_are_built_once_and_in_a_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Requests that arrive meanwhile wait for the same documents, and others do not wait."""
        began, finish, threads = threading.Event(), threading.Event(), []
        original = openapi.document

        def slow(app: Any) -> dict[str, Any]:
            threads.append(threading.current_thread())
            began.set()
            assert finish.wait(10)
            return original(app)

        monkeypatch.setattr(openapi, "document", slow)
        async with serving(build()) as client, asyncio.timeout(10):
            asking = [asyncio.create_task(client.get(path)) for path in ("/docs", "/docs/openapi.json") * 5]
            await asyncio.to_thread(began.wait)
            assert 200 == (await client.get("/api/v1/parcels")).status_code
            finish.set()
            assert {200} == {(await each).status_code for each in asking}
        assert 1 == len(threads)
        assert threading.main_thread() not in threads

    async def test_are_compressed_once_and_in_a_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        began, finish, threads = threading.Event(), threading.Event(), []
        original = asset.CODERS[BROTLI]

        def slow(plain: bytes) -> bytes:
            threads.append(threading.current_thread())
            began.set()
            assert finish.wait(10)
            return original(plain)

        monkeypatch.setattr(asset, "CODERS", {BROTLI: slow})
        async with serving(build()) as client, asyncio.timeout(10):
            headers = {"Accept-Encoding": "br"}
            asking = [asyncio.create_task(client.get("/docs", headers=headers)) for _ in range(5)]
            await asyncio.to_thread(began.wait)
            assert 200 == (await client.get("/api/v1/parcels")).status_code
            finish.set()
            assert {"br"} == {(await each).headers["content-encoding"] for each in asking}
        assert 1 == len(threads)
        assert threading.main_thread() not in threads


class TestComponents:
    def test_rejects_two_models_of_one_name(self) -> None:
        """One of the two would be missing from the document."""
        components = Components()

        def first() -> type[BaseModel]:
            class Twin(BaseModel):
                left: int

            return Twin

        def second() -> type[BaseModel]:
            class Twin(BaseModel):
                right: int

            return Twin

        components.ref(first(), "validation")
        components.ref(first(), "validation")
        with pytest.raises(TypeError, match="Twin"):
            components.ref(second(), "validation")


class TestToOpenapi:
    @pytest.mark.parametrize(
        ("kind", "schema"),
        [
            (int | None, {"type": "integer", "nullable": True}),
            (Literal["a", "b"] | None, {"type": "string", "enum": ["a", "b", None], "nullable": True}),
            (int | str | None, {"anyOf": [{"type": "integer"}, {"type": "string"}, NULL]}),
            (type(None), NULL),
        ],
    )
    def test_translates_the_type_null_to_nullable(self, kind: Any, schema: dict[str, Any]) -> None:

        class Model(BaseModel):
            field: kind

        translated = to_openapi(Model.model_json_schema())["properties"]["field"]
        translated.pop("title", None)
        assert schema == translated

    def test_translates_exclusive_bounds_and_examples(self) -> None:
        """In OpenAPI 3.0 an exclusive bound is a flag, and there is one example."""

        class Model(BaseModel):
            field: int = Field(gt=0, lt=9, examples=[5, 6])

        translated = to_openapi(Model.model_json_schema())["properties"]["field"]
        assert (0, True, 9, True, 5) == (
            translated["minimum"],
            translated["exclusiveMinimum"],
            translated["maximum"],
            translated["exclusiveMaximum"],
            translated["example"],
        )

    def test_keeps_a_property_that_has_the_name_of_a_keyword(self) -> None:

        class Model(BaseModel):
            const: int
            default: int
            examples: list[int]

        assert {"const", "default", "examples"} == set(to_openapi(Model.model_json_schema())["properties"])


class TestPage:
    async def test_loads_nothing(self, client: RestClient) -> None:
        """No script, style or font, and a policy that forbids them."""
        response = await client.get("/docs")
        assert "text/html; charset=utf-8" == response.headers["content-type"]
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert "<script" not in response.text
        assert "http:" not in response.text
        assert "https:" not in response.text

    async def test_shows_the_whole_document(self, client: RestClient) -> None:
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
