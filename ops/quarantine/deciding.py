"""Decides on parked events: what each place holds now, the decision on the input log, the worker's answer."""

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

from connectors.quarantine import Words
from connectors.writer import InputsWriter
from ops import topics
from ops.quarantine.answers import Said
from ops.quarantine.decoding import decoded
from ops.quarantine.parked import Waiting, read_parked
from ops.quarantine.reading import Lying, Resolutions, read_quarantine, read_resolutions, require_topics
from ops.settings import Settings
from schemas.parked import ParkedDecision, checked, to_datum
from schemas.quarantine import Place
from schemas.times import Micros
from schemas.topics import INPUTS
from sinks.audit import record

_DETAILS = (
    *("partner_id", "member_id", "external_id", "livemode"),
    *("kind", "part_id", "amount_minor", "currency"),
)


@dataclass(frozen=True)
class LookedUp:
    """What lies at some places: `waiting` for its purchase, or `given_up` into the quarantine after that."""

    waiting: Mapping[Place, Waiting]
    given_up: Mapping[Place, Lying]
    resolutions: Resolutions

    def without(self, places: Collection[Place]) -> "LookedUp":
        """The same but for some places."""
        return LookedUp(
            {place: each for place, each in self.waiting.items() if place not in places},
            {place: each for place, each in self.given_up.items() if place not in places},
            self.resolutions,
        )


def partitions_with(settings: Settings, places: Iterable[Place]) -> list[int]:
    """The partitions of these places that there are."""
    known = topics.partitions_of(INPUTS, settings)
    return sorted({place.partition for place in places if place.partition < known})


def look_up(settings: Settings, places: Sequence[Place]) -> LookedUp:
    """What lies there now. Raises KafkaException, `TopicsDiffer`, LogUnreadable."""
    require_topics(settings)
    wanted = set(places)
    found = read_parked(settings, partitions_with(settings, places))
    waiting = {each.place: each for each in found if each.place in wanted}
    if not (rest := wanted - waiting.keys()):
        return LookedUp(waiting, {}, {})
    given_up = {
        lying.place: lying
        for lying in read_quarantine(settings)
        if lying.place in rest and lying.record.refusal.was_parked
    }
    return LookedUp(waiting, given_up, read_resolutions(settings) if given_up else {})


def decision_on(settings: Settings, waiting: Waiting, action: str, words: Words) -> Said:
    """What is to be said. Raises `Rejected` when actor or reason are not fit to be kept."""
    who, event = waiting.purchase, waiting.event
    decision = ParkedDecision(
        who.partner_id,
        who.member_id,
        who.external_id,
        waiting.kind,
        event.part_id,
        action,
        words.actor,
        words.reason,
        _now_of_log(settings, waiting),
        who.livemode,
    )
    return Said(waiting, checked(to_datum(decision)))


def keep_record(
    connection: psycopg.Connection, settings: Settings, values: Mapping[Place, bytes], act: str, words: Words
) -> None:
    """Write an act into the audit log, a row for each place; `values` are the records as they came in."""
    topic = INPUTS.full_name(settings.topic_prefix)
    with connection.transaction():
        for place, value in sorted(values.items()):
            said: Mapping[str, Any] = decoded(value).fields
            record(
                connection,
                actor=words.actor,
                action=f"parked.{act}",
                subject=f"{topic}:{place}",
                reason=words.reason,
                details={name: said[name] for name in _DETAILS if said.get(name) is not None},
            )


def write(settings: Settings, decided: Iterable[Said]) -> None:
    """Append decisions to the input log. Raises `InputsUnavailable`."""
    with InputsWriter(settings) as writer:
        for said in decided:
            writer.write_parked_decision(said.decision, said.place.partition)


def _now_of_log(settings: Settings, waiting: Waiting) -> Micros:
    """The present, or where history is loaded the log's; in any case later than the waiting began."""
    now = time.time_ns() // 1_000 if settings.clock == "broker" else waiting.clock
    # Another machine's clock may be ahead of ours; what is not later would be taken for a repetition.
    return max(now, waiting.event.waits_since + 1)
