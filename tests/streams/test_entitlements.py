"""Clips and airdrops: when they count, which one a purchase goes by, when a clip is used up."""

import pytest

from tests.streams.told import Line, airdrop, campaign, clip, deal, payment, story, told, unclip, verdicts


@pytest.mark.parametrize(
    ("said", "decision"),
    [
        ([], "NOT_ENTITLED"),
        ([clip(at="02-01T10:00")], "REWARDED"),
        ([clip(at="02-01T10:01")], "NOT_ENTITLED"),
        ([clip(until="02-01T10:01")], "REWARDED"),
        ([clip(until="02-01T10:00")], "ENTITLEMENT_EXPIRED"),
        ([clip(), unclip(at="02-01T10:01")], "REWARDED"),
        ([clip(), unclip(at="02-01T10:00")], "NOT_ENTITLED"),
        ([unclip(at="01-15"), clip()], "NOT_ENTITLED"),
        ([clip(), unclip(at="01-15"), clip(at="01-16")], "REWARDED"),
        ([clip(until="01-20"), unclip(at="01-15")], "NOT_ENTITLED"),
        ([clip(until="01-15"), unclip(at="01-20")], "ENTITLEMENT_EXPIRED"),
        ([clip(program_id="another")], "NOT_ENTITLED"),
        ([clip(livemode=False)], "NOT_ENTITLED"),
        ([clip(member_id="ben")], "NOT_ENTITLED"),
        ([airdrop("c1", program_id="half-off")], "NOT_ENTITLED"),
    ],
)
def test_a_clip_counts_from_its_grant_until_expiry_or_revocation(said: list[Line], decision: str) -> None:
    result = told([deal()], [payment("SETTLED", 1000, "02-01T10:00")], entitlements=said)
    assert verdicts(result) == {"half-off": decision}


def test_the_clip_that_expires_first_is_used_then_the_older_then_the_smaller_id() -> None:
    said = [clip("d"), clip("c", until="03-01"), clip("b", "01-02", "02-20"), clip("a", until="02-20")]
    buys = [payment("SETTLED", 1000, f"02-0{day}", external_id=f"t{day}") for day in range(1, 6)]
    result = told([deal()], buys, entitlements=said)
    used = [event["source"] for event in result.events if event["type"] == "cashback.created"]
    assert used == [{"type": "clip", "clip_id": name} for name in "abcd"]
    assert result.decisions[-1]["decision"] == "NOT_ENTITLED"


def test_a_clip_is_used_up_until_its_reward_is_reverted_before_it_cleared() -> None:
    buys = [
        payment("SETTLED", 1000, "02-01", external_id="t1"),
        payment("SETTLED", 1000, "02-02", external_id="t2"),
        payment("REFUNDED", 1000, "02-03", external_id="t1"),
        payment("SETTLED", 1000, "02-04", external_id="t3"),
        payment("SETTLED", 1000, "02-05", external_id="t1", part_id="late"),
    ]
    result = told([deal(hold_days=14)], buys, entitlements=[clip()])
    assert story(result) == [
        "created 200 half-off#1 02-01",
        "reverted half-off#1 02-03",
        "created 200 half-off#1 02-04",
    ]
    assert [line["decision"] for line in result.decisions] == ["REWARDED", "NOT_ENTITLED", "REWARDED"]


def test_a_clip_does_not_come_back_once_its_reward_cleared_but_a_reusable_one_is_never_gone() -> None:
    buys = [
        payment("SETTLED", 1000, "02-01", external_id="t1"),
        payment("REFUNDED", 1000, "02-03", external_id="t1"),
        payment("SETTLED", 1000, "02-04", external_id="t2"),
    ]
    once = told([deal()], buys, entitlements=[clip()])
    again = told([deal(clip_reusable=True)], buys, entitlements=[clip()])
    assert [line["decision"] for line in once.decisions] == ["REWARDED", "NOT_ENTITLED"]
    assert [line["decision"] for line in again.decisions] == ["REWARDED", "REWARDED"]


