"""From a whole history to everything it leads to: each purchase from its facts, all of them in log order."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from ops.oracle.entitlements import End, Grant, read_entitlement
from ops.oracle.facts import DAY, Arrival, BadLineError, Fact, Purchase, micros
from ops.oracle.inputs import Input, LogRecord, file_inputs, log_inputs
from ops.oracle.parked import Heard, ParkedWord
from ops.oracle.result import Recomputation
from ops.oracle.reversals import Decision
from ops.oracle.revocations import Revocation
from ops.oracle.standings import Standing, Window, account_for
from ops.oracle.terms import TermsBook
from ops.oracle.walk import Walk


def recompute(
    programs: Iterable[Mapping[str, Any]],
    inputs: Iterable[Mapping[str, Any]],
    *,
    until: object = None,
    parked_days: int = 60,
    entitlements: Iterable[Mapping[str, Any]] = (),
) -> Recomputation:
    """Recompute a file of inputs (JSON form of contract.md §2) whose clock is event time.

    `until` (ISO 8601 or µs) moves the clock at the end, if it is later. All entitlements (JSON form of §3)
    are known from the start, and so are all versions of the programs; budgets are the one true remainder.
    """
    result = Recomputation()
    walk = Walk(TermsBook(programs), result, budgets=True)
    for place, line in enumerate(entitlements):
        result.counts["inputs"] += 1
        try:
            result.counts[walk.entitle(read_entitlement(line))] += 1
        except BadLineError as error:
            result.bad_entitlements.append((place, str(error)))
            result.counts["entitlement_bad"] += 1
    return _recompute(walk, list(file_inputs(inputs, result.bad)), result, until, parked_days * DAY)


def recompute_log(
    programs: Iterable[Mapping[str, Any]] | TermsBook,
    records: Iterable[LogRecord],
    *,
    until: object = None,
    parked_days: int = 60,
    window: Window | None = None,
    budgets: bool = True,
) -> Recomputation:
    """Recompute a log whose records carry their clock: (ISO 8601 or µs, input) or (…, input, silent).

    An input is a payment; with a `kind` of CLIPPED, UNCLIPPED, AIRDROPPED or REVOKED an entitlement; with
    `revoked_at` and `sequence` an operator's revocation; with `decision` accounting's word on a case; with
    `action` somebody's on what waits for its purchase. Each counts from its place in the log. A purchase
    is silent when the record that opened it is.

    `window` is what production accepts of the past and the future; None accepts all.

    Programs with a budget get the one true remainder of this log. The stream spends leases, of which
    nothing is known here: where they could be the scarcer, `budgets=False` leaves all budgets unlooked at,
    and what such programs earn is not to be compared.

    Several partitions may be given one after the other only if each record's clock is that of a common
    clock, e.g. the running maximum stamped by the loader; else recompute each alone and merge.
    """
    result = Recomputation()
    book = programs if isinstance(programs, TermsBook) else TermsBook(programs)
    walk = Walk(book, result, budgets=budgets)
    return _recompute(walk, list(log_inputs(records, result.bad)), result, until, parked_days * DAY, window)


def _recompute(
    walk: Walk,
    inputs: list[Input],
    result: Recomputation,
    until: object,
    parked_us: int,
    window: Window | None = None,
) -> Recomputation:
    final_clock = inputs[-1].clock if inputs else 0
    if until is not None:
        final_clock = max(final_clock, micros(until))
    standings = _standings(inputs, result, final_clock, parked_us, window)
    for place, clock, content, _ in inputs:
        told = len(result.log)
        walk.pass_time(clock)
        if isinstance(content, Fact):
            if place in standings:
                now, silent = standings[place]
                walk.stand(content.purchase, now, silent=silent)
        elif not isinstance(content, ParkedWord):
            result.fates[place] = _take(walk, content, clock, window)
        walk.pass_time(clock)
        cleared = (name for name, transition, _ in result.log[told:] if transition == "cleared")
        result.cleared_by.update(dict.fromkeys(cleared, place))
    walk.pass_time(final_clock)
    _count(result, len(inputs))
    return result


def _standings(
    inputs: list[Input], result: Recomputation, final_clock: int, parked_us: int, window: Window | None
) -> dict[int, tuple[Standing, bool]]:
    """How each purchase stands after each record of it that counts, and whether it is silent, by place.

    Which of its facts count depends on nothing but its own facts, what people say of them, and the clock.
    """
    by_purchase: defaultdict[Purchase, list[Arrival | Heard]] = defaultdict(list)
    silent = set()
    for place, clock, content, is_silent in inputs:
        if isinstance(content, Fact):
            by_purchase[content.purchase].append(Arrival(place, clock, content))
            if is_silent:
                silent.add(place)
        elif isinstance(content, ParkedWord):
            by_purchase[content.purchase].append(Heard(place, clock, content))
    found: dict[int, tuple[Standing, bool]] = {}
    for own in by_purchase.values():
        rows, fates = account_for(own, parked_us=parked_us, final_clock=final_clock, window=window)
        found.update((row.place, (row, rows[0].place in silent)) for row in rows)
        judged = [row for row in rows if row.judged]
        if judged:
            fates[judged[0].place] = "judged"
            result.counts["over_refunded"] += any(row.refunded > row.gross for row in judged)
        result.fates.update(fates)
    return found


def _take(walk: Walk, content: Grant | End | Revocation | Decision, clock: int, window: Window | None) -> str:
    if isinstance(content, Decision):
        is_timely = window is None or window.spans(content.decided_at, clock=clock)
        return walk.decide(content, is_timely=is_timely)
    return walk.revoke(content) if isinstance(content, Revocation) else walk.entitle(content)


def _count(result: Recomputation, inputs: int) -> None:
    counts = result.counts
    counts.update(result.fates.values())
    counts["bad"] = len(result.bad)
    counts["inputs"] += len(result.bad) + inputs
    counts["cases"] = len(result.cases)
    for cashback in result.cashbacks.values():
        counts["created"] += 1
        counts[cashback.state.lower()] += 1
