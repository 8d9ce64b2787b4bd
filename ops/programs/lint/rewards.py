"""Checks of what a version pays for which basket."""

from collections.abc import Iterator
from itertools import pairwise

from ops.programs.lint.findings import Finding, finding
from ops.programs.lint.terms import Piece, Terms
from schemas.money import AMOUNT_MAX


def check(terms: Terms) -> Iterator[Finding]:
    """All findings about rewards; when no basket earns anything, only that."""
    if not terms.greatest:
        yield _never(terms)
        return
    for piece in terms.all_pieces:
        if not piece.is_reachable:
            yield _unreachable(terms, piece)
    for before, after in pairwise(terms.pieces):
        yield from _cliff(terms, before, after)
    for piece in terms.pieces:
        yield from _zero(terms, piece)
        yield from _most(terms, piece)
        yield from _above_basket(terms, piece)


def _never(terms: Terms) -> Finding:
    baskets = (
        "no basket counts" if terms.highest < terms.lowest else f"no basket {_between(terms)} earns anything"
    )
    return finding("never-rewards", terms.spec, "reward", baskets, "raise the reward, or max_spend_minor")


def _between(terms: Terms) -> str:
    return f"from {terms.lowest}" + ("" if terms.highest == AMOUNT_MAX else f" to {terms.highest}")


def _unreachable(terms: Terms, piece: Piece) -> Finding:
    if piece.first > terms.highest:
        why = (
            f"it is for baskets of {piece.rung.starts_after + 1} and more, max_spend_minor is {terms.highest}"
        )
    else:
        why = f"it is for baskets up to {piece.last}, min_spend_minor is {terms.lowest}"
    path = piece.path.removesuffix(".reward")
    return finding("unreachable-bracket", terms.spec, path, why, "remove the bracket, or move the bound")


def _cliff(terms: Terms, before: Piece, after: Piece) -> Iterator[Finding]:
    more, less = terms.reward(before.last), terms.reward(after.first)
    if more > less:
        yield finding(
            "cliff",
            terms.spec,
            after.path,
            f"a basket of {before.last} earns {more}, one of {after.first} earns {less}",
            f"pay at least {more} from {after.first} on, or less up to {before.last}",
        )


def _zero(terms: Terms, piece: Piece) -> Iterator[Finding]:
    first, spec = terms.first_earning(piece), terms.spec
    if first is None and piece.rung.bps and piece.rung.most != 0:
        yield finding(
            "bracket-rounds-to-zero",
            spec,
            f"{piece.path}.bps",
            f"{piece.rung.bps} bps of the largest basket it is for, {piece.last}, rounds down to 0",
            "raise bps (hundredths of a percent), or reward nothing with a flat amount of 0",
        )
    elif first is None:
        message = f"baskets from {piece.first} to {piece.last} earn nothing"
        yield finding("zero-bracket", spec, piece.path, message, "nothing, if it is meant")
    elif first > piece.first and piece.first == spec.min_spend_minor:
        yield finding(
            "small-baskets-earn-nothing",
            spec,
            f"{piece.path}.bps",
            f"baskets from {piece.first} to {first - 1} pass min_spend_minor and earn 0, rounded down",
            f"raise min_spend_minor to {first}, or bps",
        )


def _most(terms: Terms, piece: Piece) -> Iterator[Finding]:
    most, reached = piece.rung.most, terms.reward(piece.last)
    if most is not None and 0 < reached < most:
        yield finding(
            "max-amount-never-reached",
            terms.spec,
            f"{piece.path}.max_amount",
            f"the largest basket it is for, {piece.last}, earns {reached}: {most} is never reached",
            "remove max_amount, or lower it",
        )


def _above_basket(terms: Terms, piece: Piece) -> Iterator[Finding]:
    """Points are no money: nothing to compare. Of loyalty, all that was bought for one redemption counts."""
    spec, reward = terms.spec, terms.reward(piece.first)
    paid = max(piece.first * (spec.threshold_count or 1), spec.threshold_minor or 0)
    if spec.reward.unit == "currency" and reward > paid:
        yield finding(
            "reward-above-basket",
            spec,
            f"{piece.path}.amount",
            f"a basket of {piece.first} earns {reward}, more than the {paid} that were paid",
            "set min_spend_minor, or start with a bracket that pays less",
        )
