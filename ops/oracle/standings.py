"""How a purchase stands after each fact: a table of sums, one row a fact that counted."""

from collections.abc import Sequence
from typing import NamedTuple

from ops.oracle.facts import OPENING_KINDS, TAKING_KINDS, Arrival, Fact
from ops.oracle.parked import Heard

Identity = tuple[str, str | None]


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
    arrived: Sequence[Arrival | Heard], *, parked_us: int, final_clock: int, window: Window | None = None
) -> Account:
    """Sort one purchase's arrivals into the facts that count and the fates of the others.

    Fates: applied, duplicate, conflict, untimely; of what had to wait for its purchase: joined, misplaced
    (a conflict when the purchase came), expired (waited longer than `parked_us`), discarded, parked (still
    waits); of what was said about it: parked_discarded, parked_requeued, parked_decision_repeated,
    parked_decision_refused.
    """
    sorting = _Sorting(parked_us, window)
    for arrival in arrived:
        sorting.pass_time(arrival.clock)
        if isinstance(arrival, Heard):
            sorting.fates[arrival.place] = sorting.decide(arrival)
        else:
            sorting.take(arrival)
    sorting.pass_time(final_clock)
    return Account(sorting.standings, sorting.fates)


class _Sorting:
    """Where the facts of one purchase stand after those that were sorted so far."""

    def __init__(self, parked_us: int, window: Window | None) -> None:
        self.standings: list[Standing] = []
        self.fates: dict[int, str] = {}
        self._parked_us = parked_us
        self._window = window
        self._facts: list[Fact] = []
        self._said: dict[Identity, Fact] = {}
        self._waiting: dict[Identity, Arrival] = {}
        self._since: dict[Identity, int] = {}

    def pass_time(self, clock: int) -> None:
        """What has waited too long is forgotten."""
        for identity, since in list(self._since.items()):
            if since + self._parked_us <= clock:
                self._forget(identity, "expired")

    def decide(self, heard: Heard) -> str:
        """Somebody decides on a fact that waits; what became of that."""
        word, identity = heard.word, heard.word.identity
        if self._facts or (identity not in self._since and not word.is_discard):
            return "parked_decision_refused"
        if identity not in self._since or word.decided_at <= self._since[identity]:
            return "parked_decision_repeated"
        if self._window is not None and not self._window.spans(word.decided_at, clock=heard.clock):
            return "parked_decision_refused"
        if word.is_discard:
            self._forget(identity, "discarded")
            return "parked_discarded"
        self._since[identity] = word.decided_at
        return "parked_requeued"

    def take(self, arrival: Arrival) -> None:
        """Sorts a fact."""
        place, clock, fact = arrival
        identity = fact.identity
        if identity in self._said:
            self.fates[place] = "duplicate" if self._said[identity] == fact else "conflict"
        elif self._facts and _elsewhere(fact, self._facts[0]):
            self.fates[place] = "conflict"
        elif self._window is not None and not self._window.holds(arrival):
            self.fates[place] = "untimely"
        elif not self._facts and fact.kind in TAKING_KINDS:
            self._said[identity] = fact
            self._waiting[identity], self._since[identity] = arrival, clock
            self.fates[place] = "parked"
        else:
            self._facts.append(fact)
            self._said[identity] = fact
            self.fates[place] = "applied"
            self._join()
            self.standings.append(standing(self._facts, arrival))

    def _join(self) -> None:
        """What waited for the purchase is taken, now that it is known."""
        for identity, early in list(self._waiting.items()):
            if _elsewhere(early.fact, self._facts[0]):
                self._forget(identity, "misplaced")
            else:
                self._facts.append(early.fact)
                self.fates[early.place] = "joined"
        self._waiting, self._since = {}, {}

    def _forget(self, identity: Identity, fate: str) -> None:
        self.fates[self._waiting.pop(identity).place] = fate
        del self._since[identity], self._said[identity]


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
