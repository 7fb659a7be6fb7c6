"""The receiver of webhooks dies, stalls, answers 500, 410 and garbage; the worker that posts is killed by SIGKILL."""

import asyncio
import base64
import hashlib
import hmac
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.datastores.mongo import Mongo
from service.webhooks.delivery_store import DeliveryStore
from tests.faults.environment import FaultEnvironment
from tests.faults.workload import Workload
from tests.protocol.worker_lookup import owner_of
from tests.running import Server, eventually
from tests.webhooks.receiver import OK, Receiver, Request, answer, receiving

QUICK = [{"webhooks": 200, "kills": 1, "phase": 0.7, "retry": 0.3, "clients": 8}]
KEY = b"a secret of the fault injection, of 45 bytes."
SECRET = "whsec_" + base64.b64encode(KEY).decode()
GARBAGE = b"\x16\x03\x01 this is not HTTP\r\n\r\n"
FAILING = 0.02
"""The share of requests that fail at random, at any time."""
REPLACEMENT_TIMEOUT = 60.0
DELIVERY_TIMEOUT = 240.0
"""Seconds within which everything has to arrive once the receiver is well."""


async def run(
    env: FaultEnvironment,
    *,
    webhooks: int = 10_000,
    kills: int = 5,
    phase: float = 6.0,
    retry: float = 5.0,
    clients: int = 10,
) -> None:
    """`webhooks`: at least as many. `phase`: seconds of each of the receiver's ailments. `retry`: seconds between two
    attempts, instead of delays that reach a day; the number of attempts stays."""
    async with receiving(SECRET) as receiver:
        patient = _Patient(env, receiver, phase)
        server = await env.start_server(
            WEB_CONCURRENCY="2",
            WEBHOOK_URL=receiver.url,
            WEBHOOK_SECRET=SECRET,
            WEBHOOK_PRIVATE="on",
            FAULTS_WEBHOOK_RETRY=str(retry),
        )
        workload = await Workload.start(env, clients)
        async with workload.traffic(pause=0.05, commenters=1), patient.suffering() as suffering:
            for _ in range(kills):
                await asyncio.sleep(env.random.uniform(0.5, 1.5) * phase)
                await _kill_poster(env, server, receiver)
            await suffering
            # Each comment is two: it notifies the author.
            while len(env.ledger.messages.acknowledged) + 2 * len(env.ledger.notifications.acknowledged) < webhooks:
                await asyncio.sleep(0.1)
        expected = await _expected(env, workload)
        await patient.recover(expected)
        _account(env, receiver, expected)
        await workload.verify()


