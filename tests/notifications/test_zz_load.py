import asyncio, time
from tests.notifications.world import World, new_id
from tests.notifications.conftest import processes, world
async def test_contention(mongo, processes):
    user, sender = new_id(), new_id()
    worlds=[processes() for _ in range(8)]
    fails=0
    async def run(w):
        nonlocal fails
        async def one():
            nonlocal fails
            for _ in range(25):
                try: await w.store.append(w.draft(user, sender))
                except Exception as e: fails+=1
        await asyncio.gather(*[one() for _ in range(8)])
    t=time.time(); await asyncio.gather(*[run(w) for w in worlds]); d=time.time()-t
    print("8 procs x 8 x 25 =1600 in", d, "fails", fails)
    from bson import ObjectId
    found=await mongo.database["notifications"].find({"user_id":ObjectId(user)}).to_list(None)
    assert sorted(x["seq"] for x in found)==list(range(1,len(found)+1)); print(len(found))
async def test_speed(mongo, world):
    t=time.time()
    await asyncio.gather(*[world.store.append(world.draft(new_id(), new_id())) for _ in range(1000)])
    print("1000 different users", time.time()-t)
    u=new_id()
    t=time.time()
    await asyncio.gather(*[world.store.append(world.draft(u, new_id())) for _ in range(1000)])
    print("1000 one user", time.time()-t)
    t=time.time()
    for _ in range(100): await world.store.append(world.draft(u, new_id()))
    print("100 one by one", time.time()-t)
    a=await world.person(); p=await world.post(a)
    await world.debts.start()
    t=time.time()
    await asyncio.gather(*[world.comment(a,p) for _ in range(500)])
    print("500 comments", time.time()-t)
