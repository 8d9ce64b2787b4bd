"""The worker's state machine: from records of the input log to outputs, one partition each.

Decodes, checks, keeps the clock and the quarantine; what is decided is decided in `member_log`.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import lru_cache, partial

from ops.settings import Settings
from schemas import codec, entitlements, grants, parked, reversals, revocations
from schemas.clock import clock_of
from schemas.errors import Rejected, Undecodable
from schemas.programs import ProgramSpec, ProgramsRefused, from_datum, to_datum
from schemas.quarantine import PARKED, first_seen_ms
from schemas.silence import is_silent
from schemas.times import DAY, MINUTE, Micros, to_iso
from schemas.topics import BUDGET_REQUESTS, CASHBACK_EVENTS, DECISIONS, QUARANTINE, REVERSAL_CASES
from schemas.transactions import Transaction, from_fields
from streams import quarantine
from streams.conflicts import Conflicting, NotDecidable, NotParked, NotPending, Untimely
from streams.engine.fold import InputRecord, Send
from streams.engine.store import Store
from streams.leases import SERVING_KEY, LeasedBudgets
from streams.member_log import MemberLog
from streams.purchase import Parked, PurchaseId
from streams.settlement import Datum

STATE_VERSION = 5
"""Form of the rows of state. Count it up when other code would read a row wrong: then it is refused."""

CLOCK_KEY = b"c"
"""The row of the partition's clock: microseconds UTC, eight bytes. It never goes back."""
_PROGRAM_PREFIX = b"g"
_PROGRAMS_KEPT = 10_000
_DECISION_BYTES_MAX = 900_000
"""A topic takes a megabyte."""


