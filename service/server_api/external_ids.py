"""External ids in paths."""

from urllib.parse import unquote

from pydantic import TypeAdapter, ValidationError

from service.accounts.models import ExternalId
from service.common.errors import NotFound

_EXTERNAL_ID: TypeAdapter[str] = TypeAdapter(ExternalId)


def path_external_id(value: str) -> str:
    """Return an external id from a URL path. Raises NotFound if it is malformed: nobody has such an id."""
    try:
        return _EXTERNAL_ID.validate_python(unquote(value, errors="strict"))
    except (ValidationError, UnicodeDecodeError):
        raise NotFound from None
