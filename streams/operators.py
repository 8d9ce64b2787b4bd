"""What people say of single cashbacks: where it is looked up, and what the row becomes by it."""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from schemas.reversals import ReversalDecision
from schemas.revocations import Revocation
from schemas.times import Micros
from streams import pending, reversals
from streams.conflicts import NotDecidable, NotPending
from streams.pending import By, Word
from streams.program import Catalogue, Program
from streams.purchase import CaseState, Cleared, Pair, Purchase, PurchaseId, Stake, identity, row_key, unpack
from streams.rows import Rows
from streams.settlement import Settlement

_REMEDY = "look it up with `cashback why`"


class _Found(NamedTuple):
    who: PurchaseId
    purchase: Purchase
    pair: Pair
    program: Program
    row: bytes

    @property
    def told(self) -> tuple[PurchaseId, Purchase, Pair, Program]:
        """Whom and what outcomes are about."""
        return self.who, self.purchase, self.pair, self.program


class Operators:
    """Of all members of a partition. `keep` writes the purchase of a row that changed."""

    def __init__(
        self,
        rows: Rows,
        catalogue: Catalogue,
        settlement: Settlement,
        counts: Counter[str],
        keep: Callable[[Purchase, PurchaseId, bytes], None],
    ) -> None:
        self._rows = rows
        self._catalogue = catalogue
        self._settlement = settlement
        self._counts = counts
        self._keep = keep

    def revoke(self, revocation: Revocation) -> None:
        """Takes a pending cashback back for good; of a cleared one opens a reversal case over all of it.

        Raises `Rejected` when it is neither.
        """
        found = self._find(revocation, NotPending)
        if cleared := reversals.cleared_of(found.pair, revocation.sequence):
            self._claim(found, cleared, revocation)
            return
        pair = found.pair
        if revocation.sequence == _revoked(pair):
            self._counts["revocation_repeated"] += 1
            return
        if not pair.pending or pair.sequence != revocation.sequence:
            problem = f"cashback {revocation.sequence} of {revocation.program_id} is not pending"
            raise NotPending("sequence", problem, "a reverted one is gone already; else " + _REMEDY)
        self._counts["revoked"] += 1
        self._end(found, revocation.revoked_at)
        self._keep(found.purchase, found.who, found.row)

    def _claim(self, found: _Found, cleared: Cleared, revocation: Revocation) -> None:
        if not reversals.claim(cleared, revocation.revoked_at):
            self._counts["revocation_repeated"] += 1
            return
        self._counts["revocation_case"] += 1
        cause = Word(pending.REVOKED, revocation.revoked_at)
        by = By(revocation.actor, revocation.reason)
        self._settlement.publish_case(*found.told, cleared, cause, by)
        self._keep(found.purchase, found.who, found.row)

    def decide(self, decision: ReversalDecision, admit: Callable[[Micros], None]) -> None:
        """Closes a reversal case; approved, the cashback is taken back.

        `admit` may reject a decision that was never seen, by its time. Raises `Rejected`.
        """
        found = self._find(decision, NotDecidable)
        cleared = reversals.cleared_of(found.pair, decision.sequence)
        if cleared is None:
            problem = f"cashback {decision.sequence} of {decision.program_id} never cleared"
            raise NotDecidable("sequence", problem, "only what cleared has a reversal case")
        if reversals.is_repeated(cleared, decision):
            self._counts["reversal_repeated"] += 1
            return
        reversals.require_decidable(cleared, decision)
        admit(decision.decided_at)
        cause = Word(reversals.DECIDED, decision.decided_at)
        by = By(decision.actor, decision.reason, decision.second_actor)
        reversals.close(cleared, decision)
        self._counts[f"reversal_{cleared.state.name.lower()}"] += 1
        self._settlement.publish_case(*found.told, cleared, cause, by)
        if cleared.state is CaseState.APPROVED:
            self._settlement.reverse(*found.told, cleared, cause, by)
            if cleared.claimed:
                self._end(found, decision.decided_at)
        else:
            cleared.claimed = False
        self._keep(found.purchase, found.who, found.row)

    def _end(self, found: _Found, at: Micros) -> None:
        """The program gives the purchase nothing more: what is pending goes, nothing is created again."""
        pair = found.pair
        pair.stake = pair.stake or Stake()
        pair.stake.revoked = True
        if pair.pending:
            pair.stake.revoked_sequence = pair.sequence
            cause = Word(pending.REVOKED, at)
            self._settlement.make_pending(found.who, found.purchase, pair, found.program, 0, cause)

    def _find(self, said: Revocation | ReversalDecision, refusal: type[NotPending | NotDecidable]) -> _Found:
        who = identity(said)
        row = self._rows.get(row_key(who))
        if row is None:
            raise refusal("external_id", f"{who.external_id} is not known", _REMEDY)
        purchase = unpack(row)
        pair = next((one for one in purchase.pairs if one.program_id == said.program_id), None)
        if pair is None:
            raise refusal("program_id", f"{said.program_id} said nothing to this purchase", _REMEDY)
        return _Found(who, purchase, pair, self._catalogue.get(pair.program_id, pair.version), row)


def _revoked(pair: Pair) -> int | None:
    """The number of the cashback that was revoked while it was pending."""
    stake = pair.stake
    if stake is None or not stake.revoked:
        return None
    return stake.revoked_sequence or pair.sequence