class TopicOutcomes:
    """Sends what was decided to the topics of the registry."""

    def __init__(self, partition: int, send: Send, prefix: str, input_topic: str) -> None:
        self._send = send
        self._partition = partition
        self._input_topic = input_topic
        self._events = CASHBACK_EVENTS.full_name(prefix)
        self._decisions = DECISIONS.full_name(prefix)
        self._cases = REVERSAL_CASES.full_name(prefix)
        self._quarantine = QUARANTINE.full_name(prefix)
        self._requests = BUDGET_REQUESTS.full_name(prefix)

    def event(self, who: PurchaseId, record: str, datum: Datum) -> None:
        self._send(self._events, who.member_key, codec.encode(record, datum))

    def decision(self, who: PurchaseId, datum: Datum) -> None:
        """Sends what was decided; in parts, should thousands of programs have had a word."""
        value, words = codec.encode("Decision", datum), datum["decisions"]
        if len(value) <= _DECISION_BYTES_MAX or len(words) == 1:
            self._send(self._decisions, who.member_key, value)
            return
        for part in (words[: len(words) // 2], words[len(words) // 2 :]):
            self.decision(who, {**datum, "decisions": part})

    def case(self, who: PurchaseId, datum: Datum) -> None:
        self._send(self._cases, who.member_key, codec.encode("ReversalCase", datum))

    def request(self, datum: Datum) -> None:
        """Asks the keeper of budgets."""
        self._send(self._requests, datum["program_id"].encode(), codec.encode("BudgetRequest", datum))

    def unparked(self, who: PurchaseId, parked: Parked, reason: str, message: str) -> None:
        headers = quarantine.headers(
            topic=self._input_topic,
            partition=self._partition,
            offset=parked.offset,
            first_seen_ms=parked.arrived_at // 1_000,
            reason=reason,
            message=message,
            error=PARKED,
        )
        self._send(self._quarantine, who.member_key, parked.value, headers)

    def refused(self, record: InputRecord, reason: str, error: Rejected) -> None:
        """Sends a record as it came, with its own headers kept."""
        headers = quarantine.headers(
            topic=self._input_topic,
            partition=self._partition,
            offset=record.offset,
            first_seen_ms=first_seen_ms(record.headers, record.timestamp),
            reason=reason,
            message=str(error),
            error=type(error).__name__,
        )
        key, value, kept = quarantine.bounded(record.key or b"", record.value or b"", record.headers)
        self._send(self._quarantine, key, value, [*kept, *headers])


_NOT_OURS = (Conflicting, NotPending, NotDecidable, NotParked, Untimely)
"""Whose fault it is, is plain: they say nothing of ours."""


class CashbackFold:
    """One partition of the input log. Implements the engine's `Fold`."""

    def __init__(
        self,
        partition: int,
        store: Store,
        send: Send,
        settings: Settings,
        *,
        input_topic: str,
        bad_run: quarantine.BadRun,
        report: Callable[["CashbackFold"], None],
        pause: Callable[[str], None],
    ) -> None:
        self.partition = partition
        self.log = MemberLog(
            store,
            outcomes := TopicOutcomes(partition, send, settings.topic_prefix, input_topic),
            budgets := LeasedBudgets(store, partition, settings.partitions, outcomes.request),
            refund_horizon_days=settings.refund_horizon_days,
            parked_days=settings.parked_days,
        )
        self.store = store
        self._outcomes = outcomes
        self._budgets = budgets
        self._by_broker_clock = settings.clock == "broker"
        self._oldest = settings.max_age_days * DAY
        self._newest = settings.max_skew_minutes * MINUTE
        self._due_slice = settings.due_slice
        self._bad_run = bad_run
        self._report = report
        self._pause = pause
        self._kept_clock: Micros = 0

    @property
    def counts(self) -> Counter[str]:
        """What became of the inputs since the process started, and the transitions decided."""
        return self.log.counts

    def restored(self) -> None:
        for key, row in self.store.items():
            if key == CLOCK_KEY:
                self.log.clock = self._kept_clock = int.from_bytes(row, "big")
            elif key == SERVING_KEY:
                self._budgets.resume(row.decode())
            elif key.startswith(_PROGRAM_PREFIX):
                self.log.catalogue.add(_program_in(row))
            else:
                self.log.restore(key, row)

    def advance(self, record: InputRecord) -> bool:
        if self._budgets.serving is not None and self._serve():
            return True
        return self.log.advance(self._time_of(record), self._due_slice)

    def apply(self, record: InputRecord) -> None:
        try:
            if record.headers:
                quarantine.require_readable(record.headers)
            name, fields, plain = codec.decode_fields(record.value)
            if name == "Transaction":
                transaction = from_fields(fields, plain=plain)
                _check_key(record, transaction.key)
                admit, silent, seen_at = self._check_age, False, None
                if record.headers:
                    silent = is_silent(record.headers)
                    if self._by_broker_clock:
                        seen_at = self._seen_at(record)
                        admit = partial(self._check_age, seen_at=seen_at)
                self.log.transact(
                    transaction, record.value or b"", record.offset, admit, silent=silent, seen_at=seen_at
                )
                self._bad_run.good()
            elif name == "Tick":
                self.counts["tick"] += 1
            elif name == "Entitlement":
                said = entitlements.checked(codec.decode(record.value)[1])
                _check_key(record, said.key)
                self.log.entitle(said)
                self._bad_run.good()
            elif name == "Program":
                self._publish(record.value or b"")
            elif name == "BudgetGrant":
                self._lend(grants.checked(codec.decode(record.value)[1]))
            else:
                self._hear(name, record)
        except Rejected as error:
            self._refuse(record, error)

    def before_commit(self) -> None:
        if self.log.clock != self._kept_clock:
            self._kept_clock = self.log.clock
            self.store.put(CLOCK_KEY, self._kept_clock.to_bytes(8, "big"))
        self._report(self)

    def _hear(self, name: str, record: InputRecord) -> None:
        """Takes what people say. Raises `Rejected`."""

        def admit(at: Micros) -> None:
            self._check_time("decided_at", at, self._seen_at(record))

        if name == "Revocation":
            revocation = revocations.checked(codec.decode(record.value)[1])
            _check_key(record, revocation.key)
            self.log.revoke(revocation)
        elif name == "ReversalDecision":
            decision = reversals.checked(codec.decode(record.value)[1])
            _check_key(record, decision.key)
            self.log.decide_case(decision, admit)
        elif name == "ParkedDecision":
            word = parked.checked(codec.decode(record.value)[1])
            _check_key(record, word.key)
            self.log.decide_parked(word, admit)
        else:
            raise Rejected("value", f"{name} is not an input this version takes", "send a Transaction")

    def _lend(self, grant: Datum) -> None:
        if grant["partition"] != self.partition:
            problem = f"{grant['partition']}, but it lies in {self.partition}"
            raise Rejected("partition", problem, "write it to the partition it is for")
        is_news = self._budgets.grant(grant)
        self.counts["grant" if is_news else "grant_repeated"] += 1
        if is_news:
            self._serve()

    def _serve(self) -> bool:
        """Decides a slice of those who wait for a lease; True = go on with them before all else."""
        left = self._due_slice
        with closing(self._budgets.serve()) as all_who_wait:
            for waiting in all_who_wait:
                self.log.serve(waiting)
                left -= 1
                if not left:
                    return True
        return False

    def _time_of(self, record: InputRecord) -> Micros:
        """The clock a record carries: the broker's append time, or with history the stamp of the loader."""
        if self._by_broker_clock:
            return record.timestamp * 1_000
        try:
            return clock_of(record.headers) or 0
        except Rejected:
            return 0  # a damaged stamp moves nothing; the record is judged by its own merits

    def _seen_at(self, record: InputRecord) -> Micros:
        """When an input first came: one that was requeued is as old as it was when it was set aside."""
        return first_seen_ms(record.headers, self.log.clock // 1_000) * 1_000

    def _check_age(self, transaction: Transaction, seen_at: Micros | None = None) -> None:
        self._check_time("occurred_at", transaction.occurred_at, seen_at)

    def _check_time(self, field: str, at: Micros, seen_at: Micros | None = None) -> None:
        """Nobody back-dates past a hold. A repetition may come at any time: it changes nothing."""
        if not self._by_broker_clock:
            return
        clock = self.log.clock
        oldest = (clock if seen_at is None else seen_at) - self._oldest
        if at < oldest:
            remedy = (
                f"send it within {self._oldest // DAY} days, or raise CASHBACK_MAX_AGE_DAYS and requeue it"
            )
            raise Untimely(field, f"{to_iso(at)} is before {to_iso(oldest)}", remedy)
        if at > clock + self._newest:
            limit = to_iso(clock + self._newest)
            raise Untimely(field, f"{to_iso(at)} is after {limit}", "set the sender's clock right")

    def _publish(self, value: bytes) -> None:
        try:
            spec = _program_in(value)
        except ProgramsRefused as refused:
            raise refused.faults[0] from None
        if not self.log.publish(spec):
            self.counts["program_repeated"] += 1
            return
        self.counts["program"] += 1
        self.store.put(_PROGRAM_PREFIX + spec.key, codec.encode("Program", to_datum(spec)))

    def _refuse(self, record: InputRecord, error: Rejected) -> None:
        if isinstance(error, Conflicting):
            reason = "conflict"
        else:
            reason = "undecodable" if isinstance(error, Undecodable) else "rejected"
        self.counts["conflict" if reason == "conflict" else "rejected"] += 1
        self.counts[f"quarantined_{reason}"] += 1
        self._outcomes.refused(record, reason, error)
        partner = (record.key or b"").partition(b":")[0].decode("utf-8", "replace")
        # A contradiction or a date is the sender's fault whatever happens; only the unreadable may be ours.
        if not isinstance(error, _NOT_OURS) and self._bad_run.bad(partner):
            self._pause(f"the last inputs of several partners were all refused, at last: {error}")


def _check_key(record: InputRecord, key: bytes) -> None:
    if record.key != key:
        problem = f"{record.key!r} is not partner_id:member_id"
        raise Rejected("key", problem, "key the message by its member")


@lru_cache(_PROGRAMS_KEPT)
def _program_in(value: bytes) -> ProgramSpec:
    """The program in a record. Every partition has every program: it is read once a process, not once each.

    Raises `ProgramsRefused`.
    """
    return from_datum(codec.decode(value)[1])
