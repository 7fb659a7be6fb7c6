"""Why a datastore cannot be used, in one line for the operator."""

import re
from urllib.parse import unquote, urlsplit

from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError

MAX_LENGTH = 300
"""Characters. Some servers quote the whole command."""
MIN_SECRET_LENGTH = 3
"""Characters. To replace shorter pieces would change every word, and thereby reveal them."""
DRIVER_DETAILS = re.compile(r" \(configured timeouts: [^)]*\)|, Timeout: [\d.]+s, Topology Description: .*", re.DOTALL)
QUOTED_COMMAND = re.compile(r"(execute command) \{ (\w+): .*", re.DOTALL)
PIPELINE = re.compile(r"^Command # .* of pipeline caused error: \W*(.*?)\W*$", re.DOTALL)
CONNECTION_CUT = re.compile(r"(?i)closed|reset by peer|protocol error")
TIMED_OUT = re.compile(r"(?i)time(d )?out|wrong.version.number")
ENCRYPTED = re.compile(r"^rediss://|^mongodb\+srv://|[?&](tls|ssl)=true", re.IGNORECASE)


def failure_reason(error: BaseException, url: str) -> str:
    """Return the server's or the driver's own words about `error`: one line, without the password in `url`.

    An error about the URL itself is only named, for it may quote a part of the password.
    """
    if isinstance(error, InvalidURI):
        return f"{type(error).__name__} (special characters in the credentials must be URL-encoded)"
    text = _words(error) or type(error).__name__
    text = " ".join(text.split())
    for secret in _secrets(url):
        text = text.replace(secret, "***")
    text = text.rstrip(".")
    if len(text) > MAX_LENGTH:
        text = text[:MAX_LENGTH] + "..."
    if CONNECTION_CUT.search(text) and not ENCRYPTED.search(url):
        text += " (does the server expect TLS?)"
    elif TIMED_OUT.search(text) and ENCRYPTED.search(url):
        text += " (does the server speak TLS?)"
    return text


def _words(error: BaseException) -> str:
    if isinstance(error, OperationFailure) and error.details:
        # The driver appends the whole reply to its own text.
        return QUOTED_COMMAND.sub(r"\1 \2", str(error.details.get("errmsg") or error.details.get("codeName") or ""))
    if isinstance(error, PyMongoError) and not isinstance(error, ConfigurationError):
        return DRIVER_DETAILS.sub("", str(error))
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer: timeout"
    # A pipeline quotes the whole command.
    return PIPELINE.sub(r"\1", str(error))


def _secrets(url: str) -> list[str]:
    """Return the pieces of `url` that are or may be a part of the password, the longest first."""
    userinfo, at, _ = url.partition("://")[2].rpartition("@")
    if not at:
        return []
    _, colon, password = urlsplit(url).netloc.rpartition("@")[0].partition(":")
    if userinfo.endswith(password) and colon and userinfo == urlsplit(url).netloc.rpartition("@")[0]:
        pieces = {password}
    else:
        # The password contains a character that had to be encoded, so that its parts look like a host, port or path.
        pieces = set(re.split(r"[:/?#@,&=]", userinfo))
    pieces |= {unquote(piece) for piece in pieces}
    return sorted((piece for piece in pieces if len(piece) >= MIN_SECRET_LENGTH), key=len, reverse=True)
