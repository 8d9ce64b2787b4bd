"""The comparison finds whatever is spoiled, and nothing where nothing is."""

import json
from copy import deepcopy

import pytest

from ops.oracle import Recomputation, balances, entries, events, webhook
from ops.oracle.compare import (
    compare_balances,
    compare_cases,
    compare_decisions,
    compare_entries,
    compare_events,
    compare_webhooks,
)
from ops.oracle.differences import Differs, Doubled, Misordered, Missing, Unexpected
from tests.oracle.phrases import Line, campaign, flat, loyalty, percent, said, tell

BPS = 1000


@pytest.fixture(scope="module")
def history() -> Recomputation:
    """Two purchases, one cleared with an open case, one reverted and made anew."""
    lines = [
        said("01 10:00", "SETTLED", 1000),
        said("03 10:00", "SETTLED", 4000, external_id="y", member_id="ben"),
        said("03 11:00", "REFUNDED", 500, external_id="y", member_id="ben"),
        said("03 12:00", "REFUNDED", 500),
    ]
    return tell([campaign(percent(1000)), campaign(flat(3), "q", currency="USD")], lines, until="03 13:00")


@pytest.fixture
def published(history: Recomputation) -> list[Line]:
    return deepcopy(list(events(history)))


def test_what_agrees_has_no_difference(history: Recomputation, published: list[Line]) -> None:
    assert len(published) == 5
    assert compare_events(history, published) == []
    assert compare_entries(history, _entries(history)) == []
    assert compare_balances(history, _balances(history), commission_bps=BPS) == []
    assert compare_webhooks(history, _receipts(history)) == []


def test_an_amount_off_by_one_is_found(history: Recomputation, published: list[Line]) -> None:
    published[0]["amount"] += 1

    (difference,) = compare_events(history, published)

    assert isinstance(difference, Differs)
    assert (difference.field, difference.expected, difference.found) == ("amount", 100, 101)
    assert "amount is 101, should be 100" in str(difference)


def test_a_missing_event_is_found(history: Recomputation, published: list[Line]) -> None:
    cleared = next(event for event in published if event["type"] == "cashback.cleared")
    published.remove(cleared)

    (difference,) = compare_events(history, published)

    assert isinstance(difference, Missing)
    assert difference.key == cleared["event_id"]
    assert "cleared of 100 EUR, p #1, bank:ann x" in str(difference)


def test_an_event_nothing_calls_for_is_found(history: Recomputation, published: list[Line]) -> None:
    published.append({**published[0], "event_id": "evt_0"})

    assert [type(d) for d in compare_events(history, published)] == [Unexpected]


def test_an_event_there_twice_is_found(history: Recomputation, published: list[Line]) -> None:
    published.append(published[-1])

    assert [type(d) for d in compare_events(history, published)] == [Doubled]


def test_cleared_before_created_is_found(history: Recomputation, published: list[Line]) -> None:
    published[0], published[1] = published[1], published[0]

    assert [type(d) for d in compare_events(history, published)] == [Misordered]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timestamp", "2024-02-01T10:00:00.000001Z"),
        ("program_version", 2),
        ("sequence", 2),
        ("livemode", False),
        ("currency", "USD"),
        ("transaction_ref", "other"),
        ("member_id", "eve"),
        ("source", {"type": "campaign", "campaign_id": "q"}),
        ("reason", None),
        ("clear_at", 0),
    ],
)
def test_any_other_value_is_found(
    history: Recomputation, published: list[Line], field: str, value: object
) -> None:
    spoiled = published[2] if field == "reason" else published[0]
    assert spoiled["type"] == "cashback.created"
    if field == "reason":
        spoiled = published[3]
        assert spoiled["type"] == "cashback.reverted"
    spoiled[field] = value

    (difference,) = compare_events(history, published)

    assert isinstance(difference, Differs)
    assert difference.field == field


def test_avro_events_compare_in_microseconds_and_with_their_own_fields(history: Recomputation) -> None:
    cashback = next(c for c in history.cashbacks.values() if c.reason == "REFUNDED")
    source = {"type": "campaign", "campaign_id": "p", "clip_id": None, "airdrop_id": None}
    same = {
        "cashback_transaction_id": cashback.cashback_transaction_id,
        "transaction_id": cashback.transaction_id,
        "transaction_ref": "y",
        "partner_id": "bank",
        "member_id": "ben",
        "merchant_id": "shop",
        "program_id": "p",
        "program_version": 1,
        "sequence": 1,
        "livemode": True,
    }
    bought, refunded = 1_706_954_400_000_000, 1_706_958_000_000_000
    created = same | {
        "event_id": cashback.event_id("created"),
        "timestamp": bought,
        "amount": 400,
        "currency": "EUR",
        "source": source,
        "clear_at": bought + 2 * 86_400_000_000,
        "basket_minor": 4000,
    }
    reverted = same | {
        "event_id": cashback.event_id("reverted"),
        "timestamp": refunded,
        "reason": "VOIDED",
    }

    found = compare_events(history, [created, reverted])

    assert [d for d in found if not isinstance(d, Missing)] == [
        Differs("event", found[0].key, "reason", "REFUNDED", "VOIDED")
    ]


