"""Clips and airdrops, worked by hand."""

import pytest

from ops.oracle import in_log_order, recompute, recompute_log
from tests.oracle.phrases import (
    Line,
    airdrop,
    airdropped,
    answers,
    bought,
    campaign,
    clipped,
    deal,
    flat,
    logged,
    loyalty,
    percent,
    said,
    story,
    tales,
    tell,
    unclipped,
    words,
)

ONE_PURCHASE = [said("01 10:00", "SETTLED", 1000)]
A_LITTLE_LATER = "2024-02-01T10:00:00.000001Z"


@pytest.mark.parametrize(
    ("entitlements", "decision"),
    [
        ([], "NOT_ENTITLED"),
        ([clipped("c", "01 10:00")], "REWARDED"),
        ([clipped("c", "01 10:00", granted_at=A_LITTLE_LATER)], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00", "01 10:00")], "ENTITLEMENT_EXPIRED"),
        ([clipped("c", "01 08:00", expires_at=A_LITTLE_LATER)], "REWARDED"),
        ([clipped("c", "01 08:00"), unclipped("c", "01 10:00")], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00"), unclipped("c", "01 10:00", revoked_at=A_LITTLE_LATER)], "REWARDED"),
        ([unclipped("c", "01 08:00"), clipped("c", "01 08:00")], "REWARDED"),
        ([unclipped("c", "01 07:59"), clipped("c", "01 08:00")], "REWARDED"),
        ([unclipped("c", "01 08:01"), clipped("c", "01 08:00")], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00"), unclipped("other", "01 08:01")], "REWARDED"),
        ([clipped("c", "01 08:00", "01 09:00"), unclipped("c", "01 08:59")], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00", "01 09:00"), unclipped("c", "01 09:00")], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00", "01 09:00"), unclipped("c", "01 09:01")], "ENTITLEMENT_EXPIRED"),
        ([clipped("c", "01 08:00", "01 09:00"), clipped("c", "01 09:30")], "REWARDED"),
        ([clipped("c", "01 08:00", program_id="other")], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00", member_id="ben")], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00", partner_id="wallet")], "NOT_ENTITLED"),
        ([clipped("c", "01 08:00", livemode=False)], "NOT_ENTITLED"),
        ([airdropped("c", "01 08:00", program_id="d")], "NOT_ENTITLED"),
    ],
)
def test_a_clip_counts_from_its_grant_to_its_expiry_or_end(entitlements: list[Line], decision: str) -> None:
    assert words(tell([deal(flat(5))], ONE_PURCHASE, entitlements=entitlements)) == {"d": decision}


def test_the_filters_come_first_and_the_new_member_after_the_entitlement() -> None:
    programs = [
        deal(flat(5), "d1", channels=["IN_STORE"]),
        deal(flat(5), "d2", new_members_only=True, min_spend_minor=5000),
        deal(flat(5), "d", min_spend_minor=5000),
    ]
    lines = [bought("01 09:00", "w"), *ONE_PURCHASE]

    result = tell(programs, lines, entitlements=[clipped("c", "01 08:00")])

    assert {p: answers(result, p)["x"] for p in ("d1", "d2", "d")} == {
        "d1": "CHANNEL_MISMATCH",
        "d2": "NOT_ENTITLED",
        "d": "BELOW_MIN_SPEND",
    }


def test_a_clip_is_used_up_by_its_first_purchase() -> None:
    lines = [bought("01 10:00", "x"), bought("01 11:00", "y")]

    result = tell([deal(flat(5))], lines, entitlements=[clipped("c", "01 08:00", "02 08:00")])

    assert tales(result) == ["x d#1 5 PENDING"]
    assert answers(result, "d") == {"x": "REWARDED", "y": "NOT_ENTITLED"}
    used_up = tell(
        [deal(flat(5))],
        [*lines, bought("03 10:00", "z")],
        entitlements=[clipped("c", "01 08:00", "02 08:00")],
    )
    assert answers(used_up, "d")["z"] == "NOT_ENTITLED"


def test_a_clip_comes_back_when_its_cashback_is_reverted_but_not_by_another_amount() -> None:
    lines = [
        bought("01 10:00", "x", kind="AUTHORIZED"),
        bought("01 11:00", "x", 800),
        bought("01 12:00", "y"),
        bought("01 13:00", "x", 800, "REFUNDED"),
        bought("01 14:00", "z"),
    ]

    result = tell([deal(percent(1000))], lines, entitlements=[clipped("c", "01 08:00")])

    assert tales(result) == ["x d#1 100 RECOMPUTED", "x d#2 80 REFUNDED", "z d#1 100 PENDING"]
    assert answers(result, "d")["y"] == "NOT_ENTITLED"


