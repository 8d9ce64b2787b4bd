"""What is posted of a batch: each event against what the ledger knows becomes rows, or the reason why not."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from sinks.commission.book import CommissionBook
from sinks.ledger import rows
from sinks.ledger.accounts import Accounts
from sinks.ledger.known import Audience, Cashback, Known, Posted, Purchase
from sinks.ledger.staging import (
    CREATED,
    RESOLVED,
    REVERSED,
    Created,
    Owners,
    Refused,
    Resolved,
    Reversed,
)
from sinks.ledger.wallets import Wallets

DETAILS = {
    "conflict": "an event with this id and other content was posted before; what came first stands",
    "reference_taken": "another member's purchase has this (livemode, partner_id, transaction_ref)",
    "created_missing": "the cashback it resolves was never created here",
    "resolved_otherwise": "the cashback was resolved before by the other transition",
    "not_cleared": "the cashback that is to be reversed has not cleared here",
}
"""What each reason means, by reason; each is a label of `cashback_ledger_quarantined_total`."""

_Event: TypeAlias = Created | Resolved | Reversed


@dataclass
class Sheet:
    """Rows to be written, by table. A row stands here only if its entry does, and all are written or none."""

    purchases: list[bytes] = field(default_factory=list)
    cashbacks: list[bytes] = field(default_factory=list)
    entries: list[bytes] = field(default_factory=list)
    reversals: list[bytes] = field(default_factory=list)
    transfers: list[bytes] = field(default_factory=list)
    webhook_messages: list[bytes] = field(default_factory=list)
    webhook_queue: list[bytes] = field(default_factory=list)


class Decider:
    """Judges events one after the other; what it lets pass is known to the next."""

    def __init__(
        self,
        known: Known,
        audience: Audience,
        accounts: Mapping[Owners, Accounts],
        commission: CommissionBook,
        wallets: Wallets,
        *,
        flat_bps: int,
    ) -> None:
        self._known = known
        self._audience = audience
        self._accounts = accounts
        self._commission = commission
        self._wallets = wallets
        self._flat_bps = flat_bps
        self.sheet = Sheet()
        self.created = self.resolved = self.repeated = 0

    def create(self, event: Created, number: int) -> Refused | None:
        """Post a creation as entry `number`, unless it was posted before; or why it is refused."""
        known = self._known
        if event.cashback_id in known.cashbacks:
            return self._repetition(event, CREATED, "created")
        bound = known.purchases.get(event.reference)
        if bound is None:
            bound = known.purchases[event.reference] = Purchase(number, event.transaction_id, event.member_id)
            self.sheet.purchases.append(rows.purchase(number, event.purchase))
        elif (bound.transaction_id, bound.member_id) != (event.transaction_id, event.member_id):
            return _refused("reference_taken")
        live, partner, *_, asset = event.owners
        accounts = self._accounts[event.owners]
        commission_bps = self._commission.rate(accounts[0], event.at, flat_bps=self._flat_bps)
        commission = event.amount * commission_bps // 10_000
        cashback = known.cashbacks[event.cashback_id] = Cashback(
            number, asset, event.amount, commission, *accounts, event.transaction_id, partner, live
        )
        self.sheet.cashbacks.append(
            rows.cashback(
                number,
                bound.purchase_no,
                commission_bps=commission_bps,
                commission=commission,
                accounts=accounts,
                tail=event.cashback,
            )
        )
        self._enter(event, cashback, number, CREATED, "created")
        self._move(
            cashback,
            number,
            (cashback.funding, cashback.pending, cashback.amount),
            (cashback.funding, cashback.commission_pending, cashback.commission),
        )
        self.created += 1
        return None

    def resolve(self, event: Resolved, number: int) -> Refused | None:
        """Post what ends a pending cashback as entry `number`; as `create`."""
        known = self._known
        cashback = known.cashbacks.get(event.cashback_id)
        if cashback is None:
            return _refused("created_missing")
        if (event.cashback_id, RESOLVED) in known.entries:
            return self._repetition(event, RESOLVED, event.transition)
        said = (event.transaction_id, event.partner_id, event.livemode)
        if said != (cashback.transaction_id, cashback.partner_id, cashback.livemode):
            return _refused("conflict")
        self._enter(event, cashback, number, RESOLVED, event.transition)
        earned, revenue = cashback.wallet, cashback.commission_revenue
        if event.transition == "cleared":
            self._commission.clear(cashback.funding, event.at, cashback.amount)
            self._wallets.add(cashback.wallet, cashback.amount)
        else:
            earned = revenue = cashback.funding
        self._move(
            cashback,
            number,
            (cashback.pending, earned, cashback.amount),
            (cashback.commission_pending, revenue, cashback.commission),
        )
        self.resolved += 1
        return None

    def reverse(self, event: Reversed, number: int) -> Refused | None:
        """Post what takes a cleared cashback back as entry `number`; as `create`."""
        known = self._known
        cashback = known.cashbacks.get(event.cashback_id)
        if cashback is None:
            return _refused("created_missing")
        if (event.cashback_id, REVERSED) in known.entries:
            return self._repetition(event, REVERSED, "reversed")
        said = (event.transaction_id, event.partner_id, event.livemode)
        if said != (cashback.transaction_id, cashback.partner_id, cashback.livemode):
            return _refused("conflict")
        ended = known.entries.get((event.cashback_id, RESOLVED))
        if ended is None or ended.transition != "cleared":
            return _refused("not_cleared")
        known.entries[event.cashback_id, REVERSED] = Posted("reversed", event.payload_hash)
        self.sheet.reversals.append(rows.entry(number, cashback.cashback_no, event.entry))
        self._tell(event, cashback, number, REVERSED, "reverted")
        taken = self._wallets.take(cashback.wallet, cashback.amount)
        legs = [
            (cashback.wallet, cashback.funding, taken),
            (cashback.commission_revenue, cashback.funding, cashback.commission),
        ]
        if lacking := cashback.amount - taken:
            legs.append((self._wallets.receivable(cashback.wallet), cashback.funding, lacking))
        self._move(cashback, number, *legs)
        self.resolved += 1
        return None

    def _repetition(self, event: _Event, step: int, transition: str) -> Refused | None:
        posted = self._known.entries.get((event.cashback_id, step))
        if posted == (transition, event.payload_hash):
            self.repeated += 1
            return None
        other = posted is not None and posted.transition != transition
        return _refused("resolved_otherwise" if other else "conflict")

    def _enter(
        self, event: Created | Resolved, cashback: Cashback, number: int, step: int, transition: str
    ) -> None:
        self._known.entries[event.cashback_id, step] = Posted(transition, event.payload_hash)
        self.sheet.entries.append(rows.entry(number, cashback.cashback_no, event.entry))
        self._tell(event, cashback, number, step, transition)

    def _tell(self, event: _Event, cashback: Cashback, number: int, step: int, transition: str) -> None:
        """Messages are kept as soon as the partner has an endpoint, queued for those that want them now.

        Of history nobody is told, not even later.
        """
        endpoints = self._audience.get((cashback.partner_id, cashback.livemode))
        if endpoints is None or event.silent:
            return
        self.sheet.webhook_messages.append(rows.message(number, event.message))
        for endpoint_id, wanted in endpoints:
            if transition in wanted:
                self.sheet.webhook_queue.append(rows.queued(endpoint_id, cashback.cashback_no, step, number))

    def _move(self, cashback: Cashback, number: int, *legs: rows.Leg) -> None:
        """The transfers of an entry; none of nothing."""
        self.sheet.transfers += rows.transfers(number, cashback.asset.encode(), legs)


def _refused(reason: str) -> Refused:
    return Refused(reason, DETAILS[reason])
