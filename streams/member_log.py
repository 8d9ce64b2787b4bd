"""One pass over the log of a partition's members: the stages in order, joined by the row of the purchase.

Pure: records and the clock go in, outcomes come out, rows are kept in the store that is given. The stream and
`simulate` run this same code.
"""

from collections import Counter
from collections.abc import Callable

from schemas.entitlements import Entitlement
from schemas.parked import ParkedDecision
from schemas.program_files import contradictions
from schemas.programs import ProgramSpec
from schemas.reversals import ReversalDecision
from schemas.revocations import Revocation
from schemas.times import DAY, Micros
from schemas.transactions import Transaction
from streams import dedup, judging, pending, refunds, room
from streams.budgets import Budgets
from streams.conflicts import Conflicting
from streams.due import DueIndex
from streams.judging import Judge
from streams.leases import Waiting
from streams.operators import Operators
from streams.parked import ParkedIndex
from streams.parking import Parking
from streams.program import Catalogue, Program
from streams.purchase import (
    Pair,
    Purchase,
    PurchaseId,
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
from streams.rows import Rows
from streams.settlement import Outcomes, Settlement

_UNDECIDED: Micros = 2**62
"""Due never: people decide when they do."""


class MemberLog:
    """The state machine of one partition. `clock` is microseconds UTC and only moves forward."""

    def __init__(
        self,
        rows: Rows,
        outcomes: Outcomes,
        budgets: Budgets,
        *,
        refund_horizon_days: int,
        parked_days: int,
    ) -> None:
        self.clock: Micros = 0
        self.catalogue = Catalogue()
        self.judge = Judge(rows, self.catalogue, budgets)
        self.due = DueIndex()
        self.parked = ParkedIndex()
        self.counts: Counter[str] = Counter()
        self.settlement = Settlement(self.catalogue, self.judge, outcomes, self.counts)
        self._operators = Operators(rows, self.catalogue, self.settlement, self.counts, self._keep_said)
        self._parking = Parking(rows, self.parked, outcomes, self.counts, self._keep)
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

    def entitle(self, said: Entitlement) -> None:
        """Keeps a grant or the end of one. Raises `Rejected` when it contradicts what came first."""
        is_news = self.judge.allowances.entitlements.take(said)
        self.counts["entitlement" if is_news else "entitlement_repeated"] += 1

    def revoke(self, revocation: Revocation) -> None:
        """As `Operators.revoke`."""
        self._operators.revoke(revocation)

    def decide_case(
        self, decision: ReversalDecision, admit: Callable[[Micros], None] = lambda _: None
    ) -> None:
        """As `Operators.decide`."""
        self._operators.decide(decision, admit)

    def decide_parked(
        self, decision: ParkedDecision, admit: Callable[[Micros], None] = lambda _: None
    ) -> None:
        """As `Parking.decide`."""
        self._parking.decide(decision, admit)

    def transact(
        self,
        transaction: Transaction,
        value: bytes,
        offset: int,
        admit: Callable[[Transaction], None] = lambda _: None,
        *,
        silent: bool = False,
        seen_at: Micros | None = None,
    ) -> None:
        """Passes one valid transaction through the stages; `value` and `offset` say where it came from.

        `admit` may reject an event that was never seen. `silent`: nobody is told of a purchase it opens.
        `seen_at`: when it first came, if that was before now. Raises `Rejected` before anything is changed.
        """
        who = identity(transaction)
        key = row_key(who)
        row = self._rows.get(key)
        purchase = Purchase() if row is None else unpack(row)
        match dedup.judge_identity(purchase, transaction):
            case dedup.Fresh(digest):
                room.check(purchase, transaction, self.catalogue)
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
            if silent and not purchase.merchant_id:
                purchase.silent = True
            self._apply(who, purchase, transaction)
        else:
            self.counts["parked"] += 1
            refunds.park(purchase, transaction, self.clock, value, offset, seen_at)
            self._parking.note(key, purchase)
        due_at = self._keep(key, purchase, None if row is None else due_of(row))
        if due_at <= self.clock:
            self._fire_own(key)

    def _apply(self, who: PurchaseId, purchase: Purchase, transaction: Transaction) -> None:
        """Takes an event of a known purchase, or the one that makes it known, through judging and pending."""
        opened_now = not purchase.merchant_id
        if opened_now:
            self._open(who, purchase, transaction)
        before = _standing(purchase) if judging.is_open(purchase) else None
        record_fact(purchase, transaction.kind, transaction.amount_minor or 0, transaction.occurred_at)
        is_judged_now = (
            not purchase.purchased_at and dedup.opens(transaction) and transaction.amount_minor is not None
        )
        self.counts["judged" if is_judged_now else "applied"] += 1
        has_changed = before is not None and before != _standing(purchase)
        if is_judged_now:
            news = self.judge.judge(who, purchase, transaction, self.clock)
        elif purchase.purchased_at:
            news = has_changed and self.judge.judge_again(who, purchase, transaction, self.clock)
        else:
            news = dedup.opens(transaction) and self.judge.require_amount(purchase, transaction)
        if refunds.count_over_refund(purchase):
            self.counts["over_refunded"] += 1
        if opened_now or news:
            self.settlement.decide(who, purchase, transaction)
        if purchase.purchased_at:
            self.settlement.settle(
                who,
                purchase,
                transaction,
                self.clock,
                is_judged_now=is_judged_now,
                may_raise=has_changed,
            )
            if purchase.stands != (purchase.net > 0):
                purchase.stands = not purchase.stands
                self.judge.regulars.add(who, purchase.merchant_id, 1 if purchase.stands else -1)

    def _open(self, who: PurchaseId, purchase: Purchase, transaction: Transaction) -> None:
        """Binds a purchase to its merchant and currency, and lets what was parked for it join."""
        purchase.merchant_id, purchase.currency = transaction.merchant_id, transaction.currency
        if not purchase.parked:
            return
        self.parked.leave(row_key(who))
        for parked in refunds.join(purchase):
            self._outcomes.unparked(who, parked, "conflict", "merchant or currency differ from its purchase")
            self.counts["parked_conflict"] += 1

    def serve(self, waiting: Waiting) -> None:
        """Decides a pair that waited for its budget."""
        key = waiting.purchase
        row = self._rows.get(key)
        if row is None:
            return
        who, purchase = from_row_key(key), unpack(row)
        pair = next(one for one in purchase.pairs if one.program_id == waiting.program_id)
        self.settlement.serve(who, purchase, pair, waiting.cause)
        if self._keep(key, purchase, due_of(row)) <= self.clock:
            self._fire_own(key)

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
            self._parking.give_up(who, refunds.overdue(purchase, due_at, self._patience))
        resolved = False
        for pair in purchase.pairs:
            program = self.catalogue.get(pair.program_id, pair.version)
            if pair.pending and pending.resolves_at(purchase, pair, program) == due_at:
                resolved = True
                self.settlement.resolve_due(who, purchase, pair, program, due_at)
            if _loses_stamp(purchase, pair, program, due_at):
                resolved = True
                self.judge.cards.follow(who, purchase, pair, program, due_at)
        if resolved:
            purchase.touched_at = max(purchase.touched_at, due_at)
            self._keep(key, purchase, due_at)
        else:
            self._parking.keep(key, purchase, due_at)
        return True

    def _keep_said(self, purchase: Purchase, who: PurchaseId, row: bytes) -> None:
        """Writes a purchase of which something was said, instead of its `row`."""
        purchase.touched_at = self.clock
        self._keep(row_key(who), purchase, due_of(row))

    def _keep(self, key: bytes, purchase: Purchase, due_before: Micros | None) -> Micros:
        """Writes a row; returns when it is due next."""
        due_at = self._due_at(purchase)
        self._rows.put(key, pack(purchase, due_at))
        if due_at != due_before:
            self.due.push(due_at, key)
        return due_at

    def _due_at(self, purchase: Purchase) -> Micros:
        """When a row is due: its first pair or parked event, or, when it is finished, to be forgotten.

        It is not finished while a reversal case waits for a decision.
        """
        due_at = 0
        for parked in purchase.parked:
            at = parked.waits_since + self._patience
            due_at = min(due_at, at) if due_at else at
        for pair in purchase.pairs:
            if pair.pending:
                program = self.catalogue.get(pair.program_id, pair.version)
                at = pending.resolves_at(purchase, pair, program)
                due_at = min(due_at, at) if due_at else at
            elif pair.stake is not None and pair.stake.qualified and not purchase.settled_at:
                at = pending.expires_at(purchase, self.catalogue.get(pair.program_id, pair.version))
                due_at = min(due_at, at) if due_at else at
        if due_at:
            return due_at
        return _UNDECIDED if purchase.awaits_decision else purchase.touched_at + self._horizon


def _loses_stamp(purchase: Purchase, pair: Pair, program: Program, now: Micros) -> bool:
    return pair.stake is not None and pair.stake.qualified and pending.is_expired(purchase, program, now)


def _standing(purchase: Purchase) -> tuple[int, int, bool]:
    return purchase.gross, purchase.net, purchase.settled_at > 0