def test_a_clip_does_not_come_back_once_its_cashback_cleared() -> None:
    lines = [bought("01 10:00", "x"), bought("04 10:00", "x", 1000, "REFUNDED"), bought("04 11:00", "y")]

    result = tell([deal(flat(5))], lines, entitlements=[clipped("c", "01 08:00")])

    assert answers(result, "d") == {"x": "REWARDED", "y": "NOT_ENTITLED"}
    assert len(result.cases) == 1


def test_a_clip_of_an_expired_authorization_serves_another_and_is_missed_when_it_settles() -> None:
    programs = [deal(flat(5), auth_expiry_days=1)]
    late = [bought("01 10:00", "x", kind="AUTHORIZED"), bought("03 10:00", "x")]
    between = bought("02 11:00", "y")

    alone = tell(programs, late, entitlements=[clipped("c", "01 08:00")])
    taken = tell(programs, [late[0], between, late[1]], entitlements=[clipped("c", "01 08:00")])
    given_back = tell(
        programs,
        [
            late[0],
            between,
            late[1],
            bought("03 11:00", "y", 1000, "REFUNDED"),
            bought("03 12:00", "x", 1, part_id="2"),
        ],
        entitlements=[clipped("c", "01 08:00")],
    )

    assert tales(alone) == ["x d#1 5 AUTH_EXPIRED", "x d#2 5 CLEARED"]
    assert tales(taken) == ["x d#1 5 AUTH_EXPIRED", "y d#1 5 PENDING"]
    assert answers(taken, "d") == {"x": "REWARDED", "y": "REWARDED"}
    assert tales(given_back) == ["x d#1 5 AUTH_EXPIRED", "x d#2 5 CLEARED", "y d#1 5 REFUNDED"]


def test_a_pair_that_waits_holds_no_clip_and_waits_no_more_when_it_is_taken() -> None:
    lines = [
        bought("01 10:00", "x", 100, "AUTHORIZED", part_id="1"),
        bought("01 11:00", "y"),
        bought("01 12:00", "x", 1000, "AUTHORIZED", part_id="2"),
        bought("01 13:00", "y", 1000, "REFUNDED"),
        bought("01 14:00", "x", 1000, "AUTHORIZED", part_id="3"),
    ]

    result = tell([deal(flat(5), min_spend_minor=500)], lines, entitlements=[clipped("c", "01 08:00")])

    assert tales(result) == ["y d#1 5 REFUNDED"]
    assert answers(result, "d")["x"] == "NOT_ENTITLED"


def test_a_clip_that_ended_meanwhile_still_serves_the_pair_that_has_it() -> None:
    lines = [
        bought("01 10:00", "x", 100, "AUTHORIZED", part_id="1"),
        bought("03 12:00", "x", 1000, "AUTHORIZED", part_id="2"),
    ]
    ended = [clipped("c", "01 08:00", "02 08:00"), unclipped("c", "02 07:00")]

    assert story(tell([deal(flat(5), min_spend_minor=500)], lines, entitlements=ended)) == ["d#1 5 PENDING"]


def test_of_several_clips_the_first_to_go_is_used_then_the_oldest_then_the_least_id() -> None:
    clips = [
        clipped("never", "01 08:00"),
        clipped("later", "01 08:00", "09 08:00"),
        clipped("b", "01 08:00", "05 08:00"),
        clipped("a", "01 08:00", "05 08:00"),
        clipped("z", "01 07:00", "05 08:00"),
    ]
    lines = [bought(f"01 1{hour}:00", str(hour)) for hour in range(6)]

    result = tell([deal(flat(5))], lines, entitlements=clips)

    used = {c.transaction_ref: c.source["clip_id"] for c in result.cashbacks.values()}
    assert used == {"0": "z", "1": "a", "2": "b", "3": "later", "4": "never"}
    assert answers(result, "d")["5"] == "NOT_ENTITLED"


def test_a_reusable_clip_and_an_airdrop_are_never_used_up() -> None:
    programs = [deal(flat(5), clip_reusable=True), airdrop(flat(3), stackable=True)]
    lines = [bought("01 10:00", "x"), bought("01 11:00", "y")]

    result = tell(programs, lines, entitlements=[clipped("c", "01 08:00"), airdropped("g", "01 08:00")])

    assert tales(result) == [
        *("x a#1 3 PENDING", "x d#1 5 PENDING"),
        *("y a#1 3 PENDING", "y d#1 5 PENDING"),
    ]


def test_a_clip_used_up_under_an_old_version_is_used_up_for_a_reusable_one() -> None:
    programs = [
        deal(flat(5)),
        deal(flat(5), version=2, effective_from="2024-02-01T10:30:00Z", clip_reusable=True),
    ]
    lines = [bought("01 10:00", "x"), bought("01 11:00", "y")]

    result = tell(programs, lines, entitlements=[clipped("c", "01 08:00")])

    assert answers(result, "d") == {"x": "REWARDED", "y": "NOT_ENTITLED"}


