"""Histories worked by hand from the contract."""

import pytest

from ops.oracle import Account, balances, events, in_log_order, recompute, recompute_log
from ops.oracle.terms import pay
from tests.oracle.phrases import Line, campaign, flat, percent, said, story, tell, tiers, words


@pytest.mark.parametrize(
    ("basket", "reward", "earned"),
    [
        (1999, percent(100), 19),
        (28950, percent(400), 1158),
        (14999, percent(1000), 1499),
        (99, percent(100), 0),
        (2000, tiers(50, 2000, 200), 50),
        (2001, tiers(50, 2000, 200), 200),
        (5000, percent(1000) | {"max_amount": 300}, 300),
        (1, flat(7), 7),
        (0, flat(7), 0),
    ],
)
def test_the_formula_gives_the_figures_of_the_contract(basket: int, reward: Line, earned: int) -> None:
    assert pay(reward, basket) == earned


def test_a_settled_purchase_clears_when_its_hold_is_over() -> None:
    lines = [said("01 10:00", "AUTHORIZED", 1000), said("01 12:00", "SETTLED", 1000)]

    before = tell([campaign(percent(100))], lines, until="03 09:59")
    after = tell([campaign(percent(100))], lines, until="03 10:00")

    assert story(before) == ["p#1 10 PENDING"]
    assert story(after) == ["p#1 10 CLEARED"]
    assert [event["timestamp"] for event in events(after)] == ["2024-02-01T10:00:00Z", "2024-02-03T10:00:00Z"]


def test_a_hold_may_count_from_the_settlement() -> None:
    lines = [said("01 10:00", "AUTHORIZED", 1000), said("02 12:00", "SETTLED", 1000)]
    programs = [campaign(percent(100), hold_anchor="settled")]

    assert [e["timestamp"] for e in events(tell(programs, lines, until="20 00:00"))][
        -1
    ] == "2024-02-04T12:00:00Z"


def test_without_a_hold_a_settled_purchase_clears_at_once() -> None:
    result = tell([campaign(flat(5), hold_days=0)], [said("01 10:00", "SETTLED", 1000)])

    assert [(e["type"], e["timestamp"]) for e in events(result)] == [
        ("cashback.created", "2024-02-01T10:00:00Z"),
        ("cashback.cleared", "2024-02-01T10:00:00Z"),
    ]


def test_three_refunds_bring_the_reward_down_step_by_step() -> None:
    lines = [said("01 10:00", "SETTLED", 3333)]
    lines += [said(f"01 1{n}:00", "REFUNDED", 1111, str(n)) for n in (1, 2, 3)]

    result = tell([campaign(percent(150))], lines, until="28 00:00")

    assert story(result) == ["p#1 49 REFUNDED", "p#2 33 REFUNDED", "p#3 16 REFUNDED"]
    assert set(balances(result.cashbacks.values(), commission_bps=1000).values()) == {0}


def test_a_refund_never_raises_a_reward_at_a_cliff() -> None:
    lines = [said("01 10:00", "SETTLED", 2500), said("01 11:00", "REFUNDED", 600)]

    assert story(tell([campaign(tiers(200, 2000, 50))], lines)) == ["p#1 50 PENDING"]


def test_a_net_below_the_minimum_earns_nothing() -> None:
    lines = [said("01 10:00", "SETTLED", 1500), said("01 11:00", "REFUNDED", 500)]

    assert story(tell([campaign(percent(100), min_spend_minor=1001)], lines)) == ["p#1 15 REFUNDED"]


def test_a_refund_before_its_purchase_waits_and_joins() -> None:
    lines = [said("01 11:00", "REFUNDED", 400), said("01 10:00", "SETTLED", 1000)]

    parked = tell([campaign(percent(1000))], lines[:1])
    joined = tell([campaign(percent(1000))], lines)

    assert parked.counts["parked"] == 1
    assert not parked.decisions
    assert story(joined) == ["p#1 60 PENDING"]
    assert joined.counts["parked"] == 0


def test_what_was_parked_too_long_is_forgotten() -> None:
    early = said("01 10:00", "VOIDED")
    late = {**said("01 10:00", "SETTLED", 1000), "occurred_at": "2024-04-01T10:00:00Z"}

    assert story(recompute([campaign(percent(100))], [early, late])) == ["p#1 10 PENDING"]
    just_in_time = {**late, "occurred_at": "2024-04-01T09:59:59.999999Z"}
    assert words(recompute([campaign(percent(100))], [early, just_in_time])) == {"p": "TRANSACTION_VOID"}


