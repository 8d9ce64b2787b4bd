"""Stage: what people say of a cleared cashback: an operator wants it back, accounting approves or declines.

A payment opens cases, too: see `refunds.revise_cases`. Approving takes the whole cashback back, and creates
and clears anew what of it is still earned: so no case changes what another one is about.
"""

from schemas.errors import Rejected
from schemas.reversals import APPROVED, ReversalDecision
from schemas.times import Micros
from streams.conflicts import NotDecidable, NotPending
from streams.pending import REVERSED, By, ClearedNow, Created, Reverted, Transition
from streams.purchase import CaseState, Cleared, Pair

DECIDED = "DECIDED"
DECISIONS_MAX = 100
"""Decisions about one cashback, each kept to be known again."""


def cleared_of(pair: Pair, sequence: int) -> Cleared | None:
    """The cashback of that number, if it ever cleared."""
    return next((cleared for cleared in pair.cleared if cleared.sequence == sequence), None)


def claim(cleared: Cleared, at: Micros) -> bool:
    """Opens a case over all of a cashback; False when that was said before.

    Raises `NotPending` when it was reversed.
    """
    if at <= cleared.claimed_at:
        return False
    if cleared.is_reversed:
        problem = f"cashback {cleared.sequence} was reversed"
        raise NotPending("sequence", problem, "nothing of it is left to take back")
    if not cleared.awaits_decision:
        cleared.opened_at = at
    cleared.claimed, cleared.claimed_at = True, at
    cleared.state = CaseState.OPEN
    cleared.revision += 1
    return True


def is_repeated(cleared: Cleared, decision: ReversalDecision) -> bool:
    """Whether this very decision was taken before."""
    return decision.digest in cleared.decided


def require_decidable(cleared: Cleared, decision: ReversalDecision) -> None:
    """Raises `NotDecidable` unless the case is open and as it was when it was looked at."""
    if not cleared.revision:
        problem = f"cashback {cleared.sequence} has no reversal case"
        raise NotDecidable("sequence", problem, "a refund or void opens one, `cashback revoke` too")
    if cleared.state is not CaseState.OPEN:
        problem = f"its case is {cleared.state.name.lower()} already"
        raise NotDecidable("sequence", problem, "what was decided first stands")
    if not cleared.awaits_decision:
        raise NotDecidable("sequence", "a later capture made it good", "nothing is to be decided")
    if decision.revision != cleared.revision:
        problem = f"{decision.revision}, but the case is at {cleared.revision}"
        raise NotDecidable("revision", problem, "look at it again and decide on what it is now")
    if len(cleared.decided) >= DECISIONS_MAX:
        problem = f"more than {DECISIONS_MAX} decisions about one cashback"
        raise Rejected("sequence", problem, "settle it outside of the system")


def close(cleared: Cleared, decision: ReversalDecision) -> None:
    """Notes what was decided on a case."""
    cleared.decided.append(decision.digest)
    cleared.revision += 1
    cleared.state = CaseState.APPROVED if decision.decision == APPROVED else CaseState.DECLINED


def reverse(pair: Pair, cleared: Cleared, by: By, at: Micros) -> list[Transition]:
    """The transitions that take a cashback of an approved case back, and give anew what is left of it."""
    transitions: list[Transition] = [Reverted(cleared.sequence, REVERSED, at, by)]
    if left := cleared.amount - cleared.too_much:
        # With more cleared than is earned, nothing can be pending.
        assert not pair.pending
        pair.sequence += 1
        pair.cleared.append(Cleared(pair.sequence, left))
        transitions += [Created(pair.sequence, left, at, clear_at=at), ClearedNow(pair.sequence, at)]
    return transitions
