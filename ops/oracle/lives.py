"""A judged purchase, the pairs it makes with programs, and the cashbacks of a pair."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ops.oracle import periods
from ops.oracle.entitlements import CLIP, Grant
from ops.oracle.facts import TAKING_KINDS, Purchase
from ops.oracle.result import (
    CLEARED,
    PENDING,
    REVERTED,
    Case,
    Cashback,
    cashback_id,
    digest,
    redemption_id,
)
from ops.oracle.reversals import Dispute
from ops.oracle.standings import Standing
from ops.oracle.terms import Terms
from ops.oracle.verdicts import spend_fits


@dataclass(slots=True, eq=False)
class Bought:
    """A judged purchase: how it stood when judged, before the latest record, and now."""

    purchase: Purchase
    transaction_id: str
    silent: bool
    judged: Standing
    before: Standing
    now: Standing
    pairs: list[Pair] = field(default_factory=list)

    def amount_changed(self) -> bool:
        """Whether the latest record changed what it comes to, or settled it."""
        newly_settled = self.before.settled_at is None and self.now.settled_at is not None
        return newly_settled or (self.before.gross, self.before.net) != (self.now.gross, self.now.net)


@dataclass(slots=True, eq=False)
class Pair:
    """A purchase and a program whose filters it passes; the terms are those it was judged under.

    `waited`: the amount did not fit when it was judged, so the spends are looked at for ever. `waiting`:
    another amount may still bring a first cashback. `counted`, `budgeted`: the program counts it in limits
    and caps, in its budget. `revoked`: an operator took a cashback back.

    Of loyalty programs: `qualifies` now, and `stamp` held or used or None; `spent`: whose stamps it used.
    """

    terms: Terms
    bought: Bought
    grant: Grant | None = None
    counted: bool = False
    budgeted: bool = False
    waited: bool = False
    waiting: bool = False
    revoked: bool = False
    qualifies: bool = False
    stamp: str | None = None
    spent: list[Pair] = field(default_factory=list)
    cashbacks: list[Cashback] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    disputes: dict[str, Dispute] = field(default_factory=dict)
    noted_due: int | None = None

    @property
    def deadline(self) -> int:
        """When its authorization runs out (µs)."""
        return self.bought.judged.cause.occurred_at + self.terms.expiry_us

    @property
    def pending(self) -> Cashback | None:
        """The one that is pending: only the latest can be."""
        latest = self.cashbacks[-1] if self.cashbacks else None
        return latest if latest is not None and latest.state == PENDING else None

    @property
    def cleared(self) -> list[Cashback]:
        """Those that have cleared and were not reversed."""
        return [cashback for cashback in self.cashbacks if cashback.state == CLEARED]

    @property
    def ever_cleared(self) -> bool:
        """Whether any cleared, reversed since or not."""
        return any(cashback.cleared_at is not None for cashback in self.cashbacks)

    @property
    def alive(self) -> int:
        """What is pending or cleared: the use it makes of limits, caps and budgets."""
        return sum(cashback.amount for cashback in self.cashbacks if cashback.state != REVERTED)

    def period(self, period: str) -> str:
        """The label of the period it was bought in."""
        return periods.label(period, self.bought.judged.cause.occurred_at, self.terms.zone)


def reward(pair: Pair, now: Standing) -> int:
    """What the pair earns as the purchase stands, before cap and budget."""
    if now.void or (pair.waited and not spend_fits(pair.terms, now.gross)):
        return 0
    return pair.terms.earns(net=now.net, gross=now.gross)


def is_expired(pair: Pair) -> bool:
    """Whether the authorization ran out before the latest record, and no capture is known."""
    now = pair.bought.now
    return now is not pair.bought.judged and now.settled_at is None and pair.deadline <= now.clock


def clearing_time(pair: Pair, created_at: int) -> int | None:
    """When the pending cashback may clear as the purchase stands (µs); None while it is not settled."""
    bought = pair.bought
    settled_at = bought.now.settled_at
    if settled_at is None:
        return None
    anchor = settled_at if pair.terms.settled_anchor else bought.judged.cause.occurred_at
    return max(settled_at, anchor + pair.terms.hold_us, created_at)


def due(pair: Pair) -> int | None:
    """When something happens to the pair by the clock alone (µs)."""
    pending = pair.pending
    if pending is not None:
        clear_at = clearing_time(pair, pending.created_at)
        return pair.deadline if clear_at is None else clear_at
    if pair.qualifies and pair.bought.now.settled_at is None:
        return pair.deadline
    return None


def create(pair: Pair, amount: int, *, decided_at: int | None = None) -> Cashback:
    """The next cashback of the pair, by the latest payment, or by a decision (µs): then it clears at once."""
    bought = pair.bought
    purchase, cause = bought.purchase, bought.now.cause
    sequence = len(pair.cashbacks) + 1
    created_at = cause.occurred_at if decided_at is None else decided_at
    cashback = Cashback(
        cashback_transaction_id=cashback_id(purchase, pair.terms.program_id, sequence),
        transaction_id=bought.transaction_id,
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
        created_at=created_at,
        clear_at=clearing_time(pair, created_at) if decided_at is None else decided_at,
        source=source(pair),
        silent=bought.silent,
    )
    pair.cashbacks.append(cashback)
    return cashback


def source(pair: Pair) -> dict[str, str]:
    """What triggers the pair's cashbacks, in the words of the seed."""
    terms, grant = pair.terms, pair.grant
    if terms.is_loyalty:
        redemption = redemption_id(pair.bought.purchase, terms.program_id)
        told = {"type": "loyalty-program-redemption", "loyalty_program_id": terms.program_id}
        told["redemption_id"] = redemption
        return told if terms.external_id is None else told | {"external_id": terms.external_id}
    if grant is None:
        return {"type": "campaign", "campaign_id": terms.program_id}
    if grant.family == CLIP:
        return {"type": "clip", "clip_id": grant.id}
    told = {"type": "airdrop", "airdrop_id": grant.id}
    return told | {"variant_id": grant.variant_id or "", "creative_id": grant.creative_id or ""}


