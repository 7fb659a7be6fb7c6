"""`Content-Disposition` with any file name (RFC 6266)."""

import re
from urllib.parse import quote

NOT_PLAIN = re.compile(r"[^ !#-\[\]-~]|%")
"""What is not in a quoted string, or what some clients decode there though they should not."""


def content_disposition(kind: str, name: str) -> str:
    """Return the header's value. `kind`: `inline` or `attachment`. Names that are not ASCII are encoded (RFC 8187),
    with a substitute for clients that do not know this."""
    plain = NOT_PLAIN.sub("_", name)
    value = f'{kind}; filename="{plain}"'
    return value if plain == name else f"{value}; filename*=UTF-8''{quote(name, safe='')}"