def test_a_capture_that_differs_from_the_authorization_is_computed_again() -> None:
    lines = [said("01 10:00", "AUTHORIZED", 1000), said("01 12:00", "SETTLED", 800)]

    assert story(tell([campaign(percent(1000))], lines)) == ["p#1 100 RECOMPUTED", "p#2 80 PENDING"]


def test_an_authorization_that_is_never_settled_runs_out() -> None:
    lines = [said("01 10:00", "AUTHORIZED", 1000)]
    programs = [campaign(percent(1000), auth_expiry_days=3)]

    expired = tell(programs, lines, until="04 10:00")
    revived = tell(programs, [*lines, said("05 08:00", "SETTLED", 1000)])

    assert story(expired) == ["p#1 100 AUTH_EXPIRED"]
    assert [e["timestamp"] for e in events(expired)][-1] == "2024-02-04T10:00:00Z"
    assert story(revived) == ["p#1 100 AUTH_EXPIRED", "p#2 100 CLEARED"]
    assert [e["timestamp"] for e in events(revived)][-1] == "2024-02-05T08:00:00Z"


def test_another_authorization_does_not_wake_an_expired_one() -> None:
    lines = [said("01 10:00", "AUTHORIZED", 1000), said("05 10:00", "AUTHORIZED", 500, "more")]

    assert story(tell([campaign(flat(5), auth_expiry_days=3)], lines)) == ["p#1 5 AUTH_EXPIRED"]


def test_a_capture_after_clearing_brings_a_further_cashback() -> None:
    lines = [
        said("01 10:00", "AUTHORIZED", 3000),
        said("01 11:00", "SETTLED", 1000, "box 1"),
        said("05 10:00", "SETTLED", 2000, "box 2"),
    ]

    result = tell([campaign(percent(1000))], lines, until="06 00:00")

    assert story(result) == ["p#1 300 RECOMPUTED", "p#2 100 CLEARED", "p#3 200 CLEARED"]


def test_a_refund_after_clearing_opens_a_case_and_changes_nothing_else() -> None:
    lines = [
        said("01 10:00", "SETTLED", 1000),
        said("04 10:00", "REFUNDED", 300, "a"),
        said("04 11:00", "REFUNDED", 700, "b"),
        said("04 12:00", "SETTLED", 100, "c"),
    ]

    result = tell([campaign(percent(1000))], lines)

    assert story(result) == ["p#1 100 CLEARED"]
    (case,) = result.cases.values()
    assert (case.shortfall, case.revision, case.net_minor, case.cause) == (90, 3, 100, "SETTLED")
    assert tell([campaign(percent(1000))], lines[:2]).cases[case.cashback_transaction_id].shortfall == 30


def test_a_case_takes_the_latest_cleared_first() -> None:
    lines = [
        said("01 10:00", "SETTLED", 1000, "a"),
        said("04 10:00", "SETTLED", 2000, "b"),
        said("05 10:00", "REFUNDED", 2500),
    ]

    result = tell([campaign(percent(1000))], lines)

    shortfalls = {result.cashbacks[name].sequence: case.shortfall for name, case in result.cases.items()}
    assert shortfalls == {1: 50, 2: 200}


def test_a_void_is_for_good() -> None:
    lines = [
        said("01 10:00", "AUTHORIZED", 1000),
        said("01 11:00", "DECLINED"),
        said("01 12:00", "SETTLED", 1000),
    ]

    assert story(tell([campaign(percent(1000))], lines, until="20 00:00")) == ["p#1 100 DECLINED"]


def test_duplicates_and_conflicts_leave_no_trace() -> None:
    first = said("01 10:00", "SETTLED", 1000)
    lines = [
        first,
        {**first, "livemode": True},
        {**first, "amount_minor": 900},
        said("01 11:00", "REFUNDED", 1, currency="USD"),
    ]

    result = tell([campaign(percent(1000))], lines)

    assert story(result) == ["p#1 100 PENDING"]
    assert (result.counts["duplicate"], result.counts["conflict"]) == (1, 2)


def test_the_identity_of_a_conflict_stays_free() -> None:
    lines = [
        said("01 10:00", "REFUNDED", 500, merchant_id="elsewhere"),
        said("01 11:00", "SETTLED", 1000),
        said("01 12:00", "REFUNDED", 500),
    ]

    assert story(tell([campaign(percent(1000))], lines)) == ["p#1 100 REFUNDED", "p#2 50 PENDING"]


