"""Holds everything a pipeline brought forth against the recomputation of what went in."""

from collections.abc import Sequence

from ops.oracle import Recomputation
from ops.oracle.compare import (
    compare_balances,
    compare_cases,
    compare_decisions,
    compare_entries,
    compare_events,
    compare_webhooks,
)
from ops.oracle.differences import Difference
from schemas.topics import CASHBACK_EVENTS, DECISIONS, QUARANTINE, REVERSAL_CASES
from tests.e2e.book import MESSAGES, PROOF, REFUSED, UNDELIVERED, Book
from tests.e2e.pipeline import Pipeline
from tests.e2e.topic_reading import by_member

SHOWN = 8

Findings = dict[str, Sequence[object]]
"""What was found wrong, by what was looked at; nothing wrong: only empty lists."""


def judge_topics(pipeline: Pipeline, expected: Recomputation) -> Findings:
    """Events, decisions and cases are those of the recomputation, each once; the quarantine is empty."""
    return {
        "events": compare_events(expected, by_member(pipeline.read(CASHBACK_EVENTS))),
        "decisions": compare_decisions(expected, by_member(pipeline.read(DECISIONS))),
        "reversal cases": compare_cases(expected, by_member(pipeline.read(REVERSAL_CASES))),
        "quarantine": [record for records in pipeline.read(QUARANTINE) for record in records],
    }


def judge_ledger(pipeline: Pipeline, book: Book, expected: Recomputation) -> Findings:
    """Entries and balances are those of the recomputation, the proof is 0, nothing was refused."""
    proof = book.number(PROOF)
    bps = pipeline.settings.commission_bps
    return {
        "entries": compare_entries(expected, book.entries()),
        "balances": compare_balances(expected, book.balances(), commission_bps=bps),
        "proof": [f"the reconciliation is off by {proof}"] if proof else [],
        "refused by the ledger": book.rows(REFUSED),
    }


def judge_webhooks(pipeline: Pipeline, book: Book, expected: Recomputation) -> Findings:
    """Every event arrived with the ledger's bytes, nothing else did, and nothing is left to send."""
    counts = pipeline.received_counts()
    receipts = pipeline.receipts()
    differences: list[Difference] = compare_webhooks(expected, receipts)
    told = {event_id: bytes(body) for event_id, body in book.rows(MESSAGES)}
    faults = [f"{name}: {counts[name]}" for name in ("refused", "conflicting", "misordered") if counts[name]]
    return {
        "webhooks": differences,
        "webhooks against the ledger": sorted(set(receipts) ^ set(told.items())),
        "the receiver's own checks": faults,
        "webhooks undelivered": list(range(book.number(UNDELIVERED))),
    }


def verdict(findings: Findings) -> str:
    """What is wrong in lines, empty when nothing is."""
    lines = []
    for subject, wrong in findings.items():
        if wrong:
            lines.append(f"{subject}: {len(wrong)} wrong, for example")
            lines += [f"    {each}" for each in wrong[:SHOWN]]
    return "\n".join(lines)
