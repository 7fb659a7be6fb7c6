"""Processes uploaded images in processes of their own: see `image_worker.py`."""

import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from service.common.errors import Unavailable, ValidationFailed

WORKER = Path(__file__).with_name("image_worker.py")
PROCESSES = 2
"""At the same time, for each process of the service: each may need as much memory as the service itself."""
MAX_WAITING = 64
"""Images that wait for one of them: a minute of work. Further ones are refused (503)."""
TIMEOUT = 45.0
"""Seconds. The worker's own limit of processor time is shorter: this one is only reached on a busy machine."""


class ProcessedImage(NamedTuple):
    """The files that replace an uploaded image. `width` and `height` are those of `file`."""

    file: BinaryIO
    thumbnail: BinaryIO
    width: int
    height: int

    def close(self) -> None:
        self.file.close()
        self.thumbnail.close()


class ImageProcessor:
    """Starts a process for each image, and no more than a few at a time."""

    def __init__(self, observe_seconds: Callable[[float], None] = lambda _: None) -> None:
        """`observe_seconds(seconds)` is called for each image, with the time that its process took."""
        self._slots = asyncio.Semaphore(PROCESSES)
        self._waiting = 0
        self._observe_seconds = observe_seconds

    async def process(self, image: BinaryIO, kind: str) -> ProcessedImage:
        """Return what replaces `image`; the caller closes both. `kind`: the name of its format (`file_type.IMAGES`).

        Raises ValidationFailed if it is damaged or too large; Unavailable if too many wait, or it took too long.
        """
        if self._waiting >= MAX_WAITING:
            raise Unavailable("Too many images are being processed.", retry_after=10)
        self._waiting += 1
        try:
            async with self._slots:
                return await self._run(image, kind)
        finally:
            self._waiting -= 1

    async def _run(self, image: BinaryIO, kind: str) -> ProcessedImage:
        started = time.perf_counter()
        file, thumbnail = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        try:
            image.seek(0)
            fds = file.fileno(), thumbnail.fileno()
            arguments = ("-I", str(WORKER), kind, *map(str, fds))
            # An empty environment: that of the service has its secrets.
            process = await asyncio.create_subprocess_exec(
                sys.executable, *arguments, stdin=image, stdout=PIPE, stderr=DEVNULL, pass_fds=fds, env={}
            )
            result = await _result_of(process)
            self._observe_seconds(time.perf_counter() - started)
            if "error" in result:
                raise ValidationFailed.of("body", result["error"])
            return ProcessedImage(file, thumbnail, result["width"], result["height"])
        except BaseException:
            file.close()
            thumbnail.close()
            raise


async def _result_of(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """Wait until `process` has ended, and return what it printed. It does not outlive this call."""
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        raise Unavailable("Processing the image took too long.", retry_after=10) from None
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        result: dict[str, Any] = json.loads(output)
    except ValueError:
        # Killed at one of its limits, or by the decoder.
        return {"error": "The image is damaged or too large."}
    return result
