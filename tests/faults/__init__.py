"""Break it on purpose, against real processes, and account for every message.

`python -m tests.faults --list` tells the faults; `python -m tests.faults NAME [size=value ...] [--seed N]` runs one by
itself and prints its account: what was sent, acknowledged, received, lost and doubled. `--quick` takes the small sizes
that pytest runs; without it the sizes are those of the fault's own defaults.

A fault is one module of `tests/faults/catalogue/`, named as the fault is:

    \"\"\"What is broken, in one line: it is what --list prints.\"\"\"

    QUICK = [{"writers": 4}]    # the sizes of each run in pytest; [] where it takes too long for that

    async def run(stage: Stage, *, writers: int = 50) -> None:
        await stage.serve(WEB_CONCURRENCY="2")
        people = await stage.people(writers)
        group = await stage.group(people)
        clients = await stage.sockets(people)
        await stage.watch_leaks()
        async with talk(clients, group):
            ...break something, with choices from stage.random alone...
        await stage.verify()

What stands ready:

- `Stage`: embedded datastores of this run's own (`stage.datastores.mongo` and `.redis` are `Child`ren with a `pid`, to
  stop, kill and start; `mongodb_uri` and `redis_url` may be given to `serve`, such as a proxy's), servers, people,
  groups, posts, clients. All of it ends with the run.
- `ChatClient`: a device on the chat socket. It comes back by itself, waits as it is told, `sync`s where `hello` or a
  `reset` says that it missed something, and says again, with the nonce, what was not acknowledged.
- `StreamClient`: a device on the notification stream, which resumes with `Last-Event-ID` and fetches after a `reset`.
- `writers.talk`, `writers.comment`: numbered messages and comments for as long as a block runs.
- `Crowd`: what most runs begin and end with: people in a group who talk, the author of a post on which they comment,
  and the audits of both.
- `Account`: what became of each. `stage.verify()` holds it against the REST API and every client, and fails where
  something acknowledged cannot be read once, where a client misses something or has it twice, or was not told that it
  missed something; then it holds the servers' descriptors, connections and memory against what `watch_leaks` saw.
- `account.note("what", value)` adds a line to what is printed.

What this machine lacks (no faketime, no nginx) is told by raising `Missing("what")`: pytest skips.
"""
