"""The ledger that a recomputation calls for: entries, transfers and balances (contract.md §6)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ops.oracle.result import Cashback, mode


class Account(NamedTuple):
    """An account: `kind` as in contract.md §6, `owner` as `member_owner` and `merchant_owner` write it."""

    kind: str
    owner: str
    asset: str


class Transfer(NamedTuple):
    """A positive amount of the accounts' asset, minor units or points."""

    debit: Account
    credit: Account
    amount: int


class Entry(NamedTuple):
    """One transition of one cashback and the transfers it posts."""

    cashback_transaction_id: str
    transition: str
    transfers: tuple[Transfer, ...]


def member_owner(cashback: Cashback) -> str:
    """Who owns the member accounts: mode, partner and member."""
    return f"{mode(cashback.livemode)}:{cashback.partner_id}:{cashback.member_id}"


def merchant_owner(cashback: Cashback) -> str:
    """Who owns the funding and commission accounts: mode and merchant."""
    return f"{mode(cashback.livemode)}:{cashback.merchant_id}"


def entries(cashbacks: Iterable[Cashback], *, commission_bps: int) -> Iterator[Entry]:
    """The entries of these cashbacks; `commission_bps` in hundredths of a percent of the reward."""
    for cashback in cashbacks:
        for transition in cashback.entries():
            yield Entry(
                cashback.cashback_transaction_id,
                transition,
                tuple(t for t in transfers(cashback, transition, commission_bps) if t.amount > 0),
            )


def transfers(cashback: Cashback, transition: str, commission_bps: int) -> tuple[Transfer, Transfer]:
    """Reward and commission of one transition; an amount may be 0."""
    asset = cashback.currency
    reward = cashback.amount
    commission = reward * commission_bps // 10_000
    pending = Account("member:pending", member_owner(cashback), asset)
    wallet = Account("member:wallet", member_owner(cashback), asset)
    funding = Account("merchant:funding", merchant_owner(cashback), asset)
    accrued = Account("commission:pending", merchant_owner(cashback), asset)
    revenue = Account("commission:revenue", merchant_owner(cashback), asset)
    if transition == "created":
        return Transfer(funding, pending, reward), Transfer(funding, accrued, commission)
    if transition == "cleared":
        return Transfer(pending, wallet, reward), Transfer(accrued, revenue, commission)
    if transition == "reversed":
        # A wallet out of which nothing was spent has what is taken back.
        return Transfer(wallet, funding, reward), Transfer(revenue, funding, commission)
    return Transfer(pending, funding, reward), Transfer(accrued, funding, commission)


def balances(cashbacks: Iterable[Cashback], *, commission_bps: int) -> dict[Account, int]:
    """Credits minus debits of every account that was ever touched; the funding of a merchant is negative."""
    sums: Counter[Account] = Counter()
    for entry in entries(cashbacks, commission_bps=commission_bps):
        for transfer in entry.transfers:
            sums[transfer.credit] += transfer.amount
            sums[transfer.debit] -= transfer.amount
    return dict(sums)
