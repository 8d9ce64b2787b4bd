"""Leases of a budget: what one partition holds of it, what it asked for, and who waits for an answer.

The keeper of budgets sees every request in one order and answers on the input log, so what was decided is
decided again by a rebuild. Only the word that a budget is closed cuts a reward; until then a purchase waits.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any

import msgspec

from streams.announce import Cause
from streams.budgets import Account
from streams.pending import Word
from streams.rows import Rows

_PARTS = 200
"""A partition lets no more lie idle than this part of its share: half a percent of a budget in all.

The other half percent is what the keeper lets come back before it opens a closed budget again.
"""
_MIDDLE = 2**40
SERVING_KEY = b"v"
"""The row that says who is being served: key of the account."""


class Lease(msgspec.Struct, array_like=True, gc=False):
    """What a partition holds of one budget, minor units or points.

    All of `held` was granted under one figure of the budget, `under`: a version with another figure may not
    spend it. `asked`: number of the request without an answer, 0 for none, made under `asked_under`.
    `closed`: nothing more is to be had under this figure or a smaller one. `first` and `end` number those who
    wait, `lacking` is what they lack together. `reserved` of what is held is kept for those who wait for
    another scope of the same budget. `reopening` counts how often the budget was opened again.
    """

    held: int = 0
    under: int = 0
    asked: int = 0
    asked_under: int = 0
    requests: int = 0
    closed: int = 0
    reopening: int = 0
    first: int = _MIDDLE
    end: int = _MIDDLE
    lacking: int = 0
    reserved: int = 0

    @property
    def has_waiting(self) -> bool:
        """Whether anybody waits."""
        return self.first < self.end


class Waiting(msgspec.Struct, array_like=True, gc=False):
    """A pair that waits: row key of its purchase, its program, what led to it, and how much it lacks.

    `reserved`: what was at hand in other scopes, by key of the account; else it would go back as idle, and
    two scopes could wait for each other for ever.
    """

    purchase: bytes
    program_id: str
    cause: Word
    lacking: int
    reserved: list[tuple[str, int]] = []


class LeasedBudgets:
    """The leases of a partition. Satisfies `Budgets`."""

    def __init__(
        self, rows: Rows, partition: int, partitions: int, request: Callable[[dict[str, Any]], None]
    ) -> None:
        self._rows = rows
        self._partition = partition
        self._parts = _PARTS * partitions
        self._request = request
        self._served: frozenset[str] = frozenset()
        self.serving: str | None = None
        """Key of the account whose waiting are being served; before that has ended nothing else happens."""

    def resume(self, key: str) -> None:
        """Takes up from a filled store that an account is being served."""
        self.serving = key

    def left(self, account: Account) -> int:
        return self._spendable(self._lease(account.key), account)

    def may_ask(self, account: Account) -> bool:
        return account.figure > self._lease(account.key).closed

    def lacks(self, account: Account, wanted: int) -> int:
        """How much more must be leased before `wanted` may be taken; 0 when nothing need be waited for."""
        lease = self._lease(account.key)
        if account.figure <= lease.closed:
            return 0
        if lease.has_waiting and account.key not in self._served:
            return wanted  # nobody overtakes
        return max(0, wanted - self._spendable(lease, account))

    def take(self, account: Account, amount: int) -> None:
        lease = self._lease(account.key)
        if lease.held and lease.under != account.figure:
            # Only what is given back comes here: nobody takes of what was leased under another figure.
            lease.requests += 1
            self._say(account, lease.requests, wanted=0, returned=-amount)
        else:
            lease.held -= amount
            lease.under = account.figure
            self._return_idle(account, lease)
        self._keep(account.key, lease)

    def wait(
        self,
        account: Account,
        lacking: int,
        purchase: bytes,
        cause: Cause,
        reserved: Sequence[tuple[Account, int]] = (),
    ) -> None:
        """Lets a pair of a purchase wait until more is leased, and asks for it."""
        for other, amount in reserved:
            lease = self._lease(other.key)
            lease.reserved += amount
            self._keep(other.key, lease)
        lease = self._lease(account.key)
        if account.key in self._served:
            lease.first -= 1  # it was the first, and stays it
            place = lease.first
        else:
            place = lease.end
            lease.end += 1
        lease.lacking += lacking
        word = Word(cause.kind, cause.occurred_at, cause.employee_id, cause.receipt_id, cause.webhook_id)
        kept = [(other.key, amount) for other, amount in reserved]
        waiting = Waiting(purchase, account.program_id, word, lacking, kept)
        self._rows.put(_place_key(account.key, place), _encode(waiting))
        if not lease.asked:
            self._ask(account, lease)
        self._keep(account.key, lease)

    def _ask(self, account: Account, lease: Lease) -> None:
        """Asks for what all who wait lack; what is held under another figure goes back with it."""
        returned = 0
        if lease.held and lease.under != account.figure:
            returned = max(0, lease.held - lease.reserved)
            lease.held -= returned
        lease.requests += 1
        lease.asked, lease.asked_under = lease.requests, account.figure
        wanted = max(lease.lacking, account.figure // self._parts)
        self._say(account, lease.asked, wanted=wanted, returned=returned)

    def _return_idle(self, account: Account, lease: Lease) -> None:
        """Gives back what nobody here needs; a half of what may lie idle stays for what comes next."""
        idle = account.figure // self._parts
        free = lease.held - lease.reserved
        if free > idle and not lease.has_waiting and not lease.asked:
            lease.requests += 1
            self._say(account, lease.requests, wanted=0, returned=free - idle // 2)
            lease.held -= free - idle // 2

    def grant(self, datum: dict[str, Any]) -> bool:
        """Takes an answer of the keeper, for `serve` to spend. False: a repetition."""
        account = Account(datum["program_id"], datum["livemode"], datum["scope"], 0)
        lease = self._lease(account.key)
        is_old = datum["reopening"] < lease.reopening
        if datum["number"] == 0:
            if datum["reopening"] <= lease.reopening:
                return False
            lease.closed = 0
        elif datum["number"] != lease.asked:
            return False
        else:
            lease.held, lease.under, lease.asked = lease.held + datum["amount"], lease.asked_under, 0
            if not datum["closed"]:
                lease.closed = 0 if lease.asked_under <= lease.closed else lease.closed
            elif not is_old:
                lease.closed = max(lease.closed, lease.asked_under)
        lease.reopening = max(lease.reopening, datum["reopening"])
        self._keep(account.key, lease)
        self.serving = account.key
        self._rows.put(SERVING_KEY, self.serving.encode())
        return True

    def serve(self) -> Generator[Waiting, None, None]:
        """Who waited for what was granted last, in turn.

        Thousands may, while the keeper is away: whoever asks may stop after any of them, and ask again for
        the rest, in this process or the next.
        """
        while (key := self.serving) is not None:
            lease = self._lease(key)
            if lease.asked or not lease.has_waiting:
                break
            place = _place_key(key, lease.first)
            row = self._rows.get(place)
            waiting = None if row is None else _decode_waiting(row)
            lease.first += 1
            lease.lacking -= waiting.lacking if waiting else 0
            self._rows.delete(place)
            self._keep(key, lease)
            if waiting is not None:
                self._served = frozenset({key, *self._released(waiting)})
                try:
                    yield waiting
                finally:
                    self._served = frozenset()
        if key is not None:
            self._end_serving(key)

    def _end_serving(self, key: str) -> None:
        lease = self._lease(key)
        program_id, mode, scope = key.split("\x1f")
        self._return_idle(Account(program_id, mode == "1", scope, lease.under), lease)
        self._keep(key, lease)
        self.serving = None
        self._rows.delete(SERVING_KEY)

    def _released(self, waiting: Waiting) -> Iterator[str]:
        """Gives a pair that is served what was kept for it in other scopes."""
        for key, amount in waiting.reserved:
            lease = self._lease(key)
            lease.reserved -= amount
            self._keep(key, lease)
            yield key

    @staticmethod
    def _spendable(lease: Lease, account: Account) -> int:
        return max(0, lease.held - lease.reserved) if lease.under == account.figure else 0

    def _say(self, account: Account, number: int, *, wanted: int, returned: int) -> None:
        self._request(
            {
                "program_id": account.program_id,
                "livemode": account.livemode,
                "scope": account.scope,
                "partition": self._partition,
                "number": number,
                "figure": account.figure,
                "wanted": wanted,
                "returned": returned,
            }
        )

    def _lease(self, key: str) -> Lease:
        row = self._rows.get(f"b{key}".encode())
        return Lease() if row is None else _decode_lease(row)

    def _keep(self, key: str, lease: Lease) -> None:
        self._rows.put(f"b{key}".encode(), _encode(lease))


def _place_key(key: str, place: int) -> bytes:
    return f"w{key}\x1f{place:013d}".encode()


_encode = msgspec.msgpack.Encoder().encode
_decode_lease = msgspec.msgpack.Decoder(Lease).decode
_decode_waiting = msgspec.msgpack.Decoder(Waiting).decode
