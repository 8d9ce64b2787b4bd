"""Leases of a budget: what one partition holds of it, what it asked for, and who waits for an answer.

The keeper of budgets sees every request in one order and answers on the input log, so what was decided is
decided again by a rebuild. Only the word that a budget is closed cuts a reward; until then a purchase waits.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from streams.announce import Cause
from streams.budgets import Account
from streams.pending import Word
from streams.rows import Rows

_PARTS = 200
"""A lease is this part of a partition's share; it holds no more than two, so 1 % of a budget may lie idle."""
_MIDDLE = 2**40


class Lease(msgspec.Struct, array_like=True, gc=False):
    """What a partition holds of one budget, minor units or points.

    `asked`: number of the request without an answer, 0 for none. `closed`: nothing more is to be had.
    `first` and `end` number those who wait.
    """

    held: int = 0
    asked: int = 0
    requests: int = 0
    closed: bool = False
    reopening: int = 0
    first: int = _MIDDLE
    end: int = _MIDDLE

    @property
    def has_waiting(self) -> bool:
        """Whether anybody waits."""
        return self.first < self.end


class Waiting(msgspec.Struct, array_like=True, gc=False):
    """A pair that waits: row key of its purchase, its program, and what led to it."""

    purchase: bytes
    program_id: str
    cause: Word


class LeasedBudgets:
    """The leases of a partition. Satisfies `Budgets`."""

    def __init__(
        self, rows: Rows, partition: int, partitions: int, request: Callable[[dict[str, Any]], None]
    ) -> None:
        self._rows = rows
        self._partition = partition
        self._parts = _PARTS * partitions
        self._request = request
        self._served: str | None = None

    def left(self, account: Account) -> int:
        return max(0, self._lease(account.key).held)

    def may_ask(self, account: Account) -> bool:
        return not self._lease(account.key).closed

    def lacks(self, account: Account, wanted: int) -> int:
        """How much more must be leased before `wanted` may be taken; 0 when nothing need be waited for."""
        lease = self._lease(account.key)
        if lease.closed:
            return 0
        if lease.has_waiting and self._served != account.key:
            return wanted  # nobody overtakes
        return max(0, wanted - lease.held)

    def take(self, account: Account, amount: int) -> None:
        lease = self._lease(account.key)
        lease.held -= amount
        part = account.figure // self._parts
        if amount < 0 and lease.held > 2 * part:
            lease.requests += 1
            self._say(account, lease.requests, wanted=0, returned=lease.held - part)
            lease.held = part
        self._keep(account.key, lease)

    def wait(self, account: Account, lacking: int, purchase: bytes, cause: Cause) -> None:
        """Lets a pair of a purchase wait until more is leased, and asks for it."""
        lease = self._lease(account.key)
        if self._served == account.key:
            lease.first -= 1  # it was the first, and stays it
            place = lease.first
        else:
            place = lease.end
            lease.end += 1
        word = Word(cause.kind, cause.occurred_at, cause.employee_id, cause.receipt_id, cause.webhook_id)
        waiting = Waiting(purchase, account.program_id, word)
        self._rows.put(_place_key(account.key, place), _encode(waiting))
        if not lease.asked:
            lease.requests += 1
            lease.asked = lease.requests
            self._say(account, lease.asked, wanted=max(lacking, account.figure // self._parts), returned=0)
        self._keep(account.key, lease)

    def grant(self, datum: dict[str, Any]) -> Iterator[Waiting] | None:
        """Takes an answer of the keeper; who waited for it, to be served in turn. None: a repetition."""
        account = Account(datum["program_id"], datum["livemode"], datum["scope"], 0)
        lease = self._lease(account.key)
        if datum["number"] == 0:
            if datum["reopening"] <= lease.reopening:
                return None
            lease.reopening, lease.closed = datum["reopening"], False
        elif datum["number"] != lease.asked:
            return None
        else:
            lease.held += datum["amount"]
            lease.asked, lease.closed = 0, datum["closed"]
        self._keep(account.key, lease)
        return self._serve(account.key)

    def _serve(self, key: str) -> Iterator[Waiting]:
        self._served = key
        try:
            while True:
                lease = self._lease(key)
                if lease.asked or not lease.has_waiting:
                    return
                place = _place_key(key, lease.first)
                row = self._rows.get(place)
                lease.first += 1
                self._rows.delete(place)
                self._keep(key, lease)
                if row is not None:
                    yield _decode_waiting(row)
        finally:
            self._served = None

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
