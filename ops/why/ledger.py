"""What the ledger and the webhooks know of a payment: a handful of queries, each by an index."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import psycopg

from ops.why.facts import Attempt, Case, Cashback, Delivery, Entry, Transfer, Unbooked
from schemas import ids
from schemas.codec import decode
from schemas.errors import Undecodable
from schemas.times import Micros

_MICROS = "(extract(epoch FROM {}) * 1000000)::bigint"
_BOUND = """
SELECT purchase_no, member_id FROM purchases
WHERE livemode = %s AND partner_id = %s AND transaction_ref = %s
"""
_CASHBACKS = f"""
SELECT cashback_no, cashback_id, program_id, program_version, sequence, asset, amount, commission,
       commission_bps, {_MICROS.format("clear_at")}
FROM cashbacks WHERE purchase_no = %s ORDER BY program_id, sequence
"""  # noqa: S608 - put together from constants
_ENTRIES = f"""
SELECT cashback_no, entry_id, transition::text, event_id, {_MICROS.format("event_at")},
       {_MICROS.format("posted_at")}, reason, silent, actor, second_actor, note
FROM entries WHERE cashback_no = ANY (%s) ORDER BY step
"""  # noqa: S608
_TRANSFERS = """
SELECT entry_id, debit.kind::text, credit.kind::text, amount
FROM transfers
JOIN accounts AS debit ON debit.account_id = debit_account
JOIN accounts AS credit ON credit.account_id = credit_account
WHERE entry_id = ANY (%s) ORDER BY leg
"""
_MESSAGES = "SELECT entry_id FROM webhook_messages WHERE entry_id = ANY (%s)"
_ENDPOINTS = """
SELECT endpoint_id, url, disabled_reason FROM webhook_endpoints WHERE partner_id = %s AND livemode = %s
ORDER BY endpoint_id
"""
_ATTEMPTS = f"""
SELECT endpoint_id, entry_id, attempt, {_MICROS.format("started_at")}, status, outcome, error
FROM webhook_attempts WHERE entry_id = ANY (%s) ORDER BY attempt_id
"""  # noqa: S608
_QUEUED = f"""
SELECT endpoint_id, entry_id, {_MICROS.format("due_at")} FROM webhook_queue
WHERE endpoint_id = ANY (%s) AND cashback_no = ANY (%s)
"""  # noqa: S608
_CASES = f"""
SELECT case_id, revision, {_MICROS.format("updated_at")}, cause, amount, shortfall, net_minor, state, actor,
       second_actor, note
FROM reversal_cases WHERE case_id = ANY (%s) ORDER BY case_id, revision
"""  # noqa: S608
_UNBOOKED = """
SELECT reason, detail, record_value FROM ledger_quarantine
WHERE record_key = ANY (%s) ORDER BY topic, partition, record_offset
"""


class Books:
    """Answers about one reference of one partner, through one session."""

    def __init__(self, connection: psycopg.Connection, partner_id: str, external_id: str, *, livemode: bool):
        self._connection = connection
        self._partner_id, self._external_id, self._livemode = partner_id, external_id, livemode
        bound = self._rows(_BOUND, livemode, partner_id, external_id)
        self._purchase_no, self.holder = bound[0] if bound else (None, None)

    def cashbacks(self) -> tuple[Cashback, ...]:
        """Those of the member for whom the reference is kept, by program and sequence."""
        if self._purchase_no is None:
            return ()
        rows = self._rows(_CASHBACKS, self._purchase_no)
        entries = self._entries([row[0] for row in rows])
        cases = self._cases(row[1] for row in rows)
        return tuple(
            replace(Cashback(*row[1:]), entries=tuple(entries[row[0]]), cases=tuple(cases[row[1]]))
            for row in rows
        )

    def unbooked(self, members: Iterable[str]) -> dict[str, list[Unbooked]]:
        """What the ledger refused of each of these members' purchases under the reference."""
        keys = [f"{self._partner_id}:{member}".encode() for member in members]
        found: dict[str, list[Unbooked]] = defaultdict(list)
        for reason, detail, value in self._rows(_UNBOOKED, keys):
            try:
                record, datum = decode(value)
            except Undecodable:
                continue
            if (datum["transaction_ref"], datum["livemode"]) == (self._external_id, self._livemode):
                found[datum["member_id"]].append(Unbooked(record, datum, reason, detail))
        return found

    def _entries(self, cashbacks: list[int]) -> dict[int, list[Entry]]:
        rows = self._rows(_ENTRIES, cashbacks)
        wanted = [row[1] for row in rows]
        transfers: dict[int, list[Transfer]] = defaultdict(list)
        for entry_id, *legs in self._rows(_TRANSFERS, wanted):
            transfers[entry_id].append(Transfer(*legs))
        told = {entry_id for (entry_id,) in self._rows(_MESSAGES, wanted)}
        deliveries = self._deliveries(cashbacks, wanted) if told else {}
        entries: dict[int, list[Entry]] = defaultdict(list)
        for cashback_no, entry_id, *said in rows:
            entry = replace(
                Entry(entry_id, *said),
                transfers=tuple(transfers[entry_id]),
                is_told=entry_id in told,
                deliveries=tuple(deliveries.get(entry_id, ())),
            )
            entries[cashback_no].append(entry)
        return entries

    def _deliveries(self, cashbacks: list[int], entries: list[int]) -> dict[int, list[Delivery]]:
        endpoints = self._rows(_ENDPOINTS, self._partner_id, self._livemode)
        attempts: dict[tuple[int, int], list[Attempt]] = defaultdict(list)
        for endpoint_id, entry_id, *said in self._rows(_ATTEMPTS, entries):
            attempts[endpoint_id, entry_id].append(Attempt(*said))
        due: dict[tuple[int, int], Micros] = {
            (endpoint_id, entry_id): at
            for endpoint_id, entry_id, at in self._rows(_QUEUED, [row[0] for row in endpoints], cashbacks)
        }
        return {
            entry: [
                Delivery(url, tuple(attempts[endpoint, entry]), due.get((endpoint, entry)), disabled)
                for endpoint, url, disabled in endpoints
                if (endpoint, entry) in attempts or (endpoint, entry) in due
            ]
            for entry in entries
        }

    def _cases(self, cashback_ids: Iterable[str]) -> dict[str, list[Case]]:
        by_case = {ids.reversal_case_id(cashback_id): cashback_id for cashback_id in cashback_ids}
        cases: dict[str, list[Case]] = defaultdict(list)
        for row in self._rows(_CASES, list(by_case)):
            cases[by_case[row[0]]].append(Case(*row))
        return cases

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode(), values).fetchall()
