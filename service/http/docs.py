"""The OpenAPI document as an HTML page that needs no script and no other host.

The pages of sanic-ext load scripts from other hosts into an origin where a client may keep tokens.
"""

import json
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
pre { overflow-x: auto }
code { font: .9em ui-monospace, monospace }
h3 code { margin-right: .6em }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .2rem .8rem .2rem 0 }
section { border-top: 1px solid #8886 }
"""
CONSTRAINTS = ("format", "pattern", "minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems")


def render(document: dict[str, Any]) -> str:
    """Return the page: each operation with its parameters, body and responses, then the schemas they refer to."""
    title = escape(document["info"]["title"])
    operations = [
        (path, method, operation)
        for path, methods in sorted(document["paths"].items())
        for method, operation in methods.items()
        if operation
    ]
    tags = sorted({tag for _, _, operation in operations for tag in operation.get("tags", ())})
    parts = [
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>',
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style><h1>{title}</h1>',
        f"<p>{escape(document['info'].get('description') or '')}</p>",
        '<p><a href="/docs/openapi.json">openapi.json</a> · <a href="/asyncapi.json">asyncapi.json</a></p>',
    ]
    for tag in tags:
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_operation(*operation) for operation in operations if tag in operation[2].get("tags", ())]
    parts.append("<h2>Schemas</h2>")
    for name, schema in sorted(document.get("components", {}).get("schemas", {}).items()):
        parts.append(f'<section id="{escape(name)}"><h3>{escape(name)}</h3>{_schema(schema)}</section>')
    return "".join(parts)


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<section><h3><code>{method.upper()} {escape(path)}</code> {escape(operation.get('summary', ''))}</h3>",
        f"<p>{escape(operation.get('description', ''))}</p><table>",
    ]
    for parameter in operation.get("parameters", ()):
        presence = "required" if parameter.get("required") else "optional"
        parts.append(_row(parameter["name"], f"{parameter['in']}, {presence}: {_type(parameter['schema'])}"))
    for content in operation.get("requestBody", {}).get("content", {}).values():
        parts.append(_row("body", _type(content["schema"])))
    for status, response in operation["responses"].items():
        models = ", ".join(_type(content["schema"]) for content in response.get("content", {}).values())
        parts.append(_row(str(status), f"{escape(response['description'])} {models}"))
    return "".join(parts) + "</table></section>"


def _schema(schema: dict[str, Any]) -> str:
    parts = [f"<p>{escape(schema.get('description', ''))}</p><table>"]
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        parts.append(_row(name, f"{_type(field)}{'' if name in required else ', optional'}"))
    parts.append("</table>")
    if "example" in schema:
        text = json.dumps(schema["example"], ensure_ascii=False, indent=2)
        parts.append(f"<details><summary>Example</summary><pre><code>{escape(text)}</code></pre></details>")
    return "".join(parts)


def _row(name: str, text: str) -> str:
    return f"<tr><th scope=row><code>{escape(name)}</code><td>{text}</tr>"


def _type(schema: Any) -> str:
    """Describe a schema in a few words; a component is a link to its section."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    for keyword in ("allOf", "anyOf", "oneOf"):
        if keyword in schema:
            return " or ".join(_type(choice) for choice in schema[keyword] if choice.get("type") != "object")
    if "enum" in schema:
        return " | ".join(f"<code>{'null' if value is None else escape(str(value))}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(more := schema.get("additionalProperties"), dict):
        return f"object of {_type(more)}"
    constraints = [f"{key} {escape(str(schema[key]))}" for key in CONSTRAINTS if key in schema]
    return escape(str(schema.get("type", "anything"))) + (f" ({', '.join(constraints)})" if constraints else "")