def review_cases(pair: Pair, earned: int) -> None:
    """Lay what cleared beyond the reward on the cleared cashbacks, latest first.

    Only what takes back opens a case, or a declined one again; an open one follows every change of its share.
    What an operator got back bears its share like the others, and no case tells of it.
    """
    cleared = [c for c in pair.cashbacks if c.cleared_at is not None and _counts(pair, c)]
    excess = max(0, sum(c.amount for c in cleared) - earned)
    for cashback in reversed(cleared):
        share = min(cashback.amount, excess)
        excess -= share
        _review(pair, cashback.cashback_transaction_id, share)


def _counts(pair: Pair, cashback: Cashback) -> bool:
    dispute = pair.disputes.get(cashback.cashback_transaction_id)
    return cashback.state == CLEARED or (dispute is not None and dispute.is_wanted_back)


def _review(pair: Pair, name: str, share: int) -> None:
    now, cause = pair.bought.now, pair.bought.now.cause
    case, dispute = pair.cases.get(name), pair.disputes.get(name)
    takes_back = cause.kind in TAKING_KINDS
    if dispute is not None and dispute.is_wanted_back:
        dispute.refunded = share
        return
    if case is None:
        if share > 0 and takes_back:
            at = cause.occurred_at
            pair.cases[name] = Case(digest("rvc_", name), name, 1, share, now.net, at, at, cause.kind)
        return
    is_declined = case.state == "DECLINED"
    if is_declined and (dispute is None or share <= dispute.refunded or not takes_back):
        return
    if is_declined or case.shortfall != share:
        revised = case.revised(
            shortfall=share, net_minor=now.net, updated_at=cause.occurred_at, cause=cause.kind
        )
        if is_declined:
            revised = replace(revised, state="OPEN", opened_at=cause.occurred_at)
        pair.cases[name] = revised
