"""The demo's year: the totals are the source's, what is made up is drawn from the seed alone."""

from collections import Counter, defaultdict

import pyarrow.compute as pc
import pytest

from ops.demo import grocer, source
from ops.demo.grocer import PROGRAMS_FILE, Payments, payments
from ops.demo.source import Year, grocery_year
from schemas.entitlements import Entitlement
from schemas.program_files import read_programs
from schemas.times import DAY
from schemas.transactions import Transaction

SEED = 7


@pytest.fixture(scope="module")
def year() -> Year:
    return grocery_year(100, SEED)


@pytest.fixture(scope="module")
def made(year: Year) -> Payments:
    return payments(year)


def test_all_baskets_and_cents_of_the_source_are_there() -> None:
    whole = grocery_year(None, SEED)
    lines = source.read("transactions", ["basket_id", "household_id", "sales_value"])
    assert len(whole.baskets) == pc.count_distinct(lines["basket_id"]).as_py()
    assert whole.households == pc.count_distinct(lines["household_id"]).as_py()
    dollars = pc.sum(lines["sales_value"]).as_py()
    assert sum(basket.total_minor for basket in whole.baskets) == round(dollars * 100)


def test_every_basket_is_authorized_and_settled_once_for_its_total(year: Year, made: Payments) -> None:
    identities = defaultdict(set)
    for payment in made.transactions:
        identities[payment.kind].add((payment.external_id, payment.amount_minor))
    baskets = {(f"basket-{basket.basket_id}", basket.total_minor) for basket in year.baskets}
    assert identities["AUTHORIZED"] == identities["SETTLED"] == baskets


def test_the_same_seed_makes_the_same_payments_and_another_seed_others(year: Year, made: Payments) -> None:
    assert payments(grocery_year(100, SEED)) == made
    assert payments(Year(year.baskets, year.households, SEED + 1)).transactions != made.transactions


def test_a_household_s_year_does_not_depend_on_the_others(made: Payments) -> None:
    few = payments(grocery_year(10, SEED)).transactions
    members = {payment.member_id for payment in few}
    assert [payment for payment in made.transactions if payment.member_id in members] == few


def test_about_as_many_are_returned_late_and_repeated_as_announced(year: Year, made: Payments) -> None:
    baskets = len(year.baskets)
    assert made.refunds == pytest.approx(baskets * grocer.REFUNDED_SHARE, rel=0.2)
    assert made.late == pytest.approx(2 * baskets * grocer.LATE_SHARE, rel=0.2)
    assert made.repeated == len(made.transactions) - len(set(made.transactions))
    assert made.repeated == pytest.approx(len(made.transactions) * grocer.REPEATED_SHARE, rel=0.2)
    assert made.overtaking > 0


def test_refunds_are_partial_or_full_and_some_come_before_their_purchase(made: Payments) -> None:
    bought: dict[str, Transaction] = {}
    overtaking = full = partial = 0
    totals = {
        payment.external_id: payment.amount_minor
        for payment in made.transactions
        if payment.kind == "SETTLED"
    }
    for payment in dict.fromkeys(made.transactions):
        if payment.kind != "REFUNDED":
            bought.setdefault(payment.external_id, payment)
            continue
        overtaking += payment.external_id not in bought
        assert 0 < (payment.amount_minor or 0) <= (totals[payment.external_id] or 0)
        full += payment.amount_minor == totals[payment.external_id]
        partial += payment.amount_minor != totals[payment.external_id]
    assert overtaking == made.overtaking
    assert full
    assert partial > full


def test_what_entitles_arrives_before_what_is_bought_by_it(made: Payments) -> None:
    grants: defaultdict[str, list[int]] = defaultdict(list)
    for said in made.entitlements:
        grants[said.member_id].append(said.granted_at or 0)
    arrived: Counter[str] = Counter()
    for arrival in made.in_order():
        if isinstance(arrival, Entitlement):
            arrived[arrival.member_id] += 1
        else:
            member = arrival.member_id
            assert arrived[member] >= sum(at <= arrival.occurred_at for at in grants[member])
    assert arrived.total() == len(made.entitlements) > 0


def test_every_hold_is_over_when_the_clock_stops(year: Year, made: Payments) -> None:
    programs = read_programs(PROGRAMS_FILE)
    assert programs.faults == []
    hold = max(program.hold_days for program in programs.programs) * DAY
    last = max(payment.occurred_at for payment in made.transactions)
    assert last < grocer.UNTIL
    assert max(basket.bought_at for basket in year.baskets) + hold < grocer.UNTIL
