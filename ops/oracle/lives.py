"""The cashbacks one program owes one purchase, read off the table of its standings.

Between two standings nothing changes but the clock, so each row is a span of time: at its start the wanted
amount meets the pending one, during it at most one thing falls due.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ops.oracle.facts import TAKING_KINDS
from ops.oracle.result import CLEARED, PENDING, REVERTED, Case, Cashback, cashback_id, digest
from ops.oracle.standings import Standing
from ops.oracle.terms import Terms
from ops.oracle.verdicts import spend_fits


@dataclass(frozen=True, slots=True)
class Pair:
    """A purchase and a program that came to reward it.

    `waited`: the amount did not fit when the purchase was judged, so the spends are looked at for ever.
    `first` is the index of the standing from which it is rewarded.
    """

    terms: Terms
    transaction_id: str
    judging: int
    first: int
    waited: bool


@dataclass(slots=True)
class Life:
    """What became of a pair."""

    cashbacks: list[Cashback] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)

    def cleared_by(self, clock: int) -> bool:
        """Whether anything of it had cleared when the clock showed `clock`."""
        return any(c.cleared_at is not None and c.cleared_at <= clock for c in self.cashbacks)


def reward(pair: Pair, standing: Standing) -> int:
    """What the pair earns as the purchase stands."""
    if standing.void or (pair.waited and not spend_fits(pair.terms, standing.gross)):
        return 0
    return pair.terms.earns(net=standing.net, gross=standing.gross)


def is_expired(terms: Terms, standings: Sequence[Standing], index: int, judging: int) -> bool:
    """Whether the authorization had run out before this standing's record, and it is no capture."""
    deadline = standings[judging].cause.occurred_at + terms.expiry_us
    return index > judging and standings[index].settled_at is None and deadline <= standings[index].clock


def live(pair: Pair, standings: Sequence[Standing], final_clock: int) -> Life:
    """The pair's cashbacks and reversal cases up to `final_clock` (µs)."""
    life = Life()
    deadline = standings[pair.judging].cause.occurred_at + pair.terms.expiry_us
    for index in range(pair.first, len(standings)):
        now = standings[index]
        span_ends = standings[index + 1].clock if index + 1 < len(standings) else final_clock
        earned = reward(pair, now)
        cleared = [c for c in life.cashbacks if c.state == CLEARED]
        wanted = earned
        if cleared:
            _review_cases(life, cleared, earned, now)
            wanted = max(0, earned - sum(c.amount for c in cleared))
        if is_expired(pair.terms, standings, index, pair.judging):
            wanted = 0
        pending = _meet(pair, life, wanted, standings, index)
        if pending is None:
            continue
        clear_at = clearing_time(pair, standings, index, pending.created_at)
        if clear_at is None:
            if deadline <= span_ends:
                _end(pending, REVERTED, deadline, now.place, "AUTH_EXPIRED")
        elif clear_at <= span_ends:
            _end(pending, CLEARED, clear_at, now.place, None)
    return life


def clearing_time(pair: Pair, standings: Sequence[Standing], index: int, created_at: int) -> int | None:
    """When the pending cashback may clear as the purchase stands (µs); None while it is not settled."""
    settled_at = standings[index].settled_at
    if settled_at is None:
        return None
    anchor = settled_at if pair.terms.settled_anchor else standings[pair.judging].cause.occurred_at
    return max(settled_at, anchor + pair.terms.hold_us, created_at)


def _meet(pair: Pair, life: Life, wanted: int, standings: Sequence[Standing], index: int) -> Cashback | None:
    """Make the pending cashback the wanted one; return it, or None where nothing is wanted."""
    now = standings[index]
    pending = next((c for c in life.cashbacks if c.state == PENDING), None)
    if pending is not None and pending.amount != wanted:
        reason = now.cause.kind if now.cause.kind in TAKING_KINDS else "RECOMPUTED"
        _end(pending, REVERTED, now.cause.occurred_at, now.place, reason)
        pending = None
    if pending is None and wanted > 0:
        pending = _create(pair, life, wanted, standings, index)
    return pending


def _create(pair: Pair, life: Life, amount: int, standings: Sequence[Standing], index: int) -> Cashback:
    now = standings[index]
    cause = now.cause
    purchase = cause.purchase
    sequence = len(life.cashbacks) + 1
    cashback = Cashback(
        cashback_transaction_id=cashback_id(purchase, pair.terms.program_id, sequence),
        transaction_id=pair.transaction_id,
        transaction_ref=purchase.external_id,
        livemode=purchase.livemode,
        partner_id=purchase.partner_id,
        member_id=purchase.member_id,
        merchant_id=cause.merchant_id,
        program_id=pair.terms.program_id,
        program_version=pair.terms.version,
        sequence=sequence,
        amount=amount,
        currency=pair.terms.asset,
        created_at=cause.occurred_at,
        clear_at=clearing_time(pair, standings, index, cause.occurred_at),
        born_at_place=now.place,
    )
    life.cashbacks.append(cashback)
    return cashback


def _end(cashback: Cashback, state: str, at: int, place: int, reason: str | None) -> None:
    cashback.state, cashback.reason, cashback.ended_after_place = state, reason, place
    if state == CLEARED:
        cashback.cleared_at = at
    else:
        cashback.reverted_at = at


def _review_cases(life: Life, cleared: Sequence[Cashback], earned: int, now: Standing) -> None:
    """Lay what cleared beyond the reward on the cleared cashbacks, latest first.

    Only what takes back opens a case; an open one follows every change of its share.
    """
    excess = max(0, sum(c.amount for c in cleared) - earned)
    cause = now.cause
    for cashback in reversed(cleared):
        share = min(cashback.amount, excess)
        excess -= share
        name = cashback.cashback_transaction_id
        case = life.cases.get(name)
        if case is None:
            if share > 0 and cause.kind in TAKING_KINDS:
                at = cause.occurred_at
                life.cases[name] = Case(digest("rvc_", name), name, 1, share, now.net, at, at, cause.kind)
        elif case.shortfall != share:
            life.cases[name] = case.revised(
                shortfall=share, net_minor=now.net, updated_at=cause.occurred_at, cause=cause.kind
            )
