"""Decodes one image and encodes it again, without metadata and upright, with a thumbnail. Run as a script:

    image_worker.py FORMAT IMAGE_FD THUMBNAIL_FD < image

A file that somebody has uploaded may exhaust or attack the decoder, so this process has nothing to lose: an empty
environment, limits of memory, time and output, and only the files that it is given. It prints a JSON object with
`width`, `height` and the thumbnail's, or with `error`.
"""

import json
import resource
import sys
from contextlib import suppress
from typing import Any, BinaryIO

MAX_PIXELS = 25_000_000
"""Decoded and turned, they take 200 MB."""
MAX_JPEG_PIXELS = 100_000_000
"""Phones take 12 to 50 million. A JPEG above MAX_PIXELS is decoded at half of its size, which costs no more than
the result."""
MAX_FRAMES = 1000
MAX_ANIMATION_PIXELS = 150_000_000
"""Of all frames together: a minute of what people send as GIF."""
MAX_MEMORY = 1 << 30
MAX_CPU_SECONDS = 20
MAX_OUTPUT = 128 << 20
THUMBNAIL_SIZE = 480
MAX_PROFILE = 256 * 1024
"""Bytes. Colour profiles are kept, because colours look wrong without them; cameras' have some kilobytes."""


class Refused(Exception):
    """The image is not processed. The message says why, in a sentence for its owner."""


def limit_resources() -> None:
    for kind, value in (
        (resource.RLIMIT_AS, MAX_MEMORY),
        (resource.RLIMIT_CPU, MAX_CPU_SECONDS),
        (resource.RLIMIT_FSIZE, MAX_OUTPUT),
        (resource.RLIMIT_CORE, 0),
    ):
        # macOS has no limit of the address space.
        with suppress(ValueError):
            resource.setrlimit(kind, (value, value))


def process(kind: str, source: BinaryIO, target: BinaryIO, thumbnail: BinaryIO) -> dict[str, int]:
    """Write the new image and its thumbnail; return their sizes in pixels. Raises Refused, and any error of a decoder
    with a broken file."""
    from PIL import GifImagePlugin, Image

    Image.MAX_IMAGE_PIXELS = None  # Checked below, before anything is decoded.
    # Keep palettes: frames that are quantised again take long and look worse.
    GifImagePlugin.LOADING_STRATEGY = GifImagePlugin.LoadingStrategy.RGB_AFTER_DIFFERENT_PALETTE_ONLY
    formats = ["JPEG", "MPO"] if kind == "JPEG" else [kind]
    with Image.open(source, formats=formats) as image:
        width, height = image.size
        limit = MAX_JPEG_PIXELS if kind == "JPEG" else MAX_PIXELS
        if width * height > limit:
            raise Refused(f"The image has more than {limit // 1_000_000} million pixels.")
        if width * height > MAX_PIXELS:
            # Only JPEG can do that.
            image.draft(None, (width // 2, height // 2))
        # The further pictures of an MPO file are previews and the like.
        durations = _durations(image) if kind != "JPEG" and getattr(image, "is_animated", False) else []
        image.load()
        profile = image.info.get("icc_profile")
        kept = {"icc_profile": profile if profile and len(profile) <= MAX_PROFILE else None}
        upright = image if durations else _upright(image, kind)
        size = upright.size
        if durations:
            _save_animation(image, kind, target, durations, kept)
            image.seek(0)
        else:
            upright.save(target, kind, **_still_options(image, kind), **kept)
        small = _in_eight_bits(upright).convert("RGBA" if upright.has_transparency_data else "RGB")
        small.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), reducing_gap=2.0)
        small.save(thumbnail, "WEBP", quality=80, method=2, exif=b"", **kept)
    return {"width": size[0], "height": size[1]}


def _upright(image: Any, kind: str) -> Any:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if kind == "JPEG" and upright.mode not in ("L", "RGB"):
        upright = upright.convert("RGB")
    if kind in ("WEBP", "AVIF") and upright.mode not in ("RGB", "RGBA"):
        upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
    return upright


def _in_eight_bits(image: Any) -> Any:
    """Return a picture in 16-bit shades of grey with 8 bits for each pixel: a mere conversion clips what is bright."""
    if image.mode[0] != "I":
        return image
    found = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if isinstance(transparent := image.info.get("transparency"), int):
        found.info["transparency"] = transparent // 257
    return found


def _durations(image: Any) -> list[float]:
    """Return how long each frame is shown, in milliseconds. Raises Refused."""
    frames = image.n_frames
    if frames > MAX_FRAMES or frames * image.width * image.height > MAX_ANIMATION_PIXELS:
        raise Refused("The animation is too long or too large.")
    durations = []
    for frame in range(frames):
        image.seek(frame)
        image.load()
        durations.append(image.info.get("duration", 0))
    image.seek(0)
    return durations


def _still_options(image: Any, kind: str) -> dict[str, Any]:
    """Return options of the encoder that lose little of the image, and keep none of its metadata."""
    from PIL import JpegImagePlugin

    match kind:
        case "JPEG":
            tables = image.quantization if image.mode in ("L", "RGB") else None
            options = {"qtables": tables, "subsampling": JpegImagePlugin.get_sampling(image)} if tables else {}
            return {"quality": 90, **options, "exif": b"", "comment": b""}
        case "PNG":
            return {"compress_level": 3, "exif": b""}
        case "GIF":
            return {"comment": b""}
        case "WEBP":
            return {"quality": 90, "method": 2, "exif": b"", "xmp": b""}
    return {"quality": 80, "speed": 8, "exif": b"", "xmp": b""}


def _save_animation(image: Any, kind: str, target: BinaryIO, durations: list[float], kept: dict[str, Any]) -> None:
    loop = {"loop": image.info["loop"]} if "loop" in image.info else {}
    options = _still_options(image, kind) | loop | kept
    if kind == "GIF":
        del options["icc_profile"]
    image.save(target, kind, save_all=True, duration=[round(each) for each in durations], **options)


def main() -> int:
    limit_resources()
    kind, image_fd, thumbnail_fd = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    try:
        with open(image_fd, "w+b") as image, open(thumbnail_fd, "w+b") as thumbnail:
            result: dict[str, Any] = process(kind, sys.stdin.buffer, image, thumbnail)
    except Refused as refusal:
        result = {"error": str(refusal)}
    except MemoryError:
        result = {"error": "The image is too large."}
    except Exception:
        # Decoders raise anything. What it was helps nobody: the file is broken.
        result = {"error": "The image is damaged."}
    sys.stdout.write(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