def test_an_airdrop_is_passive_names_variant_and_creative_and_is_not_used_up() -> None:
    gift = campaign("gift", type="airdrop", reward={"type": "flat", "amount": 50}, hold_days=0)
    buys = [payment("SETTLED", 1000, f"02-0{day}", external_id=f"t{day}") for day in (1, 2)]
    result = told([gift], buys, entitlements=[airdrop()])
    created = [event for event in result.events if event["type"] == "cashback.created"]
    source = {"type": "airdrop", "airdrop_id": "a1", "variant_id": "var_1", "creative_id": "dc_1"}
    assert [event["source"] for event in created] == [source, source]


def test_a_deal_wins_over_an_airdrop_over_a_campaign() -> None:
    programs = [campaign(priority=9), deal(), campaign("gift", type="airdrop", priority=9)]
    result = told(programs, [payment("SETTLED", 1000, "02-01")], entitlements=[clip(), airdrop()])
    assert verdicts(result) == {"half-off": "REWARDED", "gift": "OUTRANKED", "one-percent": "OUTRANKED"}
    without_clip = told(programs, [payment("SETTLED", 1000, "02-01")], entitlements=[airdrop()])
    assert verdicts(without_clip)["gift"] == "REWARDED"


def test_a_change_of_the_amount_keeps_the_clip() -> None:
    reward = {"type": "percent", "bps": 1000}
    buys = [
        payment("SETTLED", 1000, "02-01", external_id="t1"),
        payment("REFUNDED", 400, "02-02", external_id="t1"),
        payment("SETTLED", 1000, "02-03", external_id="t2"),
    ]
    result = told([deal(hold_days=14, reward=reward)], buys, entitlements=[clip()])
    assert story(result) == [
        "created 100 half-off#1 02-01",
        "reverted half-off#1 02-02",
        "created 60 half-off#2 02-02",
    ]
    assert {event["source"]["clip_id"] for event in result.events if "source" in event} == {"c1"}


def test_a_waiting_pair_whose_clip_was_taken_meanwhile_is_not_entitled() -> None:
    buys = [
        payment("AUTHORIZED", 500, "02-01", external_id="t1"),
        payment("SETTLED", 1000, "02-02", external_id="t2"),
        payment("SETTLED", 1500, "02-03", external_id="t1"),
    ]
    result = told([deal(min_spend_minor=1000)], buys, entitlements=[clip()])
    words = [(line["transaction_ref"], line["decision"]) for line in result.decisions]
    assert words == [("t1", "BELOW_MIN_SPEND"), ("t2", "REWARDED"), ("t1", "NOT_ENTITLED")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({**clip(), "clip_id": None}, "clip_id: missing"),
        ({**clip(), "airdrop_id": "a"}, "airdrop_id: does not belong to CLIPPED"),
        (clip(until="01-01"), "expires_at: 2024-01-01T00:00:00Z is not after"),
        ({**clip(), "kind": "TAKEN"}, "kind: 'TAKEN' is not a kind"),
        ({**clip(), "colour": "red"}, "colour: unknown field"),
        ({**clip(), "granted_at": "soon"}, "granted_at: 'soon' is not a time"),
        ({**airdrop(), "variant_id": None}, "variant_id: missing"),
        (7, "line: not a JSON object"),
    ],
)
def test_a_bad_entitlement_is_named_by_its_field_and_stops_nothing(line: object, problem: str) -> None:
    from streams.simulate import simulate

    result = simulate([deal()], [payment("SETTLED", 1000, "02-01")], [line, clip("c2")])
    [bad] = result.bad
    assert (bad.source, bad.line) == ("entitlements", 1)
    assert str(bad.reason).startswith(problem)
    assert result.counts["CashbackCreated"] == 1


def test_a_repeated_grant_is_counted_and_one_with_other_content_is_a_conflict() -> None:
    result = told(
        [deal()], [payment("SETTLED", 1000, "02-01")], entitlements=[clip(), clip(), clip(until="01-20")]
    )
    assert result.counts["entitlement_repeated"] == 1
    [conflict] = result.conflicts
    assert conflict.line == 3
    assert verdicts(result) == {"half-off": "REWARDED"}
