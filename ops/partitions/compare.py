"""Compares what two systems published, by identity: the same ids must say the same things."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from ops.partitions.reading import Partition
from schemas.codec import decode
from schemas.times import Micros
from schemas.topics import Topic

SHOWN_MAX = 5


@dataclass
class Comparison:
    """How many are the same, and the ids of those that are not (the first few of each kind)."""

    same: int = 0
    later: int = 0
    """Of the new alone, because its clock stands later: what time alone did since."""
    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)

    @property
    def agree(self) -> bool:
        return not (self.missing or self.different or self.unexpected)

    def __str__(self) -> str:
        if self.agree:
            return f"{self.same} the same, {self.later} later ones"
        wrong = [
            f"{len(ids)} {name} ({', '.join(ids[:SHOWN_MAX])})"
            for name, ids in vars(self).items()
            if isinstance(ids, list) and ids
        ]
        return f"{self.same} the same, " + ", ".join(wrong)


def compare(
    brokers: str, topic: Topic, *, old: tuple[str, int], new: tuple[str, int], since: Micros
) -> Comparison:
    """Compare a topic under two prefixes, each given with its number of partitions.

    `since`: the least clock of an old partition. What only the new one has must be the work of later time.
    """
    found = Comparison()
    known = {identity: digest for identity, digest, _ in _told(brokers, topic, *old)}
    seen: set[str] = set()
    for identity, digest, fired_at in _told(brokers, topic, *new):
        if identity not in known:
            if fired_at is not None and fired_at > since:
                found.later += 1
            else:
                found.unexpected.append(identity)
        elif known[identity] != digest:
            found.different.append(identity)
        elif identity not in seen:
            found.same += 1
        seen.add(identity)
    found.missing = [identity for identity in known if identity not in seen]
    return found


Told = tuple[str, bytes, Micros | None]


def _told(brokers: str, topic: Topic, prefix: str, partitions: int) -> Iterator[Told]:
    """Of every record: identity, digest of the content, and when, if time alone led to it."""
    for partition in range(partitions):
        log = Partition(brokers, topic.full_name(prefix), partition)
        try:
            for message in log.read(*log.bounds()):
                name, datum = decode(message.value())
                yield _identity(datum), _digest(name, datum), _fired_at(name, datum)
        finally:
            log.close()


def _identity(datum: dict[str, Any]) -> str:
    if "event_id" in datum:
        return str(datum["event_id"])
    return f"{datum['case_id']} revision {datum['revision']}"


def _fired_at(name: str, datum: dict[str, Any]) -> Micros | None:
    by_time = name == "CashbackCleared" or datum.get("reason") == "AUTH_EXPIRED"
    return int(datum["timestamp"]) if by_time else None


def _digest(name: str, datum: dict[str, Any]) -> bytes:
    return blake2b(repr((name, sorted(datum.items()))).encode(), digest_size=16).digest()
