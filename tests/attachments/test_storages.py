"""The storages keep the same promises."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from service.attachments.gridfs_storage import GridFSStorage
from service.attachments.object_storage import ObjectStorage
from service.attachments.storage import PIECE, Storage
from service.common.errors import NotFound, Unavailable
from service.datastores.mongo import Mongo
from tests.attachments.emulators import azure, google, moto, s3

CONTENT = bytes(range(256)) * 5000
"""More than a megabyte: several pieces, and in the database several writes."""
LONG = CONTENT * 5
"""More than a part of a multipart upload."""
BUCKETS = {"s3": s3, "google": google}


@pytest.fixture(scope="module")
def moto_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture(
    params=["database", "directory", *(pytest.param(name, marks=pytest.mark.scenario) for name in (*BUCKETS, "azure"))]
)
async def storage(
    request: pytest.FixtureRequest, mongo: Mongo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Storage]:
    def object_storage(url: str, environment: dict[str, str]) -> Storage:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return ObjectStorage(url)

    if bucket := BUCKETS.get(request.param):
        yield object_storage(*bucket(request.getfixturevalue("moto_address")))
    elif request.param == "azure":
        with azure(tmp_path) as store:
            yield object_storage(*store)
    elif request.param == "database":
        stored = GridFSStorage(mongo.database)
        await stored.create_indexes()
        yield stored
    else:
        yield ObjectStorage(f"file://{tmp_path}/files")


async def read(storage: Storage, start: int = 0, end: int = len(CONTENT)) -> bytes:
    pieces = [piece async for piece in storage.read("key", start, end)]
    assert max(map(len, pieces)) <= PIECE
    return b"".join(pieces)


async def test_a_file_is_read_as_it_was_written(storage: Storage) -> None:
    """Whole and in parts, and until it is deleted; a short one as well as a long one."""
    for content in (CONTENT, LONG):
        with tempfile.TemporaryFile() as file:
            file.write(content)
            await storage.write("key", file)
        assert content == await read(storage, 0, len(content))
        for start, end in ((0, 1), (PIECE - 1, PIECE + 1), (PIECE * 2, len(CONTENT))):
            assert content[start:end] == await read(storage, start, end)
        await storage.delete(["key", "unknown"])
        with pytest.raises(NotFound):
            await read(storage)


async def test_an_unusable_directory_is_unavailable(tmp_path: Path) -> None:
    storage = ObjectStorage(f"file://{tmp_path}/files")
    (tmp_path / "files" / "key").mkdir()
    with tempfile.TemporaryFile() as file, pytest.raises(Unavailable):
        await storage.write("key", file)
