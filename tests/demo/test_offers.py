"""The demo's airdrops and clips are the source's campaigns and coupons, and its programs fit them."""

import pytest

from ops.demo import source
from ops.demo.grocer import PROGRAMS_FILE
from ops.demo.offers import CLIPPED_BEFORE, campaigns, entitlements
from ops.demo.source import Year, grocery_year
from schemas.entitlements import AIRDROPPED, CLIPPED, Entitlement, from_json, to_json
from schemas.program_files import read_programs


@pytest.fixture(scope="module")
def year() -> Year:
    return grocery_year(None, 1)


@pytest.fixture(scope="module")
def found(year: Year) -> list[Entitlement]:
    return entitlements(year)


def test_every_mailing_and_every_redeemed_coupon_of_the_source_is_there(found: list[Entitlement]) -> None:
    mailings = source.read("campaigns", ["campaign_id"]).num_rows
    coupons = source.read("coupon_redemptions", ["campaign_id"]).num_rows
    assert sum(said.kind == AIRDROPPED for said in found) == mailings == 6_589
    assert sum(said.kind == CLIPPED for said in found) == coupons == 2_102
    assert len({said.id for said in found}) == len(found)


def test_all_of_them_are_good_entitlements_in_the_order_of_their_grant(found: list[Entitlement]) -> None:
    assert [from_json(to_json(said)) for said in found] == found
    times = [said.granted_at or 0 for said in found]
    assert times == sorted(times)


def test_a_coupon_is_clipped_an_hour_before_a_basket_of_its_household(
    year: Year, found: list[Entitlement]
) -> None:
    bought = {(source.member_of(basket.household_id), basket.bought_at) for basket in year.baskets}
    clips = [said for said in found if said.kind == CLIPPED]
    without = [
        said for said in clips if (said.member_id, (said.granted_at or 0) + CLIPPED_BEFORE) not in bought
    ]
    assert len(without) <= 5


def test_each_campaign_is_a_program_of_its_days_and_every_entitlement_has_its_program(
    found: list[Entitlement],
) -> None:
    programs = {program.program_id: program for program in read_programs(PROGRAMS_FILE).programs}
    airdrops = {name: program for name, program in programs.items() if program.type == "airdrop"}
    assert {name: (program.valid_from, program.valid_to) for name, program in airdrops.items()} == {
        campaign.program_id: (campaign.starts_at, campaign.ends_at) for campaign in campaigns().values()
    }
    types = {AIRDROPPED: "airdrop", CLIPPED: "deal"}
    assert {(said.kind, said.program_id) for said in found} == {
        (kind, name) for name, program in programs.items() for kind in types if program.type == types[kind]
    }


def test_a_household_s_entitlements_do_not_depend_on_the_others(found: list[Entitlement]) -> None:
    few = entitlements(grocery_year(40, 1))
    members = {said.member_id for said in few}
    assert [said for said in found if said.member_id in members] == few