def test_a_deal_outranks_an_airdrop_and_an_airdrop_a_campaign() -> None:
    programs = [campaign(flat(900), priority=9), airdrop(flat(50), priority=5), deal(flat(1))]
    airdrops = [airdropped("g", "01 08:00")]

    both = tell(programs, ONE_PURCHASE, entitlements=[*airdrops, clipped("c", "01 08:00")])
    one = tell(programs, ONE_PURCHASE, entitlements=airdrops)

    assert words(both) == {"a": "OUTRANKED", "d": "REWARDED", "p": "OUTRANKED"}
    assert words(one) == {"a": "REWARDED", "d": "NOT_ENTITLED", "p": "OUTRANKED"}


def test_the_source_is_written_as_in_the_seed() -> None:
    programs = [
        airdrop(flat(1), stackable=True),
        deal(flat(1), stackable=True),
        campaign(flat(1), stackable=True),
        loyalty(flat(1), "l", threshold_count=1, external_id="ours"),
        loyalty(flat(1), "m", threshold_count=1),
    ]

    result = tell(
        programs, ONE_PURCHASE, entitlements=[clipped("c", "01 08:00"), airdropped("g", "01 08:00")]
    )

    assert [list(event["source"].items()) for event in in_log_order(result)] == [
        [("type", "airdrop"), ("airdrop_id", "g"), ("variant_id", "v"), ("creative_id", "c")],
        [("type", "clip"), ("clip_id", "c")],
        [
            ("type", "loyalty-program-redemption"),
            ("loyalty_program_id", "l"),
            ("redemption_id", "lpr_6ab495ea995e5d0a95668c38"),
            ("external_id", "ours"),
        ],
        [
            ("type", "loyalty-program-redemption"),
            ("loyalty_program_id", "m"),
            ("redemption_id", "lpr_d7ca5eb39de3686500009091"),
        ],
        [("type", "campaign"), ("campaign_id", "p")],
    ]


def test_repeated_and_contradicting_entitlements_are_counted_and_the_first_stands() -> None:
    grant = clipped("c", "01 08:00")
    lines = [
        grant,
        {**grant, "livemode": True, "expires_at": None},
        clipped("c", "01 08:00", "01 09:00"),
        unclipped("c", "01 11:00"),
        unclipped("c", "01 11:00", program_id="ignored"),
    ]

    result = tell([deal(flat(5))], ONE_PURCHASE, entitlements=lines)

    counts = result.counts
    assert (counts["entitlement"], counts["entitlement_repeated"], counts["entitlement_conflict"]) == (
        2,
        2,
        1,
    )
    assert words(result) == {"d": "REWARDED"}
    assert counts["inputs"] == 6


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "GRANTED"},
        {"clip_id": None},
        {"clip_id": ""},
        {"program_id": None},
        {"granted_at": None},
        {"granted_at": "2024-02-01T08:00:00"},
        {"granted_at": "1999-12-31T23:59:59Z"},
        {"expires_at": "2024-02-01T08:00:00Z"},
        {"revoked_at": "2024-02-01T09:00:00Z"},
        {"variant_id": "v"},
        {"partner_id": "a:b"},
        {"livemode": "yes"},
        {"more": None},
    ],
)
def test_a_bad_entitlement_is_named_and_the_rest_goes_on(wrong: Line) -> None:
    lines = [{**clipped("b", "01 08:00"), **wrong}, clipped("c", "01 08:00")]

    result = tell([deal(flat(5))], ONE_PURCHASE, entitlements=lines)

    assert [place for place, _ in result.bad_entitlements] == [0]
    assert (result.counts["entitlement_bad"], result.counts["bad"]) == (1, 0)
    assert [c.source["clip_id"] for c in result.cashbacks.values()] == ["c"]


def test_in_a_log_only_what_lies_before_the_judging_counts() -> None:
    grant, purchase = clipped("c", "01 08:00"), bought("01 10:00", "x", 100)

    before = recompute_log([deal(flat(5))], logged(grant, purchase))
    after = recompute_log(
        [deal(flat(5))], logged(purchase, grant, bought("01 11:00", "x", 5000, part_id="2"))
    )
    end_after = recompute_log([deal(flat(5))], logged(grant, purchase, unclipped("c", "01 09:00")))

    assert words(before) == words(end_after) == {"d": "REWARDED"}
    assert words(after) == {"d": "NOT_ENTITLED"}
    assert before.fates == {0: "entitlement", 1: "judged"}
    assert words(recompute([deal(flat(5))], [purchase], entitlements=[grant])) == {"d": "REWARDED"}
