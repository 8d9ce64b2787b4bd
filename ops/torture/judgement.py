"""Holds everything against the invariants, as far as there is something to hold against them.

I1  every entry balances by asset, and so does the whole ledger
I2  a program has at most one live cashback on a purchase
I3  every input has exactly one fate: judged, applied, duplicate, conflict, parked, set aside
I4  created = cleared + reverted + pending; each transition once
I5  the receiver has the ledger's events, each with one body and a valid signature
I6  the ledger is what a recomputation of the input log gives, to the minor unit
I7  nothing cleared before its time, and nothing later than 60 s after it, outages not counted
I8  no committed offset is ahead of the state
"""

import multiprocessing
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from ops.oracle import Account
from ops.settings import Settings
from ops.torture.lateness import Outage
from ops.torture.partition import SHOWN, Judged, judge_partition, received_webhooks

PROCESSES = 2

# Each must yield no row.
_LAWS: dict[str, LiteralString] = {
    "I1 every asset sums to 0": """
        SELECT asset, sum(balance) FROM balances JOIN accounts USING (account_id)
        GROUP BY asset HAVING sum(balance) <> 0""",
    "I1 the reconciliation proves itself": """
        SELECT sum(abs(proof)) FROM reconciliation HAVING sum(abs(proof)) <> 0""",
    "I2 one pending cashback a purchase and program": """
        SELECT purchase_no, program_id, count(*) FROM cashbacks
        WHERE NOT EXISTS (SELECT FROM entries
                          WHERE entries.cashback_no = cashbacks.cashback_no AND step = 2)
        GROUP BY purchase_no, program_id HAVING count(*) > 1""",
    "I4 nothing ends that was not created": """
        SELECT cashback_no FROM entries GROUP BY cashback_no HAVING min(step) <> 1""",
    "I6 the ledger refused nothing": """
        SELECT topic, partition, record_offset, reason FROM ledger_quarantine""",
    "I7 nothing cleared before its time": """
        SELECT cashback_id, clear_at, event_at FROM entries JOIN cashbacks USING (cashback_no)
        WHERE transition = 'cleared' AND event_at < clear_at""",
    "I5 nothing is left to deliver": """
        SELECT endpoint_id, count(*) FROM webhook_queue GROUP BY endpoint_id""",
}
_BALANCES = """
SELECT kind::text, CASE WHEN livemode THEN 'live' ELSE 'test' END, partner_id, member_id, merchant_id,
       asset, balance
FROM balances JOIN accounts USING (account_id)
"""
_ENTRIES = "SELECT transition::text, count(*) FROM entries GROUP BY transition"

_SUBJECTS = {
    "events": "I4, I6, I7 events",
    "decisions": "I3 decisions",
    "reversal cases": "I6 reversal cases",
    "quarantine": "I3 quarantine",
    "acknowledged inputs": "I3 acknowledged inputs are there",
    "entries": "I6 entries",
    "webhooks": "I5 webhooks",
    "late": "I7 nothing cleared late",
    "webhooks against the ledger": "I5 webhooks are the ledger's events",
}


@dataclass
class Judgement:
    """`violations`: by invariant, how many and some of them; empty lists where all is right."""

    violations: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    inputs: int = 0
    longest_wait_s: float = 0.0
    """From when something could clear to its entry, outages not counted."""

    @property
    def total(self) -> int:
        """Of all invariants."""
        return sum(count for count, _ in self.violations.values())

    def note(self, law: str, wrong: Sequence[object]) -> None:
        """Add what was found against a law."""
        self.add(law, len(wrong), [str(each) for each in wrong[:SHOWN]])

    def add(self, law: str, count: int, shown: Sequence[str]) -> None:
        """Add to what was found against a law."""
        before, examples = self.violations.get(law, (0, []))
        self.violations[law] = before + count, [*examples, *shown][:SHOWN]


def judge(
    settings: Settings,
    directory: Path,
    programs: Sequence[Mapping[str, Any]],
    until: str,
    *,
    received_counts: Mapping[str, int],
    offsets_ahead: Sequence[str],
    broken: Sequence[Outage],
) -> Judgement:
    """The whole of a run that is at rest. `settings` reach the servers directly."""
    judgement = Judgement()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        jobs = [
            pool.submit(judge_partition, settings, directory, partition, programs, until, broken)
            for partition in range(settings.partitions)
        ]
        parts = [job.result() for job in jobs]
    for part in parts:
        judgement.inputs += part.inputs
        judgement.counts.update(part.counts)
        judgement.longest_wait_s = max(judgement.longest_wait_s, part.longest_wait_s)
        for subject, (count, shown) in part.wrong.items():
            judgement.add(_SUBJECTS[subject], count, [f"[{part.partition}] {each}" for each in shown])
    judgement.note("I8 offsets never ahead of the state", offsets_ahead)
    _judge_whole(judgement, settings, parts)
    _judge_receiver(judgement, directory / "received", parts, received_counts)
    return judgement


def _judge_whole(judgement: Judgement, settings: Settings, parts: Sequence[Judged]) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        for law, query in _LAWS.items():
            judgement.note(law, connection.execute(query).fetchall())
        found = _balances(connection)
        entries: dict[str, int] = dict(connection.execute(_ENTRIES).fetchall())
    expected: Counter[Account] = Counter()
    for part in parts:
        for account, balance in part.balances.items():
            expected[account] += balance
    differing = [
        f"{' '.join(account)}: {found.get(account, 0)}, should be {expected.get(account, 0)}"
        for account in sorted(expected.keys() | found.keys())
        if expected.get(account, 0) != found.get(account, 0)
    ]
    judgement.note("I6 balances", differing)
    strangers = sum(entries.values()) - sum(part.entries for part in parts)
    judgement.note("I6 no entries of strangers", [f"{strangers} entries"] if strangers else [])
    counts = judgement.counts
    if counts["created"] != counts["cleared"] + counts["reverted"] + counts["pending"]:
        judgement.note("I4 created = cleared + reverted + pending, recomputed", [dict(counts)])
    fates = ("bad", "judged", "applied", "duplicate", "conflict", "joined", "misplaced", "expired", "parked")
    if sum(counts[fate] for fate in fates) != judgement.inputs:
        judgement.note("I3 every input has one fate, recomputed", [dict(counts)])


def _balances(connection: psycopg.Connection) -> dict[Account, int]:
    found: Counter[Account] = Counter()
    for kind, mode, partner, member, merchant, asset, balance in connection.execute(_BALANCES):
        owner = f"{mode}:{partner}:{member}" if member else f"{mode}:{merchant}"
        found[Account(kind, owner, asset)] += balance
    return dict(found)


def _judge_receiver(
    judgement: Judgement, received: Path, parts: Sequence[Judged], counts: Mapping[str, int]
) -> None:
    known = {event_id for event_id, _ in received_webhooks(received)}
    strangers = len(known) - sum(part.webhooks for part in parts)
    judgement.note("I5 no webhooks of strangers", [f"{strangers} webhooks"] if strangers else [])
    wrong = [f"{name}: {counts[name]}" for name in ("refused", "conflicting", "misordered") if counts[name]]
    judgement.note("I5 the receiver's own checks", wrong)