def test_spoiled_books_are_found(history: Recomputation) -> None:
    good = _entries(history)

    assert [type(d) for d in compare_entries(history, good[1:])] == [Missing]
    assert [type(d) for d in compare_entries(history, [*good, good[0]])] == [Doubled]
    assert [type(d) for d in compare_entries(history, [*good, ("cbtx_0", "created")])] == [Unexpected]

    kind, owner, asset, balance = _balances(history)[0]
    spoiled = [(kind, owner, asset, balance + 1), *_balances(history)[1:]]
    (difference,) = compare_balances(history, spoiled, commission_bps=BPS)
    assert str(difference) == f"account {kind} {owner} {asset}: balance is {balance + 1}, should be {balance}"
    missing = compare_balances(history, _balances(history)[1:], commission_bps=BPS)
    assert [d.found for d in missing if isinstance(d, Differs)] == [0]


def test_an_account_of_nobody_is_found_unless_it_is_empty(history: Recomputation) -> None:
    rows = [*_balances(history), ("member:wallet", "live:bank:eve", "EUR", 0)]
    assert compare_balances(history, rows, commission_bps=BPS) == []

    rows.append(("member:wallet", "live:bank:mallory", "EUR", 1))
    assert len(compare_balances(history, rows, commission_bps=BPS)) == 1


def test_spoiled_webhooks_are_found(history: Recomputation) -> None:
    good = _receipts(history)
    event_id, body = good[0]
    fields = json.loads(body)

    assert compare_webhooks(history, [*good, good[0]]) == []
    assert [type(d) for d in compare_webhooks(history, good[1:])] == [Missing]
    assert [type(d) for d in compare_webhooks(history, [*good, ("evt_0", body)])] == [Unexpected]
    for spoiled in (
        json.dumps({**fields, "amount": fields["amount"] + 1}),
        json.dumps({**fields, "reason": "more"}),
        json.dumps(dict(reversed(fields.items()))),
        body[:-1],
    ):
        assert [type(d) for d in compare_webhooks(history, [(event_id, spoiled), *good[1:]])] == [Differs]
    assert [type(d) for d in compare_webhooks(history, [*good, (event_id, body + " ")])] == [Differs]


def test_spoiled_decisions_are_found(history: Recomputation) -> None:
    lines = [decision._asdict() for decision in history.decisions.values()]
    assert len(lines) == 4
    assert compare_decisions(history, lines) == []

    grouped = [
        {**lines[0], "decisions": [_word(lines[0]), _word(lines[1])]},
        {**lines[2], "decisions": [_word(lines[2]), _word(lines[3])]},
    ]
    assert compare_decisions(history, grouped) == []
    said_again = {**lines[0], "occurred_at": lines[0]["occurred_at"] + 1}
    assert compare_decisions(history, [*lines, said_again]) == []
    assert compare_decisions(history, [*lines, said_again, lines[0]]) == []
    assert [type(d) for d in compare_decisions(history, [*lines, lines[0]])] == [Doubled]
    assert [type(d) for d in compare_decisions(history, [*grouped, grouped[0]])] == [Doubled]

    stale = {**lines[0], "decision": "OUTRANKED"}
    assert compare_decisions(history, [stale, *lines]) == []
    assert [type(d) for d in compare_decisions(history, [*lines, stale])] == [Differs]
    assert [type(d) for d in compare_decisions(history, lines[1:])] == [Missing]
    assert [type(d) for d in compare_decisions(history, [*lines, {**stale, "program_id": "z"}])] == [
        Unexpected
    ]


def test_spoiled_cases_are_found(history: Recomputation) -> None:
    (case,) = history.cases.values()
    found = {name: getattr(case, name) for name in type(case).__dataclass_fields__}

    assert compare_cases(history, [found]) == []
    assert [type(d) for d in compare_cases(history, [])] == [Missing]
    assert [type(d) for d in compare_cases(history, [found, {**found, "revision": 2}])] == [Differs]
    assert compare_cases(history, [{**found, "revision": 0, "shortfall": 1}, found]) == []
    assert [type(d) for d in compare_cases(history, [found, found])] == [Doubled]
    assert [type(d) for d in compare_cases(history, [found, {**found, "revision": 0}])] == [Doubled]
    assert [type(d) for d in compare_cases(history, [found, {**found, "cashback_transaction_id": "c"}])] == [
        Unexpected
    ]


def _entries(history: Recomputation) -> list[tuple[str, str]]:
    booked = entries(history.cashbacks.values(), commission_bps=BPS)
    return [(entry.cashback_transaction_id, entry.transition) for entry in booked]


def _balances(history: Recomputation) -> list[tuple[str, str, str, int]]:
    held = balances(history.cashbacks.values(), commission_bps=BPS)
    return [(*account, balance) for account, balance in held.items() if balance]


def _receipts(history: Recomputation) -> list[tuple[str, str]]:
    bodies = [
        webhook(cashback, transition, at)
        for cashback in history.cashbacks.values()
        for transition, at in cashback.transitions()
    ]
    return [(body["event_id"], json.dumps(body)) for body in bodies]


def _word(line: Line) -> Line:
    return {
        name: line[name] for name in ("program_id", "program_version", "decision", "amount", "outranked_by")
    }


def test_the_source_of_a_datum_is_read_as_on_the_wire() -> None:
    result = tell([loyalty(flat(5), threshold_count=1)], [said("01 10:00", "SETTLED", 1000)])
    (line,) = events(result)
    empty = dict.fromkeys(
        ("campaign_id", "clip_id", "airdrop_id", "variant_id", "creative_id", "external_id")
    )
    source = {**empty, **line["source"], "type": "loyalty_program_redemption"}

    assert compare_events(result, [{**line, "source": source}]) == []
    for spoiled in ({"redemption_id": "lpr_0"}, {"clip_id": "c"}, {"type": "campaign"}, {"external_id": "e"}):
        (difference,) = compare_events(result, [{**line, "source": {**source, **spoiled}}])
        assert isinstance(difference, Differs)
        assert difference.field == "source"
