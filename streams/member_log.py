"""One pass over the log of a partition's members: the stages in order, joined by the row of the purchase.

Pure: records and the clock go in, outcomes come out, rows are kept in the store that is given. The stream and
`simulate` run this same code.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from schemas.errors import Rejected
from schemas.money import AMOUNT_MAX
from schemas.program_files import contradictions
from schemas.programs import ProgramSpec
from schemas.times import DAY, Micros
from schemas.transactions import AUTHORIZED, DECLINED, SETTLED, VOIDED, Transaction
from streams import announce, dedup, judging, pending, refunds
from streams.due import DueIndex
from streams.parked import ParkedIndex
from streams.program import Catalogue
from streams.purchase import (
    Parked,
    Purchase,
    PurchaseId,
    Reason,
    due_of,
    from_row_key,
    identity,
    is_purchase,
    pack,
    record_fact,
    row_key,
    unpack,
    waits_for_purchase,
)

Datum = dict[str, Any]
EVENTS_MAX = 1_000
"""Accepted events a purchase: what comes after is rejected, so that one row stays small."""
PARKED_MAX = 100
"""Events that wait for one unknown purchase, each with its bytes."""
LAST_WORDS_MAX = 10
"""Voids and declines that are still taken beyond either bound."""


class Rows(Protocol):
    """Where rows are kept; satisfied by the engine's store."""

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...


class Outcomes(Protocol):
    """Where what was decided goes."""

    def event(self, who: PurchaseId, record: str, datum: Datum) -> None: ...
    def decision(self, who: PurchaseId, datum: Datum) -> None: ...
    def case(self, who: PurchaseId, datum: Datum) -> None: ...
    def unparked(self, who: PurchaseId, parked: Parked, reason: str, message: str) -> None: ...


