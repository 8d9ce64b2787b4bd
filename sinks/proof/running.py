"""The proof that runs all the time: what is posted is summed up once, and balances are held against the sums.

Sums are of a moment before which nothing is posted any more; what was posted since is asked for together with
the balances, in one statement. So nothing is locked, no old rows are kept alive, and a round costs what was
posted since the last one. An account that seems to drift is proved from its first transfer on before anybody
is told.
"""

import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

CHUNK_ENTRIES = 20_000
SLICE_ACCOUNTS = 20_000
ACCOUNTS_MAX = 50_000_000
"""Eight bytes each are held; with more of them the whole proof must do."""
WAIT_FOR_WRITERS_S = 10.0
LOOK_EVERY_S = 0.1

_NOW = "SELECT clock_timestamp()"
_WRITES_BEGUN = "SELECT pg_current_xact_id()::text"
_STILL_WRITING = "SELECT pg_snapshot_xmin(pg_current_snapshot()) < %s::text::xid8"
_END_OF_CHUNK = """
SELECT max(entry_id) FROM (
    SELECT entry_id FROM transfers WHERE entry_id > %s ORDER BY entry_id LIMIT %s
) AS chunk
"""
_SUMS = """
SELECT account_id, sum(amount)::bigint AS amount FROM (
    SELECT debit_account AS account_id, -amount AS amount FROM moved
    UNION ALL SELECT credit_account, amount FROM moved
) AS side GROUP BY account_id
"""
_POSTED = """
SELECT entry_id FROM entries WHERE {when} UNION ALL SELECT entry_id FROM voucher_entries WHERE {when}
"""
_OF_CHUNK = f"""
WITH moved AS (
    SELECT debit_account, credit_account, amount FROM transfers
    JOIN ({_POSTED.format(when="entry_id > %(after)s AND entry_id <= %(last)s AND posted_at <= %(until)s")})
        AS posted USING (entry_id)
    WHERE entry_id > %(after)s AND entry_id <= %(last)s
) {_SUMS}
"""  # noqa: S608 - put together from constants
_OF_WINDOW = f"""
WITH moved AS (
    SELECT debit_account, credit_account, amount
    FROM ({_POSTED.format(when="posted_at > %(since)s AND posted_at <= %(until)s")}) AS posted
    JOIN transfers USING (entry_id)
) {_SUMS}
"""  # noqa: S608 - put together from constants
_HELD = f"""
WITH moved AS (
    SELECT debit_account, credit_account, amount
    FROM ({_POSTED.format(when="posted_at > %(since)s")}) AS posted JOIN transfers USING (entry_id)
), recent AS ({_SUMS})
SELECT account_id, (balance - coalesce(recent.amount, 0))::bigint
FROM balances LEFT JOIN recent USING (account_id)
WHERE account_id = ANY (%(accounts)s) OR account_id > %(after)s AND account_id <= %(last)s
"""  # noqa: S608 - put together from constants
_DRIFTING = """
SELECT account_id, kept, proved::bigint FROM account_proofs
WHERE account_id = ANY (%s) AND kept IS DISTINCT FROM proved
"""
_LAST_ACCOUNT = "SELECT coalesce(max(account_id), 0) FROM accounts"
_IMBALANCE = """
SELECT coalesce(sum(abs(total)), 0)::bigint FROM (
    SELECT sum(balance) AS total FROM balances JOIN accounts USING (account_id) GROUP BY livemode, asset
) AS totals
"""


@dataclass(frozen=True)
class Round:
    """What one round came to: balances looked at, those that drift, and what all balances together lack.

    `drifting` has (account, balance, what its transfers come to); `imbalance` is 0 if all is well.
    """

    looked_at: int
    drifting: tuple[tuple[int, int | None, int], ...]
    imbalance: int


class TooManyAccounts(Exception):
    """More accounts than sums are held of; `cashback ledger verify` proves them."""


class Prover:
    """Sums of every account up to a moment, through one session in autocommit. One thread at a time."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._sums = array("q")
        self._until: datetime | None = None
        self._looked_up_to = 0
        self._drifting: set[int] = set()

    def begin(self) -> Iterator[None]:
        """Sum up what was posted before now, a chunk between two yields: who calls it sets the pace."""
        until = None
        while until is None:
            until = self._settled()
            yield
        after = 0
        while (last := self._one(_END_OF_CHUNK, (after, CHUNK_ENTRIES))) is not None:
            self._add(_OF_CHUNK, {"after": after, "last": last, "until": until})
            after = last
            yield
        self._until = until

    def round(self) -> Round | None:
        """Sum up what was posted since, and look at its balances and at the next slice of all others.

        None: a transaction has been writing for the whole time, nothing can be said yet.
        """
        assert self._until is not None, "begin first"
        until = self._settled()
        if until is None:
            return None
        touched = self._add(_OF_WINDOW, {"since": self._until, "until": until})
        self._until = until
        last = int(self._one(_LAST_ACCOUNT, ()) or 0)
        after = self._looked_up_to if self._looked_up_to < last else 0
        self._looked_up_to = after + SLICE_ACCOUNTS
        wanted = list(self._drifting.union(touched))
        names = {"since": until, "accounts": wanted, "after": after, "last": self._looked_up_to}
        held = self._connection.execute(_HELD.encode(), names).fetchall()
        suspects = {account: amount for account, amount in held if amount != self._sum(account)}
        drifting = self._proved(suspects)
        self._drifting = {account for account, *_ in drifting}
        imbalance = int(self._one(_IMBALANCE, ()) or 0)
        return Round(len(held), drifting, imbalance)

    def _proved(self, suspects: dict[int, int]) -> tuple[tuple[int, int | None, int], ...]:
        if not suspects:
            return ()
        found = self._connection.execute(_DRIFTING, (list(suspects),)).fetchall()
        drifting = {row[0] for row in found}
        for account, amount in suspects.items():
            if account not in drifting:
                # Our sum was wrong, not the balance: the clock of the database went back, or it was restored.
                self._put(account, amount)
        return tuple((account, kept, proved) for account, kept, proved in found)

    def _settled(self) -> datetime | None:
        """A moment up to which nothing is posted any more, or None while older transactions write on."""
        now = self._one(_NOW)
        begun = self._one(_WRITES_BEGUN)
        until_s = time.monotonic() + WAIT_FOR_WRITERS_S
        while self._one(_STILL_WRITING, (begun,)):
            if time.monotonic() > until_s:
                return None
            time.sleep(LOOK_EVERY_S)
        assert isinstance(now, datetime)
        return now

    def _add(self, query: str, names: Mapping[str, object]) -> list[int]:
        """Add the sums that `query` gives; the accounts they are of."""
        found = self._connection.execute(query.encode(), names).fetchall()
        for account, amount in found:
            self._put(account, self._sum(account) + amount)
        return [account for account, _ in found]

    def _sum(self, account: int) -> int:
        return self._sums[account] if account < len(self._sums) else 0

    def _put(self, account: int, amount: int) -> None:
        if account >= ACCOUNTS_MAX:
            raise TooManyAccounts(f"account {account}: sums are held of {ACCOUNTS_MAX} accounts at most")
        if account >= len(self._sums):
            self._sums.extend(array("q", bytes(8 * (account + 1 + account // 8 - len(self._sums)))))
        self._sums[account] = amount

    def _one(self, query: str, values: Sequence[object] = ()) -> Any:
        row = self._connection.execute(query.encode(), values).fetchone()
        return row[0] if row else None
