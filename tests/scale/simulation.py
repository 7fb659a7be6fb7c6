"""What an event costs each process of a deployment, by the size of the deployment.

`python -m tests.scale.simulation` prints the table. `test_simulation.py` compares the formulas with what is counted on
real processes. Times are processor time in microseconds.

It differs from a deployment in this: all messages to one process count alike, of any size.
"""

from dataclasses import dataclass

from service.accounts.revocation import LEASE_INTERVAL
from service.chat.members import MAX_NOTIFIED
from service.realtime.dispatcher import MAX_ADDRESSED
from service.realtime.heartbeats import INTERVAL

RECEIVE = 10.0
"""A message read from Redis and handed to a user's connection."""
PUBLISH = 4.0
"""One of the commands that publish an event."""
MESSAGES = 1 / 60
"""Messages that a connection sends a second, in the busiest hour."""
ONLINE = 0.1
"""The share of users who are connected."""
TYPING = 2.0
"""Events about who is typing, for each message of a conversation whose members are told."""
READING = 0.3
"""The share of the members present who mark a message as read by itself, where the others are told."""
SESSION = 1800.0
"""Seconds that a connection lasts. The processes that watch its user are notified of its beginning and its end."""
WATCHED = 30
"""Users that a connection watches, and connections that watch a user who is online."""


@dataclass(frozen=True)
class Kind:
    """A kind of conversation: its members, how many of them each user has, and its share of the messages. `online`: the
    chance that another member is connected when something happens there."""

    members: int
    each: float
    share: float
    online: float

    @property
    def present(self) -> float:
        return 1 + (self.members - 1) * self.online


KINDS = (Kind(2, 40, 0.70, 0.5), Kind(8, 5, 0.15, 0.25), Kind(50, 5, 0.10, ONLINE), Kind(1000, 2, 0.05, ONLINE))


@dataclass(frozen=True)
class Deployment:
    connections: int
    processes: int


@dataclass(frozen=True)
class Cost:
    """Shares of one process's core: for what its own users get, for publishing, and for what all processes read.
    `subscriptions` of one process; `commands` to Redis a second."""

    own: float
    publishing: float
    everybody: float
    subscriptions: float
    commands: float


def commands(members: int) -> int:
    """Return how many commands publish an event of a conversation, in a cluster: one for each address, because their
    channels have different slots."""
    return members if members <= MAX_ADDRESSED else 1


def received(members: int, here: float) -> float:
    """Return how many messages a process reads of an event, of whose recipients `here` are connected to it."""
    return here if members <= MAX_ADDRESSED else min(here, 1)


def hit(boxes: int, thrown: float) -> float:
    """Return how many of the boxes are hit by so many that are thrown at random."""
    return boxes * (1 - (1 - 1 / boxes) ** thrown)


def rooms(deployment: Deployment, members: int, conversations: float) -> float:
    """Return in how many of these conversations a process has members, each of whom is online with the chance ONLINE
    and connected to any of the processes."""
    return conversations * (1 - (1 - ONLINE / deployment.processes) ** members)


def cost(deployment: Deployment) -> Cost:
    connections, processes = deployment.connections, deployment.processes
    own = publishing = sent = 0.0
    subscriptions = connections / processes
    for kind in KINDS:
        events = connections * MESSAGES * kind.share
        if kind.members <= MAX_NOTIFIED:
            events *= 1 + TYPING + READING * kind.present
        is_room = kind.members > MAX_ADDRESSED
        own += events * (hit(processes, kind.present) if is_room else kind.present) / processes * RECEIVE / 1e6
        publishing += events / processes * commands(kind.members) * PUBLISH / 1e6
        sent += events * commands(kind.members)
        if is_room:
            subscriptions += rooms(deployment, kind.members, connections / ONLINE * kind.each / kind.members)
    changes = connections * 2 / SESSION
    own += changes * hit(processes, WATCHED) / processes * RECEIVE / 1e6
    publishing += changes / processes * PUBLISH / 1e6
    subscriptions += hit(int(connections / ONLINE), connections / processes * WATCHED)
    to_all = 1 / LEASE_INTERVAL
    to_oneself = processes / INTERVAL
    everybody = to_all * RECEIVE / 1e6
    return Cost(own, publishing, everybody, subscriptions, sent + changes + to_all + to_oneself)


def main() -> None:
    print("| connections | processes | own events | publishing | for everybody | subscriptions | commands a second |")
    print("|---|---|---|---|---|---|---|")
    for deployment in (Deployment(1000, 1), Deployment(100_000, 10), Deployment(1_000_000, 100)):
        each = cost(deployment)
        shares = " | ".join(f"{share:.2%}" for share in (each.own, each.publishing, each.everybody))
        numbers = f"{each.subscriptions:,.0f} | {each.commands:,.0f}"
        print(f"| {deployment.connections:,} | {deployment.processes} | {shares} | {numbers} |")


if __name__ == "__main__":
    main()
