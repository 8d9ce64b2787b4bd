"""Events that wait for an unknown purchase: what people decide about them, and what is kept of its row."""

from collections import Counter
from collections.abc import Callable, Iterable

from schemas.parked import ParkedDecision
from schemas.quarantine import DISCARDED
from schemas.times import Micros
from streams import refunds
from streams.parked import ParkedIndex
from streams.purchase import Parked, Purchase, PurchaseId, due_of, identity, row_key, unpack
from streams.rows import Rows
from streams.settlement import Outcomes


class Parking:
    """Of all members of a partition. `keep_row` writes the row of a key that was due at some time before."""

    def __init__(
        self,
        rows: Rows,
        index: ParkedIndex,
        outcomes: Outcomes,
        counts: Counter[str],
        keep_row: Callable[[bytes, Purchase, Micros], object],
    ) -> None:
        self._rows = rows
        self._index = index
        self._outcomes = outcomes
        self._counts = counts
        self._keep_row = keep_row

    def decide(self, decision: ParkedDecision, admit: Callable[[Micros], None]) -> None:
        """Discards a parked event, or lets it wait anew.

        `admit` may reject a decision that was never seen, by its time. Raises `Rejected`.
        """
        who = identity(decision)
        key = row_key(who)
        row = self._rows.get(key)
        purchase = Purchase() if row is None else unpack(row)
        parked = refunds.decided_on(purchase, decision)
        if row is None or parked is None:
            self._counts["parked_decision_repeated"] += 1
            return
        admit(decision.decided_at)
        if decision.action == DISCARDED:
            refunds.take_out(purchase, parked)
            why = f"discarded by {decision.actor}: {decision.reason}"
            self._outcomes.unparked(who, parked, "discarded", why)
            self._counts["parked_discarded"] += 1
        else:
            parked.anew_at = decision.decided_at
            self._counts["parked_requeued"] += 1
        self.keep(key, purchase, due_of(row))

    def give_up(self, who: PurchaseId, late: Iterable[Parked]) -> None:
        """Tells that these were waited for in vain."""
        for parked in late:
            self._outcomes.unparked(who, parked, "parked_too_long", "its purchase never came")
            self._counts["parked_too_long"] += 1

    def note(self, key: bytes, purchase: Purchase) -> None:
        """Tells the index since when the oldest waits; it need not be the one that came first."""
        self._index.wait(key, min(parked.waits_since for parked in purchase.parked))

    def keep(self, key: bytes, purchase: Purchase, due_before: Micros) -> None:
        """Writes a row in which nothing is left but what is parked; forgets it when that is gone, too."""
        if purchase.parked:
            self.note(key, purchase)
            self._keep_row(key, purchase, due_before)
        else:
            self._index.leave(key)
            self._rows.delete(key)
