"""Fault injection: break real server processes on purpose, and account for every message.

`python -m tests.faults --list` lists the faults; `python -m tests.faults NAME [size=value ...] [--seed N]` runs one and
prints its ledger: what was sent, acknowledged, received, lost and duplicated. `--quick` uses the small sizes that
pytest runs; the default sizes are those of the fault's own parameters. `README.md` explains the output.

A fault is a module of `tests/faults/catalogue/` with the fault's name:

    \"\"\"What is broken, in one line; --list prints it.\"\"\"

    QUICK = [{"writers": 4}]    # the sizes of each run in pytest; [] if the fault takes too long for pytest

    async def run(env: FaultEnvironment, *, writers: int = 50) -> None:
        await env.start_server(WEB_CONCURRENCY="2")
        users = await env.create_users(writers)
        group = await env.create_group(users)
        clients = await env.connect_sockets(users)
        await env.record_baseline()
        async with message_traffic(clients, group):
            ...break something; take random choices from env.random only...
        await env.check_messages(group, clients)
        await env.verify()

The helpers:

- `FaultEnvironment`: embedded datastores of this run (`env.datastores.mongo` and `.redis` are `Child`ren with a `pid`
  that can be stopped, killed and started; `start_server` accepts another `MONGODB_URI` or `REDIS_URL`, such as a
  proxy's), servers, users, groups, posts and clients. Everything ends with the run.
- `ChatClient`: a device on the chat WebSocket. It reconnects by itself after the announced delay, sends `sync` if
  `hello` or a `reset` shows that it missed something, and resends unacknowledged messages with the same nonce.
- `StreamClient`: a device on the notification stream, which resumes with `Last-Event-ID` and fetches after a `reset`.
- `Visitor`: a user who joins groups and leaves them, on a `VisitingClient`, with an account of what they receive.
- `message_traffic`, `comment_traffic`: numbered messages and comments for as long as a block runs.
- `Workload`: the usual setup: users who write in a group, and an author on whose post they comment.
- `Ledger`: what became of each message. `env.check_messages` and `env.check_notifications` compare it with the REST
  API and every client; `env.verify()` fails if an acknowledged message cannot be read exactly once, or if a client
  missed something without a sign of it, or received something twice. It then compares the servers' descriptors,
  connections and memory with the state that `record_baseline` recorded.
- `ledger.note("name", value)` adds a line to the output.

A fault raises `RequirementMissing("what")` if the machine lacks something (faketime, nginx); pytest then skips it.
"""
