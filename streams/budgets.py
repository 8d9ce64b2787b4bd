"""Budgets: what all members of a program may still earn together, in total and on a local day.

An account is a program, a mode and a scope. Who judges a whole history alone (`simulate`) knows the one true
remainder; a partition of the stream holds leases of it (`leases`).
"""

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Protocol

import msgspec

from streams.announce import Cause
from streams.program import Program
from streams.rows import Rows

TOTAL = "total"


class Account(msgspec.Struct, frozen=True):
    """One budget: `scope` is total or the local day YYYY-MM-DD; `figure` what the version gives it."""

    program_id: str
    livemode: bool
    scope: str
    figure: int

    @property
    def key(self) -> str:
        """The same for all versions of the program."""
        return f"{self.program_id}\x1f{'1' if self.livemode else '0'}\x1f{self.scope}"


class Budgets(Protocol):
    """What the stages ask of budgets."""

    def left(self, account: Account) -> int:
        """What is at hand, minor units or points."""

    def may_ask(self, account: Account) -> bool:
        """Whether more than what is at hand may be had by waiting for it."""

    def lacks(self, account: Account, wanted: int) -> int:
        """How much more must be had before `wanted` is taken; 0 when nothing need be waited for."""

    def take(self, account: Account, amount: int) -> None:
        """Takes from what is at hand; a negative amount gives back."""

    def wait(
        self,
        account: Account,
        lacking: int,
        purchase: bytes,
        cause: Cause,
        reserved: Sequence[tuple[Account, int]] = (),
    ) -> None:
        """Lets a pair of the purchase with this row key wait for `lacking` more.

        `reserved` is kept for it meanwhile of what is at hand in other accounts.
        """


def accounts(program: Program, livemode: bool, day: int) -> Iterator[Account]:
    """The budgets that a purchase on the local day (ordinal) draws on."""
    if program.budget_total is not None:
        yield Account(program.program_id, livemode, TOTAL, program.budget_total)
    if program.budget_daily is not None:
        scope = date.fromordinal(day).isoformat()
        yield Account(program.program_id, livemode, scope, program.budget_daily)


class WholeBudgets:
    """Budgets of one who sees everything that is earned."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def left(self, account: Account) -> int:
        return max(0, account.figure - self._taken(account))

    def may_ask(self, account: Account) -> bool:
        return False

    def lacks(self, account: Account, wanted: int) -> int:
        return 0

    def wait(
        self,
        account: Account,
        lacking: int,
        purchase: bytes,
        cause: Cause,
        reserved: Sequence[tuple[Account, int]] = (),
    ) -> None:
        raise NotImplementedError("who sees everything never waits")

    def take(self, account: Account, amount: int) -> None:
        self._rows.put(f"b{account.key}".encode(), _encode(self._taken(account) + amount))

    def _taken(self, account: Account) -> int:
        row = self._rows.get(f"b{account.key}".encode())
        return 0 if row is None else _decode(row)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(int).decode