class MemberLog:
    """The state machine of one partition. `clock` is microseconds UTC and only moves forward."""

    def __init__(self, rows: Rows, outcomes: Outcomes, *, refund_horizon_days: int, parked_days: int) -> None:
        self.clock: Micros = 0
        self.catalogue = Catalogue()
        self.due = DueIndex()
        self.parked = ParkedIndex()
        self.counts: Counter[str] = Counter()
        self._rows = rows
        self._outcomes = outcomes
        self._horizon = refund_horizon_days * DAY
        self._patience = parked_days * DAY

    def restore(self, key: bytes, row: bytes) -> None:
        """Takes a purchase's row from a filled store into the due index."""
        if is_purchase(key):
            self.due.push(due_of(row), key)
            if waits_for_purchase(row):
                self.parked.wait(key, due_of(row) - self._patience)

    def advance(self, to: Micros, budget: int) -> bool:
        """Moves the clock and fires what is due, at most `budget` rows; True when more is due."""
        if to > self.clock:
            self.clock = to
        while budget and (entry := self.due.pop(self.clock)) is not None:
            budget -= self._fire(*entry)
        return not budget

    def publish(self, spec: ProgramSpec) -> bool:
        """Adds a program version; False when it is known. Raises `Rejected` when it contradicts others."""
        known = self.catalogue.specs_of(spec.program_id)
        if spec in known:
            return False
        if faults := contradictions([*known, spec]):
            raise faults[0]
        self.catalogue.add(spec)
        return True

    def transact(
        self,
        transaction: Transaction,
        value: bytes,
        offset: int,
        admit: Callable[[Transaction], None] = lambda _: None,
    ) -> None:
        """Passes one valid transaction through the stages; `value` and `offset` say where it came from.

        `admit` may reject an event that was never seen. Raises `Rejected` before anything is changed.
        """
        who = identity(transaction)
        key = row_key(who)
        row = self._rows.get(key)
        purchase = Purchase() if row is None else unpack(row)
        match dedup.judge_identity(purchase, transaction):
            case dedup.Fresh(digest):
                _check_room(purchase, transaction)
                admit(transaction)
                dedup.remember(purchase, transaction, digest)
            case dedup.Duplicate():
                self.counts["duplicate"] += 1
                return
            case dedup.Conflict(problem):
                remedy = "what came first stands; send a correction as a new event"
                raise Conflicting("identity", problem, remedy)
        purchase.touched_at = self.clock
        if purchase.merchant_id or dedup.opens(transaction):
            self._apply(who, purchase, transaction)
        else:
            if row is None:
                self.parked.wait(key, self.clock)
            self.counts["parked"] += 1
            refunds.park(purchase, transaction, self.clock, value, offset)
        due_at = self._keep(key, purchase, None if row is None else due_of(row))
        if due_at <= self.clock:
            self._fire_own(key)

    def _apply(self, who: PurchaseId, purchase: Purchase, transaction: Transaction) -> None:
        """Takes an event of a known purchase, or the one that makes it known, through judging and pending."""
        opened_now = not purchase.merchant_id
        if opened_now:
            self._open(who, purchase, transaction)
        before = _standing(purchase) if judging.waits(purchase) else None
        record_fact(purchase, transaction.kind, transaction.amount_minor or 0, transaction.occurred_at)
        is_judged_now = (
            not purchase.purchased_at and dedup.opens(transaction) and transaction.amount_minor is not None
        )
        self.counts["judged" if is_judged_now else "applied"] += 1
        if is_judged_now:
            news = judging.judge(purchase, transaction, self.catalogue)
        elif purchase.purchased_at:
            changed = before is not None and before != _standing(purchase)
            news = changed and judging.judge_again(purchase, self.catalogue, self.clock)
        else:
            news = dedup.opens(transaction) and judging.require_amount(purchase, transaction, self.catalogue)
        if refunds.count_over_refund(purchase):
            self.counts["over_refunded"] += 1
        if opened_now or news:
            self._outcomes.decision(who, announce.decision(who, purchase, transaction.occurred_at))
        if purchase.purchased_at:
            self._settle(who, purchase, transaction, is_judged_now=is_judged_now)

    def _open(self, who: PurchaseId, purchase: Purchase, transaction: Transaction) -> None:
        """Binds a purchase to its merchant and currency, and lets what was parked for it join."""
        purchase.merchant_id, purchase.currency = transaction.merchant_id, transaction.currency
        if not purchase.parked:
            return
        self.parked.leave(row_key(who))
        for parked in refunds.join(purchase):
            self._outcomes.unparked(who, parked, "conflict", "merchant or currency differ from its purchase")
            self.counts["parked_conflict"] += 1

    def _settle(
        self, who: PurchaseId, purchase: Purchase, transaction: Transaction, *, is_judged_now: bool
    ) -> None:
        """Makes what should be pending so, pair by pair, and revises reversal cases."""
        at = transaction.occurred_at
        for pair in purchase.pairs:
            if not pair.sequence and pair.reason is not Reason.REWARDED:
                continue
            program = self.catalogue.get(pair.program_id, pair.version)
            if not is_judged_now and pending.is_expired(purchase, program, self.clock):
                continue
            reward = pair.amount if is_judged_now else judging.reward_now(purchase, pair, program)
            for change in pending.adjust(pair, max(0, reward - pair.cleared_sum), transaction.kind, at):
                record, datum = announce.transition(who, purchase, pair, program, change, transaction)
                self._emit(who, record, datum)
            if not pair.cleared:
                continue
            for cleared in refunds.revise_cases(pair, reward, transaction.kind, at):
                self._outcomes.case(
                    who, announce.reversal_case(who, purchase, pair, program, cleared, transaction)
                )

    def _fire_own(self, key: bytes) -> None:
        """What became due by a record itself fires right after it."""
        while (row := self._rows.get(key)) is not None and due_of(row) <= self.clock:
            self._fire(due_of(row), key)

    def _fire(self, due_at: Micros, key: bytes) -> bool:
        """Fires one row; False when the index entry was stale."""
        row = self._rows.get(key)
        if row is None or due_of(row) != due_at:
            return False
        purchase = unpack(row)
        who = from_row_key(key)
        if purchase.parked:
            for parked in refunds.overdue(purchase, due_at, self._patience):
                self._outcomes.unparked(who, parked, "parked_too_long", "its purchase never came")
                self.counts["parked_too_long"] += 1
        resolved = False
        for pair in purchase.pairs:
            program = self.catalogue.get(pair.program_id, pair.version)
            if pair.pending and pending.resolves_at(purchase, pair, program) == due_at:
                resolved = True
                change = pending.fire(purchase, pair, due_at)
                self._emit(who, *announce.transition(who, purchase, pair, program, change, None))
        if resolved:
            purchase.touched_at = max(purchase.touched_at, due_at)
        if purchase.parked:
            self.parked.wait(key, purchase.parked[0].arrived_at)
        else:
            self.parked.leave(key)
        if resolved or purchase.parked:
            self._keep(key, purchase, due_at)
        else:
            self._rows.delete(key)
        return True

    def _keep(self, key: bytes, purchase: Purchase, due_before: Micros | None) -> Micros:
        """Writes a row; returns when it is due next."""
        due_at = self._due_at(purchase)
        self._rows.put(key, pack(purchase, due_at))
        if due_at != due_before:
            self.due.push(due_at, key)
        return due_at

    def _due_at(self, purchase: Purchase) -> Micros:
        """When a row is due: its first pair or parked event, or, when it is finished, to be forgotten."""
        due_at = 0
        for parked in purchase.parked:
            at = parked.arrived_at + self._patience
            due_at = min(due_at, at) if due_at else at
        for pair in purchase.pairs:
            if pair.pending:
                program = self.catalogue.get(pair.program_id, pair.version)
                at = pending.resolves_at(purchase, pair, program)
                due_at = min(due_at, at) if due_at else at
        return due_at or purchase.touched_at + self._horizon

    def _emit(self, who: PurchaseId, record: str, datum: Datum) -> None:
        self.counts[record] += 1
        self._outcomes.event(who, record, datum)


class Conflicting(Rejected):
    """Another content under a known identity, or another merchant or currency than the purchase's."""


def _check_room(purchase: Purchase, transaction: Transaction) -> None:
    room = LAST_WORDS_MAX if transaction.kind in (VOIDED, DECLINED) else 0
    if len(purchase.seen) >= EVENTS_MAX + room:
        problem = f"more than {EVENTS_MAX} events of one purchase"
        raise Rejected("external_id", problem, "use a new external_id")
    if len(purchase.parked) >= PARKED_MAX + room and not dedup.opens(transaction):
        problem = f"more than {PARKED_MAX} events wait for a purchase that never came"
        raise Rejected("external_id", problem, "send the purchase first")
    kind, so_far = transaction.kind, 0
    if kind == SETTLED:
        so_far = purchase.captured
    elif kind == AUTHORIZED:
        so_far = purchase.authorized
    if so_far + (transaction.amount_minor or 0) > AMOUNT_MAX:
        problem = f"brings the purchase above {AMOUNT_MAX}"
        raise Rejected("amount_minor", problem, "send minor units of one purchase")


def _standing(purchase: Purchase) -> tuple[int, int, bool]:
    return purchase.gross, purchase.net, purchase.settled_at > 0
