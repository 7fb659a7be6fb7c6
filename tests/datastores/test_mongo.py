async def test_ping(mongo):
    await mongo.ping()
    await mongo.database.a.insert_one({"a": 1})
    assert await mongo.database.a.count_documents({}) == 1


async def test_again(mongo):
    assert await mongo.database.a.count_documents({}) == 0
