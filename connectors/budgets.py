"""What the keeper of budgets grants: a pure fold of the topic `budget-requests`, read from its beginning.

A program's budget is shared by all partitions of `inputs`, which know nothing of each other. So each asks for
a lease before it spends, and what it was granted is its own until it gives it back. The answers are a
function of the topic alone: any number of keepers, however often they are killed and begin again, say the
same under the same numbers.

The rules below can never change for requests that are answered: what was granted is known by folding them
again, and by nothing else.
"""

from collections import Counter
from typing import Any, NamedTuple

import msgspec

Datum = dict[str, Any]

REOPEN_SHARE = 200
"""A closed budget is opened again when more than this part of its figure is free (1/200: half a percent).

Opening for less would answer each little return with a record to every partition. The other half percent
is what idle partitions may hold.
"""


class BudgetId(NamedTuple):
    """`scope`: total, or a day YYYY-MM-DD."""

    program_id: str
    livemode: bool
    scope: str


class Lease(msgspec.Struct):
    """What one partition of `inputs` has of a budget."""

    number: int = 0
    """Its last request."""
    granted: int = 0
    """Granted less given back: spent, or in escrow there."""
    reopenings: int = 0
    """How often it was told that it may ask again."""


class Budget(msgspec.Struct):
    """One budget; amounts in minor units or points."""

    figure: int = 0
    """The bound, by the version that the last request was judged under."""
    granted: int = 0
    """Granted less given back, all partitions: spent or in escrow. Never above the largest figure."""
    requests: int = 0
    leases: dict[int, Lease] = {}
    closed: dict[int, int] = {}
    """Partitions that were told nothing is left, with the figure of the request that was told so."""
    broken: bool = False
    """Its requests do not fit together (some are missing): nothing more is granted, for ever."""

    @property
    def left(self) -> int:
        """What can still be granted."""
        return max(0, self.figure - self.granted)


class Keeper:
    """All budgets as of the requests folded so far."""

    def __init__(self) -> None:
        self.budgets: dict[BudgetId, Budget] = {}
        self.counts: Counter[str] = Counter()
        """Requests by what became of them: granted in full, closed (less than asked for, or nothing),
        returned, repeated, or refused."""

    def fold(self, request: Datum) -> list[Datum]:
        """The next record `BudgetRequest`; returns the records `BudgetGrant` that answer it, in order.

        A request that was folded before changes nothing and is not answered again.
        """
        partition, number = request["partition"], request["number"]
        if partition < 0 or number < 1:
            self.counts["refused"] += 1
            return []
        who = BudgetId(request["program_id"], request["livemode"], request["scope"])
        budget = self.budgets.get(who)
        if budget is None:
            budget = self.budgets[who] = Budget()
        lease = budget.leases.get(partition)
        if lease is None:
            lease = budget.leases[partition] = Lease()
        if number <= lease.number:
            self.counts["repeated"] += 1
            return []
        if not _follows(lease, request):
            budget.broken = True
        budget.requests += 1
        lease.number = number
        budget.figure = request["figure"]
        if budget.broken:
            return self._refused(who, lease, request)
        return self._answered(who, budget, lease, request)

    def _refused(self, who: BudgetId, lease: Lease, request: Datum) -> list[Datum]:
        self.counts["refused"] += 1
        if request["wanted"] > 0:
            return [_grant(who, request["partition"], lease, number=request["number"], amount=0, closed=True)]
        return []

    def _answered(self, who: BudgetId, budget: Budget, lease: Lease, request: Datum) -> list[Datum]:
        partition, figure, wanted = request["partition"], request["figure"], request["wanted"]
        returned = request["returned"]
        budget.granted -= returned
        lease.granted -= returned
        grants = []
        if wanted:
            amount = min(wanted, max(0, figure - budget.granted))
            budget.granted += amount
            lease.granted += amount
            closed = amount < wanted
            self.counts["closed" if closed else "granted"] += 1
            before = budget.closed.get(partition, 0)
            if closed:
                budget.closed[partition] = max(before, figure)
            elif figure <= before:
                del budget.closed[partition]
            grants.append(
                _grant(who, partition, lease, number=request["number"], amount=amount, closed=closed)
            )
        else:
            self.counts["returned"] += 1
        if returned:
            grants += _reopened(who, budget)
        return grants


def _follows(lease: Lease, request: Datum) -> bool:
    """Whether a request can be the next one of its lease. Its worker counts without gaps."""
    returned: int = request["returned"]
    is_sound = request["figure"] > 0 and request["wanted"] >= 0
    return bool(is_sound and request["number"] == lease.number + 1 and 0 <= returned <= lease.granted)


def _reopened(who: BudgetId, budget: Budget) -> list[Datum]:
    """Tells every partition for whose figure enough is free again that it may ask."""
    grants = []
    for partition, figure in sorted(budget.closed.items()):
        if figure - budget.granted > figure // REOPEN_SHARE:
            del budget.closed[partition]
            lease = budget.leases[partition]
            lease.reopenings += 1
            grants.append(_grant(who, partition, lease, number=0, amount=0, closed=False))
    return grants


def _grant(who: BudgetId, partition: int, lease: Lease, *, number: int, amount: int, closed: bool) -> Datum:
    return {
        "program_id": who.program_id,
        "livemode": who.livemode,
        "scope": who.scope,
        "partition": partition,
        "number": number,
        "amount": amount,
        "closed": closed,
        # In every answer: one that closes, and comes after the reopening that was said later, closes nothing.
        "reopening": lease.reopenings,
    }
