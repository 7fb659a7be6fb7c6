"""Updating one document, and reading it as it is then."""

from service.datastores.mongo import Collection, Document, unavailable


async def update_and_find(
    collection: Collection, where: Document, change: Document, scope: str | None = None
) -> Document | None:
    """Apply `change` to the document that matches `where`, which contains its `_id`, and its `scope`: the collection's
    shard key, if that is another field. Return the document; None if it does not match.

    Two commands, so the document may have further changes, of others. Workaround (SecantusDB 0.7): find_one_and_update
    reads the whole collection. Raises Unavailable, or the driver's error for the change, such as DuplicateKeyError.
    """
    async with unavailable():
        result = await collection.update_one(where, change)
        if not result.matched_count:
            return None
        found: Document | None = await collection.find_one({name: where[name] for name in ("_id", scope) if name})
    return found
