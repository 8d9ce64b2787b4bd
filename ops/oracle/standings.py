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


class Window(NamedTuple):
    """How far (µs) an event that was not seen before may lie from the clock."""

    age_us: int
    skew_us: int

    def holds(self, arrival: Arrival) -> bool:
        """Whether the event is neither too old nor from the future."""
        return self.spans(arrival.fact.occurred_at, clock=arrival.clock)

    def spans(self, at: int, *, clock: int) -> bool:
        """Whether a time (µs) is neither too far before nor after the clock."""
        return -self.age_us <= at - clock <= self.skew_us


def account_for(
    arrived: Sequence[Arrival], *, parked_us: int, final_clock: int, window: Window | None = None
) -> Account:
    """Sort one purchase's arrivals into the facts that count and the fates of the others.

    Fates: applied, duplicate, conflict, untimely; of what had to wait for its purchase: joined, misplaced
    (a conflict when the purchase came), expired (waited longer than `parked_us`), parked (still waits).
    """
    facts: list[Fact] = []
    waiting: list[Arrival] = []
    said: dict[tuple[str, str | None], Fact] = {}
    standings: list[Standing] = []
    fates: dict[int, str] = {}
    for arrival in arrived:
        place, clock, fact = arrival
        while waiting and waiting[0].clock + parked_us <= clock:
            old = waiting.pop(0)
            del said[old.fact.identity]
            fates[old.place] = "expired"
        identity = fact.identity
        if identity in said:
            fates[place] = "duplicate" if said[identity] == fact else "conflict"
        elif facts and _elsewhere(fact, facts[0]):
            fates[place] = "conflict"
        elif window is not None and not window.holds(arrival):
            fates[place] = "untimely"
        elif not facts and fact.kind in TAKING_KINDS:
            waiting.append(arrival)
            said[identity] = fact
            fates[place] = "parked"
        else:
            facts.append(fact)
            said[identity] = fact
            fates[place] = "applied"
            for early in waiting:
                if _elsewhere(early.fact, facts[0]):
                    del said[early.fact.identity]
                    fates[early.place] = "misplaced"
                else:
                    facts.append(early.fact)
                    fates[early.place] = "joined"
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