class _Patient:
    """The receiver, which falls ill with one thing after the other, between which it is well."""

    def __init__(self, env: FaultEnvironment, receiver: Receiver, phase: float) -> None:
        self._env = env
        self._receiver = receiver
        self._phase = phase
        receiver.behaviour = self._answer
        self._answers: bytes | None = OK

    @asynccontextmanager
    async def suffering(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Yield the task, which ends once it has suffered everything."""
        task = asyncio.create_task(self._suffer())
        try:
            yield task
        finally:
            task.cancel()

    async def _suffer(self) -> None:
        for ailment in (self._die, self._stall, self._never_answer, self._fail, self._babble, self._resign):
            await ailment()
            await asyncio.sleep(self._phase)

    def _answer(self, request: Request) -> bytes | None:
        if self._answers is OK and self._env.random.random() < FAILING:
            return self._env.random.choice([answer(500), answer(404), answer(302, "Location: /"), GARBAGE])
        return self._answers

    async def _answering(self, response: bytes | None) -> None:
        self._answers = response
        await asyncio.sleep(self._phase)
        self._answers = OK

    async def _die(self) -> None:
        await self._receiver.stop()
        await asyncio.sleep(self._phase)
        await self._receiver.start()

    async def _stall(self) -> None:
        well = asyncio.Event()
        self._receiver.delay = well.wait
        await asyncio.sleep(self._phase)
        self._receiver.delay = None
        well.set()

    async def _never_answer(self) -> None:
        await self._answering(None)

    async def _fail(self) -> None:
        await self._answering(answer(500))

    async def _babble(self) -> None:
        await self._answering(GARBAGE)

    async def _resign(self) -> None:
        """Answer 410, after which nothing more is posted until the operator asks for it."""
        first = len(self._receiver.requests)
        self._answers = answer(410)
        async with asyncio.timeout(REPLACEMENT_TIMEOUT):
            while len(self._receiver.requests) == first:
                await asyncio.sleep(0.1)
        await asyncio.sleep(self._phase)
        before = len(self._receiver.requests)
        self._answers = OK
        await asyncio.sleep(self._phase)
        assert before == len(self._receiver.requests), "a receiver that answered 410 got more"
        await self._resend()

    async def _resend(self) -> int:
        """What `python -m service webhooks --resend all` does."""
        mongo = Mongo(self._env.datastores.mongodb_uri)
        try:
            return await DeliveryStore(mongo.database).resend(None)
        finally:
            mongo.close()

    async def recover(self, expected: set[str]) -> None:
        """Wait until everything has arrived; what has been parked meanwhile is sent again."""
        async with asyncio.timeout(DELIVERY_TIMEOUT):
            while missing := expected - self._receiver.accepted.keys():
                if resent := await self._resend():
                    self._env.ledger.note("parked, and sent again", f"{resent}, with {len(missing)} missing")
                await asyncio.sleep(1)


async def _kill_poster(env: FaultEnvironment, server: Server, receiver: Receiver) -> None:
    """Kill the worker that has a connection to the receiver; if none has one now, any."""
    try:
        victim = owner_of(server, receiver.peer_port, receiver.port)
    except AssertionError:
        victim = env.random.choice(server.workers)
    workers = len(server.workers)
    os.kill(victim, signal.SIGKILL)
    await asyncio.to_thread(
        eventually, lambda: victim not in server.workers and len(server.workers) == workers, REPLACEMENT_TIMEOUT
    )


async def _expected(env: FaultEnvironment, workload: Workload) -> set[str]:
    """The ids of the webhooks of everything that was acknowledged."""
    notified = [each async for each in env.api.paginate("/notifications", "before", workload.author, limit=100)]
    return {
        *(f"message_created_{id}" for id in env.ledger.messages.acknowledged.values()),
        *(f"comment_created_{id}" for id in env.ledger.notifications.acknowledged.values()),
        *(f"notification_created_{each['data']['notification_id']}" for each in notified),
    }


def _account(env: FaultEnvironment, receiver: Receiver, expected: set[str]) -> None:
    bodies: dict[str, set[bytes]] = {}
    subjects: dict[tuple[str, str], set[str]] = {}
    for request in receiver.requests:
        bodies.setdefault(request.id, set()).add(request.body)
        event = request.event
        subjects.setdefault((event["type"], f"{event['data']['id']} {event['data'].get('rev')}"), set()).add(request.id)
        if not _is_signed(request):
            env.ledger.violations.append(f"{request.id} is not signed")
    again = sum(count - 1 for count in receiver.accepted.values())
    env.ledger.note("webhooks", f"{len(expected)} expected, {len(receiver.accepted)} accepted")
    env.ledger.note("webhooks lost", len(expected - receiver.accepted.keys()))
    env.ledger.note(
        "attempts", f"{len(receiver.requests)}, {again} of them after the receiver had accepted the webhook"
    )
    env.ledger.violations += [f"{id} was lost" for id in expected - receiver.accepted.keys()]
    env.ledger.violations += [f"{id} changed between attempts" for id, found in bodies.items() if len(found) > 1]
    env.ledger.violations += [f"{subject} has several ids" for subject, found in subjects.items() if len(found) > 1]
    env.ledger.violations += [f"{request.id} could not be verified" for request in receiver.refused]


def _is_signed(request: Request) -> bool:
    """Verify the signature as the specification says, without the package that signed it."""
    signed = f"{request.id}.{request.headers['webhook-timestamp']}.".encode() + request.body
    signature = "v1," + base64.b64encode(hmac.digest(KEY, signed, hashlib.sha256)).decode()
    return signature in request.headers["webhook-signature"].split()
