"""The models as the OpenAPI document shows them: each a named component, in the dialect of OpenAPI 3.0."""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel
from sanic_ext.extensions.openapi.builders import SpecificationBuilder

REF = "#/components/schemas/{model}"

Mode = Literal["validation", "serialization"]


def component(model: type[BaseModel], mode: Mode) -> dict[str, Any]:
    """A reference to `model`'s schema, which the document then holds with all those it refers to.

    `mode`: how it comes in ("validation") or goes out ("serialization").
    Raises TypeError where another model of that name is there already: one of the two would go undocumented.
    """
    specification = SpecificationBuilder()
    for key, wanted in _definitions(model, mode).items():
        known = specification._components["schemas"].get(key)
        if known is not None and known != wanted:
            raise TypeError(f"Two different models want to be the component {key!r}: rename one of them.")
        specification.add_component("schemas", key, wanted)
    return {"$ref": REF.format(model=_name(model))}


@cache
def _definitions(model: type[BaseModel], mode: Mode) -> Mapping[str, Any]:
    """The schema of `model` and of all that it refers to, by name. Each worker asks some three hundred times while it
    starts, mostly for the one of the errors."""
    schema = model.model_json_schema(mode=mode, ref_template=REF)
    definitions: dict[str, Any] = schema.pop("$defs", {})
    # A model that refers to itself is among its own definitions.
    definitions.setdefault(_name(model), schema)
    return {key: dialect(definition) for key, definition in definitions.items()}


def _name(model: type[BaseModel]) -> str:
    return re.sub(r"[^\w.-]", "_", model.__name__)


def properties(model: type[BaseModel]) -> dict[str, tuple[dict[str, Any], bool]]:
    """Each field of a flat model: its schema, and whether it is required."""
    schema = model.model_json_schema()
    return {
        name: (dialect(field), name in schema.get("required", ()))
        for name, field in schema.get("properties", {}).items()
    }


def dialect(schema: Any) -> Any:
    """A JSON Schema of draft 2020-12, which pydantic writes, as OpenAPI 3.0 (4.7.24) has it, which sanic-ext writes."""
    if isinstance(schema, list):
        return [dialect(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    new = {key: dialect(value) for key, value in schema.items() if key not in ("propertyNames", "default")}
    if "default" in schema:
        new["default"] = schema["default"]
    if isinstance(schema.get("properties"), dict):
        # A property may have the name of a keyword.
        new["properties"] = {name: dialect(value) for name, value in schema["properties"].items()}
    if new.get("type") == "null":
        return {"nullable": True, "enum": [None]}
    if "const" in new:
        new["enum"] = [new.pop("const")]
    if isinstance(new.get("examples"), list):
        new["example"] = new.pop("examples")[0]
    for bound in ("Minimum", "Maximum"):
        if isinstance(limit := new.get(f"exclusive{bound}"), int | float) and not isinstance(limit, bool):
            new[bound.lower()], new[f"exclusive{bound}"] = limit, True
    if isinstance(schema.get("anyOf"), list) and {"type": "null"} in schema["anyOf"]:
        some = [dialect(choice) for choice in schema["anyOf"] if choice != {"type": "null"}]
        del new["anyOf"]
        new["nullable"] = True
        if len(some) > 1:
            new["anyOf"] = some
        elif "$ref" in some[0]:
            new["allOf"] = some
        else:
            new = some[0] | new
    if "$ref" in new and len(new) > 1:
        # Beside a $ref everything else is ignored.
        new["allOf"] = [{"$ref": new.pop("$ref")}]
    return new
