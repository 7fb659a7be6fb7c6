"""Pydantic models as named components of the OpenAPI document, in the dialect of OpenAPI 3.0."""

import re
from typing import Any, Literal

from pydantic import BaseModel

from service.http.examples import example

REF = "#/components/schemas/{model}"

NULL = {"type": "string", "nullable": True, "enum": [None]}
"""Null alone; the type has no meaning. `nullable` has an effect only beside a `type` (OpenAPI 3.0.3, clarified in its
proposal 2019-10-31)."""

Mode = Literal["validation", "serialization"]


class Components:
    """The schemas of one document, by name."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}

    def ref(self, model: type[BaseModel], mode: Mode) -> dict[str, Any]:
        """Add the schemas of `model` and of all models it refers to. Return a reference to it.

        `mode`: as a request ("validation") or as a response ("serialization"). Raises TypeError if a different model of
        the same name has been added: one of the two would be undocumented.
        """
        schema = model.model_json_schema(mode=mode, ref_template=REF)
        definitions: dict[str, Any] = schema.pop("$defs", {})
        # A model that refers to itself is among its own definitions.
        definitions.setdefault(_name(model), schema)
        for name, definition in definitions.items():
            translated = to_openapi(definition)
            if mode == "validation":
                translated = without_defaults(translated)
            translated["example"] = example(definition, definitions)
            if self.schemas.setdefault(name, translated) != translated:
                raise TypeError(f"Two different models have the name {name!r}: rename one of them.")
        return self.reference(model)

    @staticmethod
    def reference(model: type[BaseModel]) -> dict[str, Any]:
        return {"$ref": REF.format(model=_name(model))}


def _name(model: type[BaseModel]) -> str:
    return re.sub(r"[^\w.-]", "_", model.__name__)


def properties(model: type[BaseModel]) -> dict[str, tuple[dict[str, Any], bool]]:
    """Return the schema of each field of a flat model, and whether the field is required."""
    schema = model.model_json_schema()
    return {
        name: (to_openapi(field), name in schema.get("required", ()))
        for name, field in schema.get("properties", {}).items()
    }


def without_defaults(schema: Any) -> Any:
    """Return an object's schema without the defaults of its properties, for requests.

    Generators of clients take a property with a default for one that is always there (openapi-typescript), although
    a request may leave it out.
    """
    if not isinstance(schema.get("properties"), dict):
        return schema
    properties = {
        name: {keyword: value for keyword, value in field.items() if keyword != "default"}
        for name, field in schema["properties"].items()
    }
    return schema | {"properties": properties}


def to_openapi(schema: Any) -> Any:
    """Translate a JSON Schema of draft 2020-12, as pydantic generates it, to OpenAPI 3.0 (4.7.24)."""
    if isinstance(schema, list):
        return [to_openapi(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    new = {key: to_openapi(value) for key, value in schema.items() if key not in ("propertyNames", "default")}
    if "default" in schema:
        new["default"] = schema["default"]
    if isinstance(schema.get("properties"), dict):
        # A property may have the name of a keyword.
        new["properties"] = {name: to_openapi(value) for name, value in schema["properties"].items()}
    if isinstance(patterns := new.pop("patternProperties", None), dict):
        # OpenAPI 3.0 has none: the names of properties are described in words.
        [new["additionalProperties"]] = patterns.values()
    if new.get("type") == "null":
        return NULL
    if "const" in new:
        new["enum"] = [new.pop("const")]
    if isinstance(new.get("examples"), list):
        new["example"] = new.pop("examples")[0]
    for bound in ("Minimum", "Maximum"):
        if isinstance(limit := new.get(f"exclusive{bound}"), int | float) and not isinstance(limit, bool):
            new[bound.lower()], new[f"exclusive{bound}"] = limit, True
    if isinstance(schema.get("anyOf"), list) and {"type": "null"} in schema["anyOf"]:
        choices = [to_openapi(choice) for choice in schema["anyOf"] if choice != {"type": "null"}]
        if len(choices) == 1 and "type" in choices[0]:
            del new["anyOf"]
            new = choices[0] | new | {"nullable": True}
            if "enum" in new:
                # Otherwise the enumeration excludes null all the same (proposal 2019-10-31).
                new["enum"] = [*new["enum"], None]
        else:
            new["anyOf"] = [*choices, NULL]
    if "$ref" in new and len(new) > 1:
        # Everything beside a $ref is ignored.
        new["allOf"] = [{"$ref": new.pop("$ref")}]
    return new
