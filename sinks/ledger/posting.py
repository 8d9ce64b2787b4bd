"""One batch of records becomes one PostgreSQL transaction: all of it or nothing."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from confluent_kafka import Message

from ops import metrics
from ops.logs import get_logger
from sinks.commission.book import CommissionBook
from sinks.ledger import known, rows, statements
from sinks.ledger.accounts import AccountBook, Accounts
from sinks.ledger.deciding import Decider
from sinks.ledger.staging import (
    CREATED,
    RESOLVED,
    REVERSED,
    Case,
    Created,
    Owners,
    Reading,
    Refused,
    Resolved,
    Reversed,
    read,
)
from sinks.ledger.wallets import Claim, Wallets
from sinks.positions import Place, Positions, lies_at

# libpq moves all that is left in its buffer each time the socket has taken a part of it.
_ROWS_SENT_AT_ONCE = 500
_REFUSALS = (psycopg.DataError, psycopg.IntegrityError, psycopg.errors.ProgramLimitExceeded)
# Lost against another session, which posted the same or waits for what this one holds.
_RACES = (
    psycopg.errors.UniqueViolation,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)
# A record writes to four tables with keys that another session may write as well, and loses each race once.
_TRIES_MAX = 5


@dataclass
class Batch:
    """Records in the order they were read, each with what it means; the line of a record is its index."""

    commission_bps: int
    messages: list[Message] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    def add(self, message: Message) -> None:
        """Read one record into the batch."""
        self.readings.append(read(message))
        self.messages.append(message)

    def __len__(self) -> int:
        return len(self.messages)

    def next_offsets(self) -> dict[Place, int]:
        """Where reading goes on after this batch."""
        return {place: offset + 1 for place, offset in map(lies_at, self.messages)}

    def halves(self) -> list["Batch"]:
        """The same records in two batches, in order."""
        middle = len(self.messages) // 2
        parts = [Batch(self.commission_bps), Batch(self.commission_bps)]
        for index, message in enumerate(self.messages):
            parts[index >= middle].add(message)
        return parts


@dataclass(frozen=True)
class Posted:
    """What a batch came to: entries by transition, repetitions that changed nothing, refused records."""

    created: int
    resolved: int
    repeated: int
    refused: int

    @property
    def entries(self) -> int:
        return self.created + self.resolved

    def __add__(self, other: "Posted") -> "Posted":
        return Posted(
            self.created + other.created,
            self.resolved + other.resolved,
            self.repeated + other.repeated,
            self.refused + other.refused,
        )


class Ledger:
    """Posts batches through one session, which it prepares. Not safe for several threads at once."""

    def __init__(self, connection: psycopg.Connection, positions: Positions) -> None:
        self._connection = connection
        self._positions = positions
        self._accounts = AccountBook()
        self._commission = CommissionBook()
        self._refusals: Counter[str] = Counter()
        connection.execute(statements.SESSION.encode())

    def post(self, batch: Batch) -> Posted:
        """Post `batch` and move the positions past it, in one transaction.

        A record the database itself refuses is found by halving and quarantined alone. Raises `Superseded`,
        or psycopg.OperationalError; after that the stored offsets say what was posted.
        """
        try:
            return self._post_in_turn(batch)
        except _REFUSALS as error:
            if len(batch) == 1:
                batch.readings[0] = Refused("refused_by_database", str(error))
                return self._post_whole(batch)
            get_logger().warning("batch refused, halving it", records=len(batch), error=str(error))
            first, second = batch.halves()
            return self.post(first) + self.post(second)

    def _post_in_turn(self, batch: Batch) -> Posted:
        """Post a batch; once more when another session was first. What that one posted is seen then."""
        for _ in range(_TRIES_MAX - 1):
            try:
                return self._post_whole(batch)
            except _RACES as error:
                get_logger().info("another session was first", records=len(batch), error=str(error).strip())
        return self._post_whole(batch)

    def _forget(self) -> None:
        self._accounts.forget()
        self._commission.forget()

    def _post_whole(self, batch: Batch) -> Posted:
        began_s = time.monotonic()
        after = batch.next_offsets()
        self._refusals.clear()
        try:
            with self._connection.transaction():
                self._positions.move(self._connection, after)
                posted = self._post_events(batch)
        except BaseException:
            self._forget()
            raise
        # Only a commit that was answered moves what we believe; without an answer the stored offsets decide.
        self._positions.next_offsets |= after
        self._measure(batch)
        metrics.ledger_batch_seconds.observe(time.monotonic() - began_s)
        return posted

    def _measure(self, batch: Batch) -> None:
        """Told when the commit was answered: what is rolled back happens again."""
        appended = Counter(message.timestamp()[1] for message in batch.messages)
        metrics.posted_age_seconds.observe(appended.items(), time.time_ns() // 1_000_000)
        for reason, count in self._refusals.items():
            metrics.ledger_quarantined_total.labels(reason).inc(count)

    def _post_events(self, batch: Batch) -> Posted:
        created = [each for each in batch.readings if isinstance(each, Created)]
        resolved = [each for each in batch.readings if isinstance(each, Resolved)]
        backs = [each for each in batch.readings if isinstance(each, Reversed)]
        refused = {line: each for line, each in enumerate(batch.readings) if isinstance(each, Refused)}
        decider = self._decider(created, resolved, backs, flat_bps=batch.commission_bps)
        if created or resolved or backs:
            refused |= self._decide(batch, decider)
            for name, table in rows.COPIES.items():
                self._copy(table, getattr(decider.sheet, name))
            self._commission.record(self._connection)
        for line, reading in enumerate(batch.readings):
            if isinstance(reading, Case) and (conflict := self._post_case(reading)):
                refused[line] = conflict
        self._quarantine(batch, refused)
        # Last, and in this order everywhere: balances and volumes of merchants are of all lanes, and whoever
        # moved them holds them until its commit.
        self._copy(rows.TRANSFERS, decider.sheet.transfers)
        self._commission.move(self._connection)
        return Posted(decider.created, decider.resolved, decider.repeated, len(refused))

    def _decider(
        self,
        created: Sequence[Created],
        resolved: Sequence[Resolved],
        backs: Sequence[Reversed],
        *,
        flat_bps: int,
    ) -> Decider:
        """Knows what the database knows of these events."""
        found = known.Known()
        found.find_purchases(self._connection, (event.reference for event in created))
        # A cashback of a purchase that nobody knows cannot be known.
        steps = [(event.cashback_id, CREATED) for event in created if event.reference in found.purchases]
        steps += [(event.cashback_id, RESOLVED) for event in resolved]
        steps += [(event.cashback_id, step) for event in backs for step in (RESOLVED, REVERSED)]
        found.find_cashbacks(self._connection, steps)
        partners = {event.owners[1] for event in created} | {event.partner_id for event in resolved}
        partners |= {event.partner_id for event in backs}
        accounts = self._accounts.resolve(self._connection, (event.owners for event in created))
        self._commission.begin(
            self._connection,
            earned=lambda: [(accounts[event.owners][0], event.at) for event in created],
            others=lambda: [
                (found.cashbacks[event.cashback_id].funding, event.at)
                for event in resolved
                if event.cashback_id in found.cashbacks
            ],
        )
        audience = known.audience(self._connection, partners)
        wallets = Wallets(self._connection, claims(backs, created, found, accounts))
        return Decider(found, audience, accounts, self._commission, wallets, flat_bps=flat_bps)

    def _decide(self, batch: Batch, decider: Decider) -> dict[int, Refused]:
        """In the order of the log: what cleared before a month's first cashback counts for its rate."""
        numbers = known.numbers(self._connection, len(batch))
        refused = {}
        for line, reading in enumerate(batch.readings):
            if isinstance(reading, Created):
                why = decider.create(reading, numbers[line])
            elif isinstance(reading, Resolved):
                why = decider.resolve(reading, numbers[line])
            elif isinstance(reading, Reversed):
                why = decider.reverse(reading, numbers[line])
            else:
                continue
            if why:
                refused[line] = why
        return refused

    def _copy(self, table: str, written: Sequence[bytes]) -> None:
        """Rows that were decided; what the database refuses of them takes the whole batch along."""
        if not written:
            return
        with self._connection.cursor() as cursor:
            with cursor.copy(f"COPY {table} FROM STDIN (FORMAT BINARY)".encode()) as copy:
                copy.write(rows.HEADER)
                for start in range(0, len(written), _ROWS_SENT_AT_ONCE):
                    copy.write(b"".join(written[start : start + _ROWS_SENT_AT_ONCE]))
                copy.write(rows.TRAILER)
            assert cursor.rowcount == len(written), f"{cursor.rowcount} rows came into {table}"

    def _post_case(self, case: Case) -> Refused | None:
        if self._connection.execute(statements.POST_CASE, case.row).rowcount == 1:
            return None
        known = self._connection.execute(statements.CASE_HASH, case.row).fetchone()
        if known and bytes(known[0]) == case.row["payload_hash"]:
            return None
        return Refused("conflict", "this revision of the case was posted before with other content")

    def _quarantine(self, batch: Batch, refused: dict[int, Refused]) -> None:
        for line, why in sorted(refused.items()):
            message = batch.messages[line]
            (topic, partition), offset = lies_at(message)
            row = (topic, partition, offset, why.reason, why.detail, message.key(), message.value())
            self._connection.execute(statements.QUARANTINE, row)
            self._refusals[why.reason] += 1
            get_logger().error(
                "event quarantined",
                topic=topic,
                partition=partition,
                offset=offset,
                reason=why.reason,
                detail=why.detail,
            )


def claims(
    backs: Sequence[Reversed],
    created: Sequence[Created],
    found: known.Known,
    accounts: Mapping[Owners, Accounts],
) -> Iterator[Claim]:
    """What reversals may take; a cashback may even be created by the batch that takes it back."""
    begun: dict[str, list[Created]] = {}
    for each in created if backs else ():
        begun.setdefault(each.cashback_id, []).append(each)
    for event in backs:
        if (event.cashback_id, REVERSED) in found.entries:
            continue  # a repetition takes nothing
        cashback = found.cashbacks.get(event.cashback_id)
        if cashback is not None:
            yield Claim(
                cashback.wallet,
                cashback.funding,
                cashback.commission_revenue,
                cashback.asset,
                cashback.amount,
            )
        for each in begun.get(event.cashback_id, ()) if cashback is None else ():
            funding, _, revenue, _, wallet = accounts[each.owners]
            yield Claim(wallet, funding, revenue, each.owners[4], each.amount)
