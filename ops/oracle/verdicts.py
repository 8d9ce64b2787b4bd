"""What each program says to a purchase, and the choice among those that could pay."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from ops.oracle.standings import Standing
from ops.oracle.terms import POINTS, Terms

WAITING = frozenset({"BELOW_MIN_SPEND", "ABOVE_MAX_SPEND", "REWARD_ZERO", "FULLY_REFUNDED"})
"""Reasons that another amount may lift."""


class Verdict(NamedTuple):
    """A decision of one program; `amount` only on REWARDED, `outranked_by` only on OUTRANKED."""

    decision: str
    amount: int | None = None
    outranked_by: str | None = None


def judge(naming: Sequence[tuple[Terms, bool]], standing: Standing) -> dict[str, Verdict]:
    """The verdicts on a purchase at its judging event, by program_id."""
    if standing.void:
        return {terms.program_id: Verdict("TRANSACTION_VOID") for terms, _ in naming}
    fact = standing.cause
    refusals = {terms.program_id: terms.refusal(fact, in_force=in_force) for terms, in_force in naming}
    open_to_it = [(terms, False) for terms, _ in naming if refusals[terms.program_id] is None]
    verdicts = {program_id: Verdict(reason) for program_id, reason in refusals.items() if reason is not None}
    return verdicts | judge_amounts(open_to_it, standing)


def judge_amounts(candidates: Sequence[tuple[Terms, bool]], standing: Standing) -> dict[str, Verdict]:
    """The verdicts on gross and net alone, for programs whose filters the purchase passes.

    The flag says that the gross was right when the purchase was judged: it stays right.
    """
    if standing.void:
        return {terms.program_id: Verdict("TRANSACTION_VOID") for terms, _ in candidates}
    gross = standing.gross
    refusals = {
        terms.program_id: None if fitted else gross_refusal(terms, gross) for terms, fitted in candidates
    }
    verdicts = {program_id: Verdict(reason) for program_id, reason in refusals.items() if reason}
    able = [terms for terms, _ in candidates if refusals[terms.program_id] is None]
    rivals = sorted((terms for terms in able if not terms.stackable), key=lambda terms: _rank(terms, gross))
    for loser in rivals[1:]:
        verdicts[loser.program_id] = Verdict("OUTRANKED", outranked_by=rivals[0].program_id)
    for terms in able:
        if terms.program_id in verdicts:
            continue
        amount = terms.earns(net=standing.net, gross=gross)
        if standing.net == 0:
            verdicts[terms.program_id] = Verdict("FULLY_REFUNDED")
        elif amount == 0:
            verdicts[terms.program_id] = Verdict("REWARD_ZERO")
        else:
            verdicts[terms.program_id] = Verdict("REWARDED", amount=amount)
    return verdicts


def gross_refusal(terms: Terms, gross: int) -> str | None:
    """Why the gross earns nothing here, or None."""
    if not spend_fits(terms, gross):
        return "BELOW_MIN_SPEND" if gross < terms.min_spend else "ABOVE_MAX_SPEND"
    return "REWARD_ZERO" if terms.pays(gross) == 0 else None


def spend_fits(terms: Terms, gross: int) -> bool:
    """Whether the gross lies between the program's spends, both inclusive."""
    return terms.min_spend <= gross and (terms.max_spend is None or gross <= terms.max_spend)


def _rank(terms: Terms, gross: int) -> tuple[Any, ...]:
    """Sorts the winner first."""
    return -terms.priority, terms.asset == POINTS, -terms.pays(gross), terms.valid_from, terms.program_id
