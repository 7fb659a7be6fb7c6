"""A unique index of an earlier version, which a sharded collection cannot have."""

from pymongo.errors import OperationFailure

from service.datastores.mongo import Collection, unavailable


class OldIndex:
    """Processes of the earlier version rely on the index, so it remains while any of them runs.

    A store that reads by its fields asks first whether it exists. MongoDB refuses to shard a collection that has such
    an index: its first field is not the shard key. So these reads never go to several shards. Methods raise
    Unavailable.
    """

    def __init__(self, collection: Collection, name: str) -> None:
        self._collection = collection
        self._name = name
        self._may_exist = True
        """Until it is seen that the index does not exist: after that, nobody creates it again."""

    async def exists(self) -> bool:
        if self._may_exist:
            async with unavailable():
                self._may_exist = self._name in await self._collection.index_information()
        return self._may_exist

    async def drop(self) -> None:
        """Drop the index. Call it only if no process of the earlier version runs."""
        if not await self.exists():
            return
        try:
            async with unavailable():
                await self._collection.drop_index(self._name)
        except OperationFailure:
            # Another process may have dropped it at the same time.
            if await self.exists():
                raise