def test_ids_are_hashes_of_what_they_name() -> None:
    result = tell(
        [campaign(flat(5), hold_days=0)], [said("01 10:00", "SETTLED", 1000), said("01 11:00", "VOIDED")]
    )

    (cashback,) = result.cashbacks.values()
    assert cashback.transaction_id == "tx_faa927d3d7b4f2807add8339"
    assert cashback.cashback_transaction_id == "cbtx_3e8643cd56f17094ce0fe636"
    assert cashback.event_id("created") == "evt_2f79188fcf65c59bc39f71f7"
    assert cashback.event_id("cleared") == "evt_d052df282f3de8ba0e1e5fc0"
    assert cashback.event_id("reverted") == "evt_ac9b4dd63dd137de02f15b7a"
    assert result.cases[cashback.cashback_transaction_id].case_id == "rvc_af1904bc80ccf1db5c6e9103"


def test_test_traffic_has_its_own_purchases() -> None:
    line = said("01 10:00", "SETTLED", 1000)

    result = tell([campaign(flat(5))], [line, {**line, "livemode": False}])

    assert {c.transaction_id for c in result.cashbacks.values()} == {
        "tx_faa927d3d7b4f2807add8339",
        "tx_e2c4c05f4e1fabb6405abe75",
    }


def test_the_books_follow_each_transition() -> None:
    lines = [said("01 10:00", "SETTLED", 1099)]
    funding = Account("merchant:funding", "live:shop", "EUR")

    def booked(until: str) -> dict[Account, int]:
        cashbacks = tell([campaign(percent(1000))], lines, until=until).cashbacks.values()
        return {account: sum_ for account, sum_ in balances(cashbacks, commission_bps=1000).items() if sum_}

    assert booked("02 00:00") == {
        funding: -119,
        Account("member:pending", "live:bank:ann", "EUR"): 109,
        Account("commission:pending", "live:shop", "EUR"): 10,
    }
    assert booked("09 00:00") == {
        funding: -119,
        Account("member:wallet", "live:bank:ann", "EUR"): 109,
        Account("commission:revenue", "live:shop", "EUR"): 10,
    }


def test_bad_lines_are_named_and_do_not_move_the_clock() -> None:
    lines = [
        said("01 10:00", "SETTLED", 1000),
        said("09 10:00", "SETTLED", -1, "b"),
        said("09 10:00", "SETTLED", None, "c"),
        said("09 10:00", "REFUNDED", 5, currency="ZZZ"),
        {**said("09 10:00", "REFUNDED", 5), "occurred_at": "2024-02-09T10:00:00"},
        said("02 10:00", "REFUNDED", 1000),
    ]

    result = tell([campaign(percent(100))], lines)

    assert [place for place, _ in result.bad] == [1, 2, 3, 4]
    assert story(result) == ["p#1 10 REFUNDED"]
    assert result.counts["inputs"] == 6


def test_whole_file_and_each_member_alone_agree() -> None:
    """With the whole file's clock on every record it does not matter in which partition a purchase lies."""
    ann = said("01 10:00", "SETTLED", 1000)
    clocked = [
        ("2024-02-01T10:00:00Z", ann),
        ("2024-02-03T10:00:00Z", said("03 10:00", "SETTLED", 1000, member_id="ben")),
        ("2024-02-03T10:00:00Z", said("02 10:00", "REFUNDED", 1000)),
    ]
    programs = [campaign(percent(100))]

    whole = recompute(programs, [line for _, line in clocked])
    alone = recompute_log(programs, [item for item in clocked if item[1]["member_id"] == "ann"])

    assert story(alone) == ["p#1 10 CLEARED"]
    assert list(events(alone)) == [event for event in events(whole) if event["member_id"] == "ann"]


def test_in_one_log_what_is_due_comes_before_the_record_that_moved_the_clock() -> None:
    lines = [
        said("01 10:00", "SETTLED", 1000),
        said("03 10:00", "SETTLED", 1000, external_id="y"),
    ]

    order = [(e["type"], e["transaction_ref"]) for e in in_log_order(tell([campaign(percent(100))], lines))]

    assert order == [("cashback.created", "x"), ("cashback.cleared", "x"), ("cashback.created", "y")]
