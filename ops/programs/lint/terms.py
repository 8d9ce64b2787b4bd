"""A version with what it pays: the baskets that count, its brackets among them, least and greatest reward.

Rewards come from the stage of the stream itself, so a finding says what will happen.
"""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

from schemas.money import AMOUNT_MAX
from schemas.programs import ProgramSpec, Tiered
from streams.program import Rung, compiled
from streams.reward import reward_on


@dataclass(frozen=True)
class Piece:
    """The baskets `first`–`last` that one flat or percent reward is for; `path` is its place in the form."""

    path: str
    first: int
    last: int
    rung: Rung

    @property
    def is_reachable(self) -> bool:
        """Whether any basket counts."""
        return self.first <= self.last


class Terms:
    """What a version pays for baskets of `lowest`–`highest` minor units; nothing for others."""

    def __init__(self, spec: ProgramSpec) -> None:
        self.spec = spec
        self.program = compiled(spec)
        self.lowest = max(1, self.program.min_spend)
        self.highest = AMOUNT_MAX if self.program.max_spend is None else self.program.max_spend

    def reward(self, basket: int) -> int:
        """Before limits, caps and budgets."""
        return reward_on(self.program, basket) if self.lowest <= basket <= self.highest else 0

    @cached_property
    def all_pieces(self) -> list[Piece]:
        """The brackets in their order, a reward without brackets as one; `first` > `last`: unreachable."""
        rungs = self.program.rungs
        ends = [rung.starts_after for rung in rungs[1:]] + [self.highest]
        tiered = isinstance(self.spec.reward, Tiered)
        return [
            Piece(
                f"reward.brackets.{number}.reward" if tiered else "reward",
                max(self.lowest, rung.starts_after + 1),
                min(self.highest, end),
                rung,
            )
            for number, (rung, end) in enumerate(zip(rungs, ends, strict=True))
        ]

    @cached_property
    def pieces(self) -> list[Piece]:
        """Those that a basket reaches."""
        return [piece for piece in self.all_pieces if piece.is_reachable]

    def first_earning(self, piece: Piece) -> int | None:
        """The least basket of a piece that earns anything: within one, more never earns less."""
        baskets = range(piece.first, piece.last + 1)
        place = bisect_left(baskets, True, key=lambda basket: self.reward(basket) > 0)
        return baskets[place] if place < len(baskets) else None

    @cached_property
    def bends(self) -> list[int]:
        """Baskets from which on rewards follow another rule: a bracket begins, the first cent is earned, the
        maximum is reached.
        """
        found = []
        for piece in self.pieces:
            earning, rung = self.first_earning(piece), piece.rung
            found += [piece.first] if earning is None else [piece.first, earning]
            if rung.bps and rung.most is not None:
                found.append(-(-rung.most * 10_000 // rung.bps))
        return found

    def bps(self, basket: int) -> int:
        """The percentage a basket that counts is rewarded by; 0 of a flat amount."""
        return next(piece.rung.bps for piece in self.pieces if piece.first <= basket <= piece.last)

    @cached_property
    def earning(self) -> int:
        """How many baskets earn anything."""
        firsts = [(self.first_earning(piece), piece.last) for piece in self.pieces]
        return sum(last - first + 1 for first, last in firsts if first is not None)

    @cached_property
    def least(self) -> int:
        """The least reward above 0; 0 when there is none."""
        firsts = [self.first_earning(piece) for piece in self.pieces]
        return min((self.reward(basket) for basket in firsts if basket is not None), default=0)

    @cached_property
    def greatest(self) -> int:
        """The greatest reward."""
        return max((self.reward(piece.last) for piece in self.pieces), default=0)
