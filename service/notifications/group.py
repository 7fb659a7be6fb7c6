"""A group: the notifications of a user that are of one type and about one thing, within a week."""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from bson import ObjectId

from service.datastores.mongo import Document
from service.notifications.models import BUILT_IN_TYPES
from service.notifications.number_set import NumberSet
from service.notifications.sender_sketch import SenderSketch

MAX_AGE = timedelta(days=7)
"""A notification that is later than the first of its group by more begins a new group."""
MAX_SPAN = 262_144
"""So does one whose number is higher by more: the bitmap of a group's numbers takes 32 KB at most."""
MAX_SENDERS = 3


def subject_of(notification: Document) -> str | None:
    """Return what a group has in common: the type, and the post or the site's `group_key`. None: a notification that
    stays by itself."""
    about = notification.get("post_id") or notification.get("group_key")
    return None if about is None else f"{notification['type']}:{about}"


def subjects_of_post(post_id: str) -> list[str]:
    """Return the subjects of all groups about a post."""
    return [f"{type}:{post_id}" for type in sorted(BUILT_IN_TYPES)]


@dataclass(slots=True)
class Group:
    """`first`: the number of its first notification, which together with `subject` identifies it among the user's. A
    notification that stays by itself has its type as the subject.

    `senders` are the last distinct ones, newest first. `grouped_up_to`: notifications of the subject up to this number
    have been added, or belong to an earlier group. `senders_stale`: `senders` and `sketch` include those of
    notifications that were deleted. `revision` counts the group's changes; 0: it is not stored yet.
    """

    subject: str
    first: int
    first_at: datetime
    seqs: NumberSet = field(default_factory=NumberSet)
    senders: list[ObjectId] = field(default_factory=list)
    sketch: SenderSketch = field(default_factory=SenderSketch)
    grouped_up_to: int = 0
    revision: int = 0
    senders_stale: bool = False

    @property
    def key(self) -> str:
        """What identifies the group for clients."""
        return f"{self.subject}:{self.first}"

    def takes(self, notification: Document) -> bool:
        """Return whether a later notification of the same subject belongs to this group."""
        within: bool = notification["created_at"] - self.first_at <= MAX_AGE
        return within and notification["seq"] - self.first < MAX_SPAN

    def add(self, notifications: Sequence[Document]) -> None:
        """Add notifications that it takes, ascending."""
        self.seqs |= NumberSet.of(notification["seq"] for notification in notifications)
        self.grouped_up_to = notifications[-1]["seq"]
        senders = [notification["sender_id"] for notification in notifications if notification["sender_id"]]
        self.sketch.add(senders)
        self.senders = list(dict.fromkeys([*reversed(senders), *self.senders]))[:MAX_SENDERS]

    def discard(self, seqs: NumberSet) -> bool:
        """Remove those of these notifications that it has. Return whether it had one."""
        rest = self.seqs - seqs
        if len(rest) == len(self.seqs):
            return False
        self.seqs, self.senders_stale = rest, True
        return True

    def replace_senders(self, senders: Iterable[ObjectId | None]) -> None:
        """Set the senders to those of all of its notifications, newest first."""
        known = list(dict.fromkeys(sender for sender in senders if sender))
        self.senders, self.sketch, self.senders_stale = known[:MAX_SENDERS], SenderSketch(), False
        self.sketch.add(known)


def parse_key(key: str) -> tuple[str, int] | None:
    """Return the subject and the first number of a group; None if `key` is no key."""
    subject, _, first = key.rpartition(":")
    return (subject, int(first)) if first.isascii() and first.isdigit() and len(first) <= 16 else None


def grouped(notifications: Iterable[Document], known: Iterable[Group]) -> list[Group]:
    """Add notifications of one user, ascending, to their groups. Return those that are new or have changed.

    `known`: the groups of their subjects that may take one of them. What one has already is not added again, so any
    process can repeat this.
    """
    of_subject: dict[str, list[Group]] = {}
    for group in sorted(known, key=lambda group: group.first):
        of_subject.setdefault(group.subject, []).append(group)
    added: dict[int, tuple[Group, list[Document]]] = {}
    for notification in notifications:
        subject, seq = subject_of(notification), notification["seq"]
        groups = of_subject.setdefault(subject, []) if subject else []
        last = next((group for group in reversed(groups) if group.first <= seq), None)
        if last and seq <= last.grouped_up_to:
            continue
        if last and last.takes(notification):
            group = last
        else:
            group = Group(subject or notification["type"], seq, notification["created_at"])
            insort(groups, group, key=lambda group: group.first)
        added.setdefault(group.first, (group, []))[1].append(notification)
    for group, members in added.values():
        group.add(members)
    return [group for group, _ in added.values()]


def stored_group(document: Mapping[str, Any]) -> Group:
    """Return the group in a document of `notification_groups`."""
    return Group(
        document["subject"],
        document["first"],
        document["first_at"],
        NumberSet.from_bytes(document["seqs_from"], document["seqs"]),
        document["senders"],
        SenderSketch(document["sender_hashes"]),
        document["grouped_up_to"],
        document["revision"],
        document.get("senders_stale", False),
    )


def group_fields(group: Group) -> Document:
    """Return what is stored of a group, beside its user, subject and revision."""
    return {
        "first_at": group.first_at,
        "seq": group.seqs.last,
        "seqs_from": group.seqs.first,
        "seqs": group.seqs.to_bytes(),
        "senders": group.senders,
        "sender_hashes": group.sketch.to_bytes(),
        "grouped_up_to": group.grouped_up_to,
        "senders_stale": group.senders_stale,
    }
