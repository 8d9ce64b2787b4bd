"""Finds everything about one payment: a look into the index of places, then single records and rows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg
from confluent_kafka import Message

from ops.partitions.reading import headers_of
from ops.settings import Settings
from ops.why.facts import Behind, Decision, Facts, Input, ProgramKey
from ops.why.inputs import fates, opening
from ops.why.ledger import Books
from ops.why.life import is_rewarded
from ops.why.log import LogReader
from schemas.clock import clock_of
from schemas.codec import decode
from schemas.errors import Rejected, Undecodable
from schemas.programs import ProgramSpec, ProgramsRefused, from_datum
from schemas.quarantine import REQUEUED_FROM, Place, Refusal, refusal_of
from schemas.silence import is_silent
from schemas.times import Micros
from schemas.topics import CASHBACK_EVENTS, DECISIONS, INPUTS, PROGRAMS, QUARANTINE, WORKER_GROUP, Topic
from sinks.database import READER_ROLE, session
from sinks.ledger import SINK as LEDGER
from sinks.places import SINK as PLACES
from sinks.places.references import Whereabouts, find, reference

_POSITION = "SELECT next_offset FROM sink_positions WHERE sink = %s AND topic = %s AND partition = %s"
_POSITIONS = "SELECT topic, partition, next_offset FROM sink_positions WHERE sink = %s"
_PARTNER = "SELECT EXISTS (SELECT FROM purchases WHERE partner_id = %s)"


class Unknown(Exception):
    """Nothing is known of such a payment; the message says what to look at."""


@dataclass(frozen=True)
class Asked:
    """Which payment; `member_id` None: whoever has one."""

    partner_id: str
    external_id: str
    livemode: bool = True
    member_id: str | None = None


@dataclass
class _Read:
    """What was read of the log, by member."""

    inputs: dict[str, list[Input]] = field(default_factory=lambda: defaultdict(list))
    decisions: dict[str, list[Decision]] = field(default_factory=lambda: defaultdict(list))
    refusals: dict[Place, Refusal] = field(default_factory=dict)
    catalogue: list[Message] = field(default_factory=list)


def facts_of(asked: Asked, settings: Settings) -> list[Facts]:
    """What is known of the payment, one for each member who has it, the ledger's first.

    Raises `Unknown`, `LogUnreadable`, KafkaException, `WrongSchema`, psycopg.OperationalError.
    """
    with (
        LogReader(settings.brokers, settings.topic_prefix + WORKER_GROUP) as log,
        session(settings.database_url, "why", role=READER_ROLE) as connection,
    ):
        return _Search(asked, settings, connection, log).run()


class _Search:
    def __init__(
        self, asked: Asked, settings: Settings, connection: psycopg.Connection, log: LogReader
    ) -> None:
        self._asked = asked
        self._connection = connection
        self._log = log
        self._prefix = settings.topic_prefix

    def run(self) -> list[Facts]:
        asked = self._asked
        books = Books(self._connection, asked.partner_id, asked.external_id, livemode=asked.livemode)
        places = self._places([(asked.livemode, asked.partner_id, asked.external_id)])
        read = self._read(places)
        members = dict.fromkeys([*([books.holder] if books.holder else []), *read.inputs, *read.decisions])
        wanted = [member for member in members if asked.member_id in (None, member)]
        if not wanted:
            raise Unknown(self._unknown(list(members)))
        unbooked = books.unbooked(wanted)
        cashbacks = books.cashbacks()
        programs = _programs(read, wanted)
        return [
            self._with_behind(
                Facts(
                    asked.partner_id,
                    member,
                    asked.external_id,
                    asked.livemode,
                    inputs=tuple(_refused(each, read.refusals) for each in read.inputs.get(member, ())),
                    decisions=tuple(read.decisions.get(member, ())),
                    holder=books.holder,
                    cashbacks=cashbacks if member == books.holder else (),
                    unbooked=tuple(unbooked.get(member, ())),
                    programs=programs,
                )
            )
            for member in wanted
        ]

    def _name(self, topic: Topic) -> str:
        return topic.full_name(self._prefix)

    def _places(self, references: Iterable[tuple[bool, str, str]]) -> list[Whereabouts]:
        topics = [self._name(topic) for topic in (INPUTS, DECISIONS, QUARANTINE)]
        return find(self._connection, [reference(*each) for each in references], topics)

    def _read(self, places: Sequence[Whereabouts]) -> _Read:
        messages, catalogue = self._log.read(places, self._name(PROGRAMS))
        read = _Read(catalogue=catalogue)
        for message in messages:
            self._take(message, read)
        return read

    def _take(self, message: Message, read: _Read) -> None:
        try:
            record, datum = decode(message.value())
        except Undecodable:
            return
        name = "transaction_ref" if record == "Decision" else "external_id"
        who = (datum.get("partner_id"), datum.get(name), datum.get("livemode"))
        if who != (self._asked.partner_id, self._asked.external_id, self._asked.livemode):
            return  # another payment with the same digest
        place = Place(message.partition() or 0, message.offset() or 0)
        topic = message.topic()
        if topic == self._name(DECISIONS):
            read.decisions[datum["member_id"]].append(Decision(place, datum))
        elif topic == self._name(INPUTS):
            read.inputs[datum["member_id"]].append(_input(message, place, record, datum))
        else:
            read.refusals |= _refusal(message)

    def _with_behind(self, facts: Facts) -> Facts:
        """Whoever is behind in the partition, asked only where something is missing that may still come."""
        is_undecided = not facts.decisions and opening(fates(facts.inputs)) is not None
        is_unbooked = is_rewarded(facts) and not facts.cashbacks and not facts.unbooked
        if not is_undecided and not is_unbooked:
            return facts
        places = [*(each.place for each in facts.inputs), *(each.place for each in facts.decisions)]
        partition = places[0].partition
        inputs, decisions, events = (
            (self._name(topic), partition) for topic in (INPUTS, DECISIONS, CASHBACK_EVENTS)
        )
        ends = self._log.ends([inputs, decisions, events])
        return replace(
            facts,
            behind=Behind(
                worker=max(0, ends[inputs] - self._log.committed(inputs)),
                places=self._sink_behind(PLACES, decisions, ends[decisions]),
                ledger=self._sink_behind(LEDGER, events, ends[events]),
            ),
        )

    def _sink_behind(self, sink: str, place: tuple[str, int], end: int) -> int:
        row = self._connection.execute(_POSITION, (self._prefix + sink, *place)).fetchone()
        return max(0, end - (row[0] if row else 0))

    def _unknown(self, others: Sequence[str]) -> str:
        asked = self._asked
        mode = "live" if asked.livemode else "test"
        of = f"{asked.partner_id}, {mode}"
        if others:
            who = ", ".join(others)
            return f"member {asked.member_id} has no payment {asked.external_id} of {of}: ask for {who}"
        hints = [*self._near_misses(), *self._behind_anywhere()]
        hints += [
            f"`cashback quarantine list --partner {asked.partner_id}` shows what could not be read at all",
            "`cashback parked` shows refunds whose purchase has not come, perhaps under another id",
        ]
        return f"there is no payment {asked.external_id} of {of}: " + "; ".join(hints)

    def _near_misses(self) -> list[str]:
        asked = self._asked
        hints = []
        if self._places([(not asked.livemode, asked.partner_id, asked.external_id)]):
            hints.append(
                "there is a test payment of that id, add --test" if asked.livemode else "leave --test out"
            )
        known = self._connection.execute(_PARTNER, (asked.partner_id,)).fetchone()
        if known == (False,):
            hints.append(f"no partner {asked.partner_id} has earned anything yet, look at its spelling")
        spelt = asked.external_id.strip()
        variants = {spelt, spelt.lower(), spelt.upper()} - {asked.external_id}
        for variant in sorted(variants):
            if self._places([(asked.livemode, asked.partner_id, variant)]):
                hints.append(f"there is one called {variant}")
        return hints or ["look at the spelling, and at --test for test payments"]

    def _behind_anywhere(self) -> list[str]:
        rows = self._connection.execute(_POSITIONS, (self._prefix + PLACES,)).fetchall()
        if not rows:
            return ["the index of places was never filled: is `sinks.places` running?"]
        read = {(topic, partition): offset for topic, partition, offset in rows}
        ends = self._log.ends(read)
        behind = sum(max(0, end - read[place]) for place, end in ends.items())
        return [f"the index of places is {behind:,} records behind, ask again in a moment"] if behind else []


def _input(message: Message, place: Place, record: str, datum: Mapping[str, Any]) -> Input:
    given = headers_of(message)
    headers = dict(given)
    requeued = headers.get(REQUEUED_FROM)
    return Input(
        place,
        record,
        datum,
        arrived_at=_clock(message, headers),
        silent=is_silent(given),
        requeued_from=requeued.decode("utf-8", "replace") if requeued else None,
    )


def _clock(message: Message, headers: Mapping[str, bytes | None]) -> Micros:
    """When a record arrived by the clock of the log: its own stamp, else the broker's."""
    try:
        stamped = clock_of(headers.items())
    except Rejected:
        stamped = None
    return message.timestamp()[1] * 1_000 if stamped is None else stamped


def _refusal(message: Message) -> dict[Place, Refusal]:
    try:
        refusal = refusal_of(headers_of(message))
    except Rejected:
        return {}  # somebody else wrote it there
    return {refusal.place: refusal}


def _refused(each: Input, refusals: Mapping[Place, Refusal]) -> Input:
    return replace(each, refusal=refusals.get(each.place))


def _programs(read: _Read, members: Iterable[str]) -> dict[ProgramKey, ProgramSpec]:
    """The versions by which these members' purchases were judged, as far as the catalogue has them."""
    wanted = {
        f"{word['program_id']}:{word['program_version']}".encode(): (
            word["program_id"],
            word["program_version"],
        )
        for member in members
        for decision in read.decisions.get(member, ())
        for word in decision.datum["decisions"]
    }
    found: dict[ProgramKey, ProgramSpec] = {}
    for message in read.catalogue:
        key = message.key()
        if key in wanted:
            try:
                found[wanted[key]] = from_datum(decode(message.value())[1])
            except (Undecodable, ProgramsRefused):
                continue
    return found
