"""What a program says to a purchase: words, and those that amounts alone decide."""

from typing import Any, NamedTuple

from ops.oracle.terms import POINTS, Terms

WAITING = frozenset({"BELOW_MIN_SPEND", "ABOVE_MAX_SPEND", "REWARD_ZERO", "FULLY_REFUNDED"})
"""Reasons that another amount may lift."""

_TYPES = ("deal", "airdrop", "campaign")
"""Which type wins over which."""


class Verdict(NamedTuple):
    """A decision of one program; `amount` only on REWARDED, `outranked_by` only on OUTRANKED."""

    decision: str
    amount: int | None = None
    outranked_by: str | None = None


def gross_refusal(terms: Terms, gross: int) -> str | None:
    """Why the gross earns nothing here, or None."""
    return spend_refusal(terms, gross) or ("REWARD_ZERO" if terms.pays(gross) == 0 else None)


def spend_refusal(terms: Terms, gross: int) -> str | None:
    """Which of the spends the gross misses, or None."""
    if spend_fits(terms, gross):
        return None
    return "BELOW_MIN_SPEND" if gross < terms.min_spend else "ABOVE_MAX_SPEND"


def spend_fits(terms: Terms, gross: int) -> bool:
    """Whether the gross lies between the program's spends, both inclusive."""
    return terms.min_spend <= gross and (terms.max_spend is None or gross <= terms.max_spend)


def rank(terms: Terms, gross: int) -> tuple[Any, ...]:
    """Sorts the winner first."""
    return (
        _TYPES.index(terms.type),
        -terms.priority,
        terms.asset == POINTS,
        -terms.pays(gross),
        terms.valid_from,
        terms.program_id,
    )
