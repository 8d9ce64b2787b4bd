"""How a purchase stands after each fact: a table of sums, one row a fact that counted."""

from collections.abc import Sequence
from typing import NamedTuple

from ops.oracle.facts import OPENING_KINDS, TAKING_KINDS, Arrival, Fact


class Standing(NamedTuple):
    """A purchase as known once `cause` was read; amounts in minor units, times in µs."""

    place: int
    clock: int
    cause: Fact
    gross: int
    refunded: int
    void: bool
    settled_at: int | None
    judged: bool

    @property
    def net(self) -> int:
        """What is left of the purchase."""
        return 0 if self.void else max(0, self.gross - self.refunded)


class Account(NamedTuple):
    """The facts of one purchase sorted out. `fates` has one word for every arrival, by place."""

    standings: list[Standing]
    fates: dict[int, str]


def account_for(arrived: Sequence[Arrival], *, parked_us: int, final_clock: int) -> Account:
    """Sort one purchase's arrivals into the facts that count and the fates of the others.

    Fates: applied, duplicate, conflict; of what had to wait for its purchase: joined, misplaced (a conflict
    when the purchase came), expired (waited longer than `parked_us`), parked (still waits).
    """
    facts: list[Fact] = []
    waiting: list[Arrival] = []
    standings: list[Standing] = []
    fates: dict[int, str] = {}
    for arrival in arrived:
        place, clock, fact = arrival
        for old in [w for w in waiting if w.clock + parked_us <= clock]:
            waiting.remove(old)
            fates[old.place] = "expired"
        same = [f for f in (*facts, *(w.fact for w in waiting)) if f.identity == fact.identity]
        if same:
            fates[place] = "duplicate" if same[0] == fact else "conflict"
        elif facts and _elsewhere(fact, facts[0]):
            fates[place] = "conflict"
        elif not facts and fact.kind in TAKING_KINDS:
            waiting.append(arrival)
            fates[place] = "parked"
        else:
            facts.append(fact)
            fates[place] = "applied"
            for early in waiting:
                fates[early.place] = "misplaced" if _elsewhere(early.fact, facts[0]) else "joined"
            facts += [early.fact for early in waiting if not _elsewhere(early.fact, facts[0])]
            waiting = []
            standings.append(standing(facts, Arrival(place, clock, fact)))
    for late in waiting:
        if late.clock + parked_us <= final_clock:
            fates[late.place] = "expired"
    return Account(standings, fates)


def standing(facts: Sequence[Fact], latest: Arrival) -> Standing:
    """The sums of contract.md §2 over all facts that count so far."""
    captures = [f for f in facts if f.kind == "SETTLED"]
    basis = captures or [f for f in facts if f.kind == "AUTHORIZED"]
    return Standing(
        place=latest.place,
        clock=latest.clock,
        cause=latest.fact,
        gross=sum(f.amount_minor or 0 for f in basis),
        refunded=sum(f.amount_minor or 0 for f in facts if f.kind == "REFUNDED"),
        void=any(f.kind in ("VOIDED", "DECLINED") for f in facts),
        settled_at=max((f.occurred_at for f in captures), default=None),
        judged=any(f.kind in OPENING_KINDS and f.amount_minor is not None for f in facts),
    )


def _elsewhere(fact: Fact, first: Fact) -> bool:
    return (fact.merchant_id, fact.currency) != (first.merchant_id, first.currency)
