"""From a whole history to everything it leads to: purchase by purchase, each from its list of facts."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ops.oracle.facts import DAY, OPENING_KINDS, Arrival, Purchase, arrivals, arrivals_with_clock, micros
from ops.oracle.lives import Life, Pair, is_expired, live
from ops.oracle.result import Decision, Recomputation, transaction_id
from ops.oracle.standings import Standing, Window, account_for
from ops.oracle.terms import Terms, TermsBook
from ops.oracle.verdicts import WAITING, Verdict, gross_refusal, judge, judge_amounts


def recompute(
    programs: Iterable[Mapping[str, Any]],
    inputs: Iterable[Mapping[str, Any]],
    *,
    until: object = None,
    parked_days: int = 60,
) -> Recomputation:
    """Recompute a file of inputs (JSON form of contract.md §2) whose clock is event time.

    `until` (ISO 8601 or µs) moves the clock at the end, if it is later.
    """
    result = Recomputation()
    return _recompute(TermsBook(programs), arrivals(inputs, result.bad), result, until, parked_days * DAY)


def recompute_log(
    programs: Iterable[Mapping[str, Any]] | TermsBook,
    records: Iterable[tuple[object, Mapping[str, Any]]],
    *,
    until: object = None,
    parked_days: int = 60,
    window: Window | None = None,
) -> Recomputation:
    """Recompute a log whose records carry their clock: pairs of (ISO 8601 or µs, input).

    `window` is what production accepts of the past and the future; None accepts all.

    Several partitions may be given one after the other only if each record's clock is that of a common
    clock, e.g. the running maximum stamped by the loader; else recompute each alone and merge.
    """
    result = Recomputation()
    book = programs if isinstance(programs, TermsBook) else TermsBook(programs)
    arrived = arrivals_with_clock(records, result.bad)
    return _recompute(book, arrived, result, until, parked_days * DAY, window)


def _recompute(
    book: TermsBook,
    arrived: Iterable[Arrival],
    result: Recomputation,
    until: object,
    parked_us: int,
    window: Window | None = None,
) -> Recomputation:
    by_purchase: defaultdict[Purchase, list[Arrival]] = defaultdict(list)
    final_clock = 0
    for arrival in arrived:
        result.clocks += [final_clock] * (arrival.place - len(result.clocks))  # bad lines in between
        result.clocks.append(arrival.clock)
        by_purchase[arrival.fact.purchase].append(arrival)
        final_clock = arrival.clock
    if until is not None:
        final_clock = max(final_clock, micros(until))
    for purchase, own in by_purchase.items():
        account = account_for(own, parked_us=parked_us, final_clock=final_clock, window=window)
        fates = account.fates
        _PurchaseStory(purchase, account.standings, book, final_clock, result, fates).tell()
        result.counts.update(fates.values())
        result.fates.update(fates)
    counts = result.counts
    counts["bad"] = len(result.bad)
    counts["inputs"] = len(result.bad) + sum(map(len, by_purchase.values()))
    counts["cases"] = len(result.cases)
    for cashback in result.cashbacks.values():
        counts["created"] += 1
        counts[cashback.state.lower()] += 1
    return result


class _PurchaseStory:
    """One purchase from its standings to its decisions and cashbacks."""

    def __init__(
        self,
        purchase: Purchase,
        standings: Sequence[Standing],
        book: TermsBook,
        final_clock: int,
        result: Recomputation,
        fates: dict[int, str],
    ) -> None:
        self.purchase = purchase
        self.standings = standings
        self.book = book
        self.final_clock = final_clock
        self.result = result
        self.fates = fates
        self.transaction_id = transaction_id(purchase)

    def tell(self) -> None:
        """Write decisions, cashbacks, cases and counts into the result."""
        judging = next((index for index, row in enumerate(self.standings) if row.judged), None)
        for row in self.standings[:judging]:
            if row.cause.kind in OPENING_KINDS:
                self._ask_for_amount(row)
        if judging is None:
            return
        rows = self.standings[judging:]
        self.fates[rows[0].place] = "judged"
        self.result.counts["over_refunded"] += any(row.refunded > row.gross for row in rows)
        naming = self.book.naming(rows[0].cause, rows[0].place)
        if not naming:
            self._decide(rows[0], None, Verdict("NO_PROGRAM"))
        by_id = {terms.program_id: terms for terms, _ in naming}
        verdicts = judge(naming, rows[0])
        for program_id, verdict in verdicts.items():
            self._decide(rows[0], by_id[program_id], verdict)
        pairs = [
            Pair(by_id[program_id], self.transaction_id, judging=judging, first=judging, waited=False)
            for program_id, verdict in verdicts.items()
            if verdict.decision == "REWARDED"
        ]
        waiting = [by_id[name] for name, verdict in verdicts.items() if verdict.decision in WAITING]
        fitted = {terms.program_id for terms in waiting if gross_refusal(terms, rows[0].gross) is None}
        pairs += self._late_pairs(waiting, fitted, pairs, judging) if waiting else []
        for pair in pairs:
            life = live(pair, self.standings, self.final_clock)
            self.result.cashbacks.update((c.cashback_transaction_id, c) for c in life.cashbacks)
            self.result.cases.update(life.cases)

    def _late_pairs(
        self, waiting: list[Terms], fitted: set[str], pairs: Sequence[Pair], judging: int
    ) -> list[Pair]:
        """The pairs that a later amount brings, while nothing of the purchase has cleared.

        `fitted` names the programs for which the gross was right from the start and only the net was not.
        """
        late: list[Pair] = []
        first = self.standings[judging]
        judged_on = {terms.program_id: (first.gross, first.net) for terms in waiting}
        for index in range(judging + 1, len(self.standings)):
            if not waiting:
                break
            row, before = self.standings[index], self.standings[index - 1]
            newly_settled = before.settled_at is None and row.settled_at is not None
            lives = [self._so_far(pair, index) for pair in (*pairs, *late)]
            if any(life.cleared_by(row.clock) for life in lives):
                break
            taken = any(not pair.terms.stackable for pair in (*pairs, *late))
            asked = [
                terms
                for terms in waiting
                if (terms.stackable or not taken)
                and not is_expired(terms, self.standings, index, judging)
                and (judged_on[terms.program_id] != (row.gross, row.net) or newly_settled)
            ]
            verdicts = judge_amounts([(terms, terms.program_id in fitted) for terms in asked], row)
            for terms in asked:
                verdict = verdicts[terms.program_id]
                self._decide(row, terms, verdict)
                judged_on[terms.program_id] = (row.gross, row.net)
                if verdict.decision == "REWARDED":
                    late.append(
                        Pair(
                            terms,
                            self.transaction_id,
                            judging=judging,
                            first=index,
                            waited=terms.program_id not in fitted,
                        )
                    )
                if verdict.decision not in WAITING:
                    waiting.remove(terms)
        return late

    def _so_far(self, pair: Pair, index: int) -> Life:
        """The pair's life as it was just before the standing at `index`."""
        return live(pair, self.standings[:index], self.standings[index].clock)

    def _ask_for_amount(self, row: Standing) -> None:
        verdict = Verdict("TRANSACTION_VOID" if row.void else "AMOUNT_REQUIRED")
        naming = self.book.naming(row.cause, row.place)
        for terms, _ in naming:
            self._decide(row, terms, verdict)
        if not naming:
            self._decide(row, None, Verdict("NO_PROGRAM"))

    def _decide(self, row: Standing, terms: Terms | None, verdict: Verdict) -> None:
        """Keep the program's latest word; a word said again is no new decision."""
        program_id = None if terms is None else terms.program_id
        key = (self.transaction_id, program_id)
        version = None if terms is None else terms.version
        word = (version, verdict.decision, verdict.amount, verdict.outranked_by)
        old = self.result.decisions.get(key)
        if old and word == (old.program_version, old.decision, old.amount, old.outranked_by):
            return
        self.result.decisions[key] = Decision(
            transaction_id=self.transaction_id,
            transaction_ref=self.purchase.external_id,
            livemode=self.purchase.livemode,
            partner_id=self.purchase.partner_id,
            member_id=self.purchase.member_id,
            merchant_id=row.cause.merchant_id,
            program_id=program_id,
            program_version=version,
            decision=verdict.decision,
            amount=verdict.amount,
            outranked_by=verdict.outranked_by,
            occurred_at=row.cause.occurred_at,
        )
