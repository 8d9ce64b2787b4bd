"""Judges a whole history with the stages of the stream, without a broker: dry runs, worked examples."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from schemas.entitlements import Entitlement
from schemas.entitlements import from_json as entitlement_from_json
from schemas.errors import Rejected
from schemas.programs import ProgramSpec, ProgramsRefused, parse_program
from schemas.times import Micros, from_iso, to_iso
from schemas.transactions import KINDS, Transaction, from_json
from schemas.webhooks import webhook_object
from streams.budgets import WholeBudgets
from streams.conflicts import Conflicting
from streams.member_log import MemberLog
from streams.purchase import Parked, PurchaseId
from streams.rows import MemoryRows
from streams.settlement import Datum

_EXTRA = ("partner_id", "member_id", "program_id", "program_version", "sequence", "livemode")
_UNBOUNDED = 2**62


@dataclass(frozen=True)
class Bad:
    """One line that was not accepted; `source` says which input it belongs to, `line` counts from 1."""

    source: str
    line: int
    reason: Rejected


@dataclass
class SimulationResult:
    """What a history led to.

    `events`: webhook JSON and who and what it is about; `decisions`: one object a pair; `cases`: Avro data;
    `counts`: inputs by outcome; `bad`: lines left out; `conflicts`: lines that contradict what came first;
    `unmatched`: refunds, voids and declines whose purchase never came.
    """

    events: list[Datum] = field(default_factory=list)
    decisions: list[Datum] = field(default_factory=list)
    cases: list[Datum] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[Bad] = field(default_factory=list)
    conflicts: list[Bad] = field(default_factory=list)
    unmatched: list[Bad] = field(default_factory=list)
    _words: dict[tuple[str, str | None], tuple[Any, ...]] = field(default_factory=dict, repr=False)

    def event(self, who: PurchaseId, record: str, datum: Datum) -> None:
        line = webhook_object(record, datum)
        for name in _EXTRA:
            line[name] = datum[name]
        self.events.append(line)

    def decision(self, who: PurchaseId, datum: Datum) -> None:
        for word in datum["decisions"]:
            line = {
                "occurred_at": to_iso(datum["occurred_at"]),
                **{name: datum[name] for name in ("partner_id", "member_id", "merchant_id")},
                **{name: datum[name] for name in ("transaction_id", "transaction_ref")},
                "program_id": word.get("program_id"),
                "program_version": word.get("program_version"),
                "decision": word["decision"],
            }
            for name in ("amount", "outranked_by"):
                if word.get(name) is not None:
                    line[name] = word[name]
            line["livemode"] = datum["livemode"]
            if self._is_news(line):
                self.decisions.append(line)

    def _is_news(self, line: Datum) -> bool:
        """A record repeats all pairs of its purchase; a line is written for those that changed."""
        word = (line["decision"], line.get("amount"), line.get("outranked_by"), line["program_version"])
        pair = (line["transaction_id"], line["program_id"])
        if self._words.get(pair) == word:
            return False
        self._words[pair] = word
        return True

    def case(self, who: PurchaseId, datum: Datum) -> None:
        self.cases.append(datum)

    def unparked(self, who: PurchaseId, parked: Parked, reason: str, message: str) -> None:
        named = f"{KINDS[parked.kind]} of {who.external_id}"
        if reason == "conflict":
            contradiction = Rejected(named, message, "send it again, corrected")
            self.conflicts.append(Bad("transactions", parked.offset, contradiction))
        else:
            remedy = "look whether its external_id is that of the purchase"
            self.unmatched.append(Bad("transactions", parked.offset, Rejected(named, message, remedy)))


def simulate(
    programs: Iterable[ProgramSpec | dict[str, Any]],
    transactions: Iterable[object],
    entitlements: Iterable[object] = (),
    until: str | Micros | None = None,
    *,
    refund_horizon_days: int = 180,
    parked_days: int = 60,
    into: SimulationResult | None = None,
) -> SimulationResult:
    """Judges `transactions` (or their JSON objects) in order; the clock is the largest occurred_at so far.

    An item that is a `Rejected` stands for a line that could not even be read. At the end the clock moves to
    `until`, if that is later. Entitlements (or their JSON objects) are all known from the start. Bad
    programs and lines are listed, the rest goes on. `into` collects instead of a `SimulationResult`, and may
    keep less.
    """
    result = SimulationResult() if into is None else into
    rows = MemoryRows()
    log = MemberLog(
        rows,
        result,
        WholeBudgets(rows),
        refund_horizon_days=refund_horizon_days,
        parked_days=parked_days,
    )
    result.counts = log.counts
    _publish(log, programs, result)
    _entitle(log, entitlements, result)
    _pay(log, transactions, result)
    if until is not None:
        log.advance(until if isinstance(until, int) else from_iso(until, "until"), _UNBOUNDED)
    return result


def _publish(
    log: MemberLog, programs: Iterable[ProgramSpec | dict[str, Any]], result: SimulationResult
) -> None:
    for number, form in enumerate(programs, start=1):
        try:
            log.publish(form if isinstance(form, ProgramSpec) else parse_program(form))
        except ProgramsRefused as refused:
            result.bad += [Bad("programs", number, fault) for fault in refused.faults]
        except Rejected as fault:
            result.bad.append(Bad("programs", number, fault))


def _entitle(log: MemberLog, entitlements: Iterable[object], result: SimulationResult) -> None:
    for number, line in enumerate(entitlements, start=1):
        try:
            if isinstance(line, Rejected):
                raise line
            said = line if isinstance(line, Entitlement) else entitlement_from_json(line)
            log.entitle(said)
        except Conflicting as conflict:
            log.counts["conflict"] += 1
            result.conflicts.append(_bad("entitlements", number, f"{said.kind} of {said.id}", conflict))
        except Rejected as fault:
            log.counts["rejected"] += 1
            result.bad.append(Bad("entitlements", number, fault))


def _pay(log: MemberLog, transactions: Iterable[object], result: SimulationResult) -> None:
    for number, line in enumerate(transactions, start=1):
        try:
            if isinstance(line, Rejected):
                raise line
            transaction = line if isinstance(line, Transaction) else from_json(line)
            log.advance(transaction.occurred_at, _UNBOUNDED)
            log.transact(transaction, b"", number)
        except Conflicting as conflict:
            log.counts["conflict"] += 1
            named = f"{transaction.kind} of {transaction.external_id}"
            result.conflicts.append(_bad("transactions", number, named, conflict))
        except Rejected as fault:
            log.counts["rejected"] += 1
            result.bad.append(Bad("transactions", number, fault))


def _bad(source: str, number: int, named: str, conflict: Conflicting) -> Bad:
    return Bad(source, number, Rejected(named, conflict.problem, conflict.remedy))
