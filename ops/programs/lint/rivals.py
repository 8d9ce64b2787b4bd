"""Two versions of which only one may reward a purchase: whether they meet, and what comes of it."""

from collections.abc import Iterator
from dataclasses import dataclass

from ops.programs.lint.contest import Stretch, contested
from ops.programs.lint.terms import Terms
from ops.programs.lint.weeks import can_meet
from ops.programs.timeline import Span
from schemas.money import AMOUNT_MAX, POINTS
from streams.program import TYPE_RANKS, Program

_FILTERS = ("merchant_ids", "partner_ids", "store_ids", "mccs", "channels")


@dataclass(frozen=True)
class Rival:
    """A version that does not stack, with its time and its terms; `is_ours`: the lint is asked about it."""

    span: Span
    terms: Terms
    is_ours: bool

    @property
    def program(self) -> Program:
        """As the stages see it."""
        return self.terms.program

    @property
    def name(self) -> str:
        """The id of the program."""
        return self.program.program_id


@dataclass(frozen=True)
class Meeting:
    """One thing to say (`code`) of two that meet; `said` names both."""

    code: str
    subject: Rival
    other: Rival
    said: str


def meet(one: Rival, other: Rival) -> Iterator[Meeting]:
    """What comes of two that may meet on one purchase; nothing when they cannot."""
    if not _can_meet(one, other):
        return
    stretches = contested(one.terms, other.terms)
    if not stretches:
        return
    ranked = _by_rank(one, other)
    if ranked is not None:
        winner, loser, why = ranked
        yield _won(winner, loser, stretches, f"{winner.name} wins ({why})", always=True)
        return
    tie = next((stretch for stretch in stretches if stretch.is_tie), None)
    if tie is not None:
        yield _tied(one, other, tie)
    for_one = next((at for stretch in stretches if (at := stretch.one_ahead_at)), None)
    for_other = next((at for stretch in stretches if (at := stretch.other_ahead_at)), None)
    if for_one and for_other:
        said = f"the higher reward wins: {_wins(one, for_one, other)}, {_wins(other, for_other, one)}"
        subject, rival = (one, other) if one.is_ours else (other, one)
        yield Meeting("overlap", subject, rival, f"with {rival.name}: {said}")
    elif for_one and not tie:
        yield _more(one, other, stretches, for_one)
    elif for_other and not tie:
        yield _more(other, one, stretches, for_other)


def _can_meet(one: Rival, other: Rival) -> bool:
    a, b = one.program, other.program
    return (
        a.currency == b.currency
        and all(_intersect(getattr(a, name), getattr(b, name)) for name in _FILTERS)
        and one.span.overlaps(other.span)
        and can_meet(a.window, b.window)
    )


def _intersect(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or not one.isdisjoint(other)


def _wins(winner: Rival, basket: int, loser: Rival) -> str:
    more, less = winner.terms.reward(basket), loser.terms.reward(basket)
    return f"{winner.name} on a basket of {basket} ({more} against {less})"


def _by_rank(one: Rival, other: Rival) -> tuple[Rival, Rival, str] | None:
    """Winner, loser and why, when what was chosen for them decides whatever the basket."""
    rank, why = _rank(one.program, other.program)
    other_rank, other_why = _rank(other.program, one.program)
    if rank == other_rank:
        return None
    return (one, other, why) if rank > other_rank else (other, one, other_why)


def _rank(program: Program, rival: Program) -> tuple[tuple[int, int, bool], str]:
    """What is compared before the reward is, and how it is said if `program` wins by it."""
    rank = (TYPE_RANKS[program.type], program.priority, program.asset != POINTS)
    if program.type != rival.type:
        return rank, f"{program.type} before {rival.type}"
    if program.priority != rival.priority:
        return rank, f"priority {program.priority} before {rival.priority}"
    return rank, "currency before points"


def _more(winner: Rival, loser: Rival, stretches: list[Stretch], basket: int) -> Meeting:
    # Where both round to the same amount, the loser may be the one that comes first.
    always = _in_a_tie(winner, loser) is winner
    why = f"the higher reward wins: {_wins(winner, basket, loser)}"
    return _won(winner, loser, stretches, why, always=always)


def _in_a_tie(one: Rival, other: Rival) -> Rival:
    """The one that wins when both earn the same."""
    return min((one, other), key=lambda each: (each.program.valid_from, each.name))


def _won(winner: Rival, loser: Rival, stretches: list[Stretch], why: str, *, always: bool) -> Meeting:
    """An overlap; worse when the winner always wins and leaves the other nothing."""
    subject, other = (loser, winner) if loser.is_ours else (winner, loser)
    if always and _leaves_nothing(winner, loser, stretches):
        said = f"{winner.name} takes every purchase of {loser.name}: {why}"
        return Meeting("shadowed", subject, other, said)
    return Meeting("overlap", subject, other, f"with {other.name}: {why}")


def _leaves_nothing(winner: Rival, loser: Rival, stretches: list[Stretch]) -> bool:
    """Whether the winner takes every purchase the loser could reward."""
    a, b = winner.program, loser.program
    is_always_free = a.is_plain and a.limit is None and a.cap is None and not a.has_budget
    if not is_always_free or not winner.span.covers(loser.span):
        return False
    is_wider = all(_covers(getattr(a, name), getattr(b, name)) for name in _FILTERS)
    has_its_hours = a.window is None or a.window == b.window
    baskets = sum(stretch.last - stretch.first + 1 for stretch in stretches)
    return is_wider and has_its_hours and baskets == loser.terms.earning


def _covers(wide: frozenset[str] | None, narrow: frozenset[str] | None) -> bool:
    return wide is None or (narrow is not None and narrow <= wide)


def _tied(one: Rival, other: Rival, where: Stretch) -> Meeting:
    subject, rival = (one, other) if one.is_ours else (other, one)
    winner = _in_a_tie(one, other)
    same_start = one.program.valid_from == other.program.valid_from
    why = "its program_id comes first" if same_start else "its valid_from is earlier"
    end = "on" if where.last == AMOUNT_MAX else f"to {where.last}"
    said = f"on baskets from {where.first} {end} both earn the same, {winner.name} wins only because {why}"
    # Of what a member must hold, few hold both, and whichever wins was given to them; campaigns always meet.
    code = "tie" if one.program.type == "campaign" else "overlap"
    return Meeting(code, subject, rival, f"with {rival.name}: {said}")
