"""Two rewards for one purchase: on which baskets the one is higher, the other is, or both are the same."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from ops.programs.lint.terms import Terms

_TRIES = 100


@dataclass(frozen=True)
class Stretch:
    """Baskets `first`–`last` that both `one` and `other` reward, each by one rule of its terms."""

    first: int
    last: int
    one: Terms
    other: Terms

    @cached_property
    def one_ahead_at(self) -> int | None:
        """A basket on which the one earns more; None when there is none."""
        return _ahead(self.one, self.other, range(self.first, self.last + 1))

    @cached_property
    def other_ahead_at(self) -> int | None:
        """A basket on which the other earns more; None when there is none."""
        return _ahead(self.other, self.one, range(self.first, self.last + 1))

    @property
    def is_tie(self) -> bool:
        """Whether both earn the same on all of them."""
        return self.one_ahead_at is None and self.other_ahead_at is None


def contested(one: Terms, other: Terms) -> list[Stretch]:
    """The baskets that both reward, cut wherever the terms of either change."""
    first, last = max(one.lowest, other.lowest), min(one.highest, other.highest)
    inside = sorted({first, last + 1, *(bend for bend in one.bends + other.bends if first < bend <= last)})
    return [
        Stretch(begins, ends - 1, one, other)
        for begins, ends in pairwise(inside)
        if one.reward(begins) and other.reward(begins)
    ]


def _ahead(one: Terms, other: Terms, baskets: range) -> int | None:
    """The first basket found on which `one` earns more."""

    def is_ahead(basket: int) -> bool:
        return one.reward(basket) > other.reward(basket)

    first, last = baskets[0], baskets[-1]
    if is_ahead(first):
        return first
    if is_ahead(last):
        return baskets[bisect_left(baskets, True, key=is_ahead)]
    if one.bps(first) <= other.bps(first):
        return None
    # Two percentages may round to the same at both ends, and the higher is ahead wherever it first reaches a
    # reward; that one amount may be among many shows soon or never.
    for reward in range(one.reward(first) + 1, min(one.reward(last), one.reward(first) + _TRIES) + 1):
        basket = baskets[bisect_left(baskets, reward, key=one.reward)]
        if is_ahead(basket):
            return basket
    return None
