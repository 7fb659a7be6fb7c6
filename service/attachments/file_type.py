"""The type of a file, by its first bytes. A file of another type is a plain download.

No type is one that a browser would run: HTML, SVG and scripts are text here, and what is no image, audio or video is
never shown inline.
"""

import codecs
import re
from pathlib import PurePath

HEAD_SIZE = 4096
"""Bytes that `file_type` looks at."""
UNKNOWN = "application/octet-stream"
ZIP = "application/zip"

IMAGES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF", "image/webp": "WEBP", "image/avif": "AVIF"}
"""Those that are processed, with Pillow's names."""
INLINE = ("image/", "audio/", "video/")

SIGNATURES: tuple[tuple[re.Pattern[bytes], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), kind)
    for pattern, kind in (
        (rb"\xff\xd8\xff", "image/jpeg"),
        (rb"\x89PNG\r\n\x1a\n", "image/png"),
        (rb"GIF8[79]a", "image/gif"),
        (rb"RIFF....WEBP", "image/webp"),
        (rb"....ftyp(?:avif|avis)", "image/avif"),
        (rb"....ftyp(?:heic|heix|hevc|mif1|msf1)", UNKNOWN),
        (rb"....ftyp(?:M4A |M4B )", "audio/mp4"),
        (rb"....ftypqt  ", "video/quicktime"),
        (rb"....ftyp(?:3g[2p]|avc1|dash|iso[2-9m]|mp4[12]|mmp4|M4V )", "video/mp4"),
        (rb"\x1aE\xdf\xa3.{0,64}webm", "video/webm"),
        (rb"OggS.{24,1024}\x80theora", "video/ogg"),
        (rb"OggS", "audio/ogg"),
        (rb"ID3[\x02-\x04]|\xff[\xfb\xf3\xf2][\x10-\xef]", "audio/mpeg"),
        (rb"RIFF....WAVE", "audio/wav"),
        (rb"fLaC", "audio/flac"),
        (rb"\xff[\xf1\xf9]", "audio/aac"),
        (rb"%PDF-", "application/pdf"),
        (rb"PK(?:\x03\x04|\x05\x06)", ZIP),
        (rb"\x1f\x8b\x08", "application/gzip"),
        (rb"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
        (rb"Rar!\x1a\x07", "application/vnd.rar"),
    )
)
DOCUMENTS = {
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".epub": "application/epub+zip",
}
"""ZIP archives that their names tell apart. They are downloads all the same."""
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def file_type(head: bytes, name: str) -> str:
    """Return the media type of a file that begins with `head`, its first HEAD_SIZE bytes. `name` only tells apart
    documents that are ZIP archives."""
    for signature, kind in SIGNATURES:
        if signature.match(head):
            return DOCUMENTS.get(PurePath(name).suffix.lower(), ZIP) if kind == ZIP else kind
    return "text/plain; charset=utf-8" if _is_text(head) else UNKNOWN


def is_inline(content_type: str) -> bool:
    """Return whether a browser may show a file of this type, instead of storing it."""
    return content_type.startswith(INLINE)


def _is_text(head: bytes) -> bool:
    if CONTROLS.search(head):
        return False
    try:
        # A character at the end may be cut.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
