"""A log walked record by record: what is due happens first, then what the record says."""

from heapq import heappop, heappush
from itertools import count

from ops.oracle.bounds import Bounds
from ops.oracle.disputes import Disputes
from ops.oracle.entitlements import End, Grant
from ops.oracle.facts import OPENING_KINDS, Purchase
from ops.oracle.following import Following
from ops.oracle.judging import Judging
from ops.oracle.lives import Bought, Pair, due
from ops.oracle.result import PENDING, Cashback, Recomputation, transaction_id
from ops.oracle.reversals import Decision
from ops.oracle.revocations import Revocation
from ops.oracle.standings import Standing
from ops.oracle.telling import Telling
from ops.oracle.terms import TermsBook
from ops.oracle.verdicts import Verdict


class Walk:
    """Where everything stands after the records taken so far; what comes of them goes into the result.

    Without `budgets`, as if no program had one.
    """

    def __init__(self, book: TermsBook, result: Recomputation, *, budgets: bool) -> None:
        self._book = book
        self._bought: dict[Purchase, Bought] = {}
        self._bounds = Bounds()
        self._telling = Telling(result)
        self._following = Following(self._bounds, self._telling)
        self._judging = Judging(book, self._bounds, self._telling, self._following, budgets=budgets)
        self._disputes = Disputes(self._following, self._telling)
        self._due: list[tuple[int, str, str, str, str, int, Pair]] = []
        self._numbers = count()

    def pass_time(self, clock: int) -> None:
        """Everything due at or before the clock (µs) happens, in the order of contract.md §4."""
        while self._due and self._due[0][0] <= clock:
            due_at, *_, pair = heappop(self._due)
            pair.noted_due = None
            if due_at != due(pair):
                continue
            if pair.bought.now.settled_at is None:
                self._following.run_out(pair)
            elif pair.pending is not None:
                self._following.clear(pair.pending, due_at)
            self._telling.publish()

    def entitle(self, entitlement: Grant | End) -> str:
        """Take an entitlement; what became of it."""
        return self._bounds.member(entitlement.holder).holdings.take(entitlement)

    def revoke(self, revocation: Revocation) -> str:
        """An operator takes back a pending cashback for good, or wants a cleared one; what became of that."""
        found = self._cashback(revocation)
        if found is None:
            return "revocation_refused"
        pair, cashback = found
        if cashback.cleared_at is not None:
            return self._disputes.want_back(pair, cashback, revocation)
        if cashback.reason == "REVOKED":
            return "revocation_repeated"
        if cashback.state != PENDING:
            return "revocation_refused"
        pair.revoked = True
        self._following.revert(pair, cashback, revocation.revoked_at, "REVOKED")
        self._telling.publish()
        return "revoked"

    def decide(self, decision: Decision, *, is_timely: bool) -> str:
        """Accounting decides on a reversal case; what became of that."""
        found = self._cashback(decision)
        if found is None or found[1].cleared_at is None:
            return "reversal_refused"
        return self._disputes.decide(*found, decision, is_timely=is_timely)

    def _cashback(self, word: Revocation | Decision) -> tuple[Pair, Cashback] | None:
        bought = self._bought.get(word.purchase)
        for pair in [] if bought is None else bought.pairs:
            for cashback in pair.cashbacks:
                if (pair.terms.program_id, cashback.sequence) == (word.program_id, word.sequence):
                    return pair, cashback
        return None

    def stand(self, purchase: Purchase, now: Standing, *, silent: bool) -> None:
        """A purchase stands otherwise by a record; `silent` counts where it is judged."""
        bought = self._bought.get(purchase)
        if bought is not None:
            bought.before, bought.now = bought.now, now
            self._judging.judge_again(bought)
        elif now.judged:
            bought = Bought(purchase, transaction_id(purchase), silent, judged=now, before=now, now=now)
            self._bought[purchase] = bought
            self._judging.judge(bought)
        else:
            self._ask_for_amount(purchase, now)
            return
        for pair in bought.pairs:
            self._note_due(pair)
        self._telling.publish()

    def _ask_for_amount(self, purchase: Purchase, now: Standing) -> None:
        if now.cause.kind not in OPENING_KINDS:
            return
        verdict = Verdict("TRANSACTION_VOID" if now.void else "AMOUNT_REQUIRED")
        name = transaction_id(purchase)
        naming = self._book.naming(now.cause, now.place)
        for terms, _ in naming:
            self._telling.decision(purchase, name, now, terms, verdict)
        if not naming:
            self._telling.decision(purchase, name, now, None, Verdict("NO_PROGRAM"))

    def _note_due(self, pair: Pair) -> None:
        due_at = due(pair)
        if due_at is None or due_at == pair.noted_due:
            return
        pair.noted_due = due_at
        _, partner_id, member_id, external_id = pair.bought.purchase
        number = next(self._numbers)
        heappush(self._due, (due_at, partner_id, member_id, external_id, pair.terms.program_id, number, pair))
