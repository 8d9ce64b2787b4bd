"""What is said about purchases, written into the result: decisions, and events in their order."""

from ops.oracle.facts import Purchase
from ops.oracle.lives import Pair
from ops.oracle.result import Cashback, Decision, Recomputation
from ops.oracle.standings import Standing
from ops.oracle.terms import Terms
from ops.oracle.verdicts import Verdict

_ORDER = {"reverted": 0, "created": 1, "cleared": 2}


class Telling:
    """Keeps the latest word of each program, and the events of one record until they can be ordered."""

    def __init__(self, result: Recomputation) -> None:
        self._result = result
        self._events: list[tuple[str, int, str, str, int]] = []

    def event(self, cashback: Cashback, transition: str, at: int) -> None:
        """A transition of a cashback at its timestamp (µs)."""
        name = cashback.cashback_transaction_id
        self._result.cashbacks[name] = cashback
        order = _ORDER[transition]
        self._events.append((cashback.program_id, order, name, transition, at))

    def publish(self) -> None:
        """The events since the last time: by program_id, reverts before creates."""
        for _, _, name, transition, at in sorted(self._events, key=lambda told: told[:2]):
            self._result.log.append((name, transition, at))
        self._events.clear()

    def cases(self, pair: Pair) -> None:
        """The pair's reversal cases as they stand."""
        self._result.cases.update(pair.cases)

    def verdict(self, pair: Pair, verdict: Verdict) -> None:
        """The word of a pair, by the latest record of its purchase."""
        bought = pair.bought
        self.decision(bought.purchase, bought.transaction_id, bought.now, pair.terms, verdict)

    def last_word(self, pair: Pair) -> str:
        """The latest decision of a pair that had one."""
        return self._result.decisions[pair.bought.transaction_id, pair.terms.program_id].decision

    def decision(
        self, purchase: Purchase, name: str, now: Standing, terms: Terms | None, verdict: Verdict
    ) -> None:
        """Keep the program's latest word; a word said again is no new decision. `name`: the purchase's id."""
        program_id = None if terms is None else terms.program_id
        version = None if terms is None else terms.version
        word = (version, verdict.decision, verdict.amount, verdict.outranked_by)
        old = self._result.decisions.get((name, program_id))
        if old and word == (old.program_version, old.decision, old.amount, old.outranked_by):
            return
        self._result.decisions[name, program_id] = Decision(
            transaction_id=name,
            transaction_ref=purchase.external_id,
            livemode=purchase.livemode,
            partner_id=purchase.partner_id,
            member_id=purchase.member_id,
            merchant_id=now.cause.merchant_id,
            program_id=program_id,
            program_version=version,
            decision=verdict.decision,
            amount=verdict.amount,
            outranked_by=verdict.outranked_by,
            occurred_at=now.cause.occurred_at,
        )
