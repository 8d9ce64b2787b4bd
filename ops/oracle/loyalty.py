"""Stamps: given, taken, used by a redemption, and given back when it is undone."""

from ops.oracle.lives import Pair
from ops.oracle.standings import Standing

HELD, USED = "held", "used"


def qualifies(pair: Pair, now: Standing) -> bool:
    """Whether a purchase whose filters passed is worth a stamp as it stands."""
    terms = pair.terms
    return (
        not now.void
        and (terms.max_spend is None or now.gross <= terms.max_spend)
        and now.net >= max(1, terms.min_spend)
        and (now.settled_at is not None or now.clock < pair.deadline)
    )


def give(pair: Pair, held: list[Pair]) -> bool:
    """Give the pair its stamp; whether the threshold of its version is reached by it."""
    pair.stamp = HELD
    held.append(pair)
    terms = pair.terms
    if terms.threshold_count is not None:
        return len(held) >= terms.threshold_count
    assert terms.threshold_minor is not None
    return sum(other.bought.now.net for other in held) >= terms.threshold_minor


def take(pair: Pair, held: list[Pair]) -> None:
    """The purchase is worth its stamp no more; one that is used stays so."""
    if pair.stamp == HELD:
        pair.stamp = None
        held.remove(pair)


def use_all(redeemer: Pair, held: list[Pair]) -> None:
    """A redemption uses every stamp that is held, its own too."""
    for pair in held:
        pair.stamp = USED
    redeemer.spent = [pair for pair in held if pair is not redeemer]
    held.clear()


def undo(redeemer: Pair, held: list[Pair]) -> None:
    """The redemption came to nothing: its own stamp is gone, of the others come back those that qualify."""
    redeemer.stamp = None
    for pair in redeemer.spent:
        pair.stamp = HELD if pair.qualifies else None
        if pair.stamp == HELD:
            held.append(pair)
    redeemer.spent = []


def may_be_undone(pair: Pair) -> bool:
    """Whether the pair has redeemed, and nothing of that ever cleared."""
    return pair.terms.is_loyalty and pair.pending is not None and not pair.ever_cleared
