"""What moves between two judgements: by program, member and merchant, and how it falls on members."""

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.compare import charts, words
from ops.compare.judged import Earned, Files, Judged, judge
from ops.compare.movement import BUCKETS_MAX, SPREAD_MIN, Moved, Movement, Spread, movement
from ops.compare.page import page
from ops.compare.table import as_json
from ops.settings import Settings
from schemas.money import POINTS, amount_text
from schemas.programs import parse_program
from tests.streams.told import campaign, clip, deal, payment

JANUARY = 1_704_067_200_000_000


def earned(purchase: int, amount: int, program: str = "p", member: str = "ann", asset: str = "EUR") -> Earned:
    return Earned(program, f"bank:{member}", "grocer", f"tx{purchase}", asset, amount, amount // 10, JANUARY)


def judged(*cashbacks: Earned, members: int = 10) -> Judged:
    return Judged(list(cashbacks), purchases=20, members=members, first_at=JANUARY, last_at=JANUARY)


def moved(old: Sequence[Earned], new: Sequence[Earned]) -> Movement:
    return movement(judged(*old), judged(*new))


def one(lines: Sequence[Moved], name: str) -> Moved:
    return next(line for line in lines if line.name == name)


def test_reward_commission_and_purchases_are_told_by_program() -> None:
    both = moved(
        [earned(1, 100), earned(2, 50), earned(2, 70, "q")],
        [earned(1, 130), earned(3, 10), earned(2, 9, "r")],
    )
    p, q, r = (one(both.programs, name) for name in "pqr")
    assert (p.old_reward, p.new_reward, p.difference, p.commission_difference) == (150, 140, -10, -1)
    assert (p.old_cashbacks, p.new_cashbacks, p.beginning, p.ceasing) == (2, 2, 1, 1)
    assert (q.difference, q.ceasing, r.difference, r.beginning) == (-70, 1, 9, 1)
    assert [line.name for line in both.programs] == ["q", "p", "r"]
    total = both.totals[0]
    # The purchase that one program left and another took neither begins nor ceases to earn.
    assert (total.difference, total.beginning, total.ceasing) == (-71, 1, 0)


def test_assets_are_never_added_up_and_points_come_last() -> None:
    both = moved([earned(1, 100, asset=POINTS)], [earned(1, 100), earned(1, 300, asset=POINTS)])
    assert [(total.asset, total.difference) for total in both.totals] == [("EUR", 100), (POINTS, 200)]
    assert both.assets == ["EUR", POINTS]


def test_members_who_earn_under_neither_see_no_change() -> None:
    both = moved([earned(1, 100), earned(2, 5, member="ben")], [earned(1, 300), earned(2, 1, member="ben")])
    spread = both.spreads["EUR"]
    assert (spread.gaining, spread.losing, spread.unchanged) == (1, 1, 8)
    assert (spread.median_gain, spread.median_loss) == (200, 4)


@given(st.dictionaries(st.integers(0, 60), st.integers(-(10**6), 10**6), max_size=60))
def test_every_member_who_gains_or_loses_lies_in_exactly_one_bucket(differences: dict[int, int]) -> None:
    old = [earned(n, 2 * 10**6, member=str(n)) for n in differences]
    new = [earned(n, 2 * 10**6 + change, member=str(n)) for n, change in differences.items()]
    spread = moved(old, new).spreads.get("EUR")
    changed = [change for change in differences.values() if change]
    buckets = spread.buckets if spread else []
    assert len(buckets) <= BUCKETS_MAX
    for bucket in buckets:
        low = -(10**9) if bucket.low is None else bucket.low
        high = 10**9 if bucket.high is None else bucket.high
        assert bucket.members == sum(low <= change < high for change in changed)
    assert sum(bucket.members for bucket in buckets) == (len(changed) if len(changed) >= SPREAD_MIN else 0)


@given(st.integers(0, 10**14))
def test_ticks_begin_at_nothing_and_reach_the_largest(largest: int) -> None:
    ticks = charts.tick_values(largest)
    assert ticks[0] == 0
    assert ticks[-1] >= largest
    assert 2 <= len(ticks) <= 6


@pytest.mark.parametrize(
    ("value", "asset", "sign", "text"),
    [
        (123_456, "EUR", False, "1,234.56"),
        (-5, "EUR", True, "-0.05"),
        (7, "EUR", True, "+0.07"),
        (0, "EUR", True, "0.00"),
        (1_234, POINTS, True, "+1,234"),
    ],
)
def test_amounts_read_as_people_write_them(value: int, asset: str, sign: bool, text: str) -> None:
    assert amount_text(value, asset, sign=sign) == text


def test_the_sentences_say_more_less_and_as_much() -> None:
    more = Moved("EUR", "all", old_reward=10_000, new_reward=12_500)
    assert words.sentence(more).endswith("instead of 100.00 EUR: 25.00 EUR more (+25.0 %).")
    assert "25.00 EUR less (-20.0 %)" in words.sentence(Moved("EUR", "all", 12_500, 10_000))
    assert "as much as before" in words.sentence(Moved("EUR", "all", 1, 1))
    spread = Spread(gaining=1, losing=2, unchanged=3, median_gain=5, median_loss=7)
    assert words.members(spread, "EUR") == (
        "1 member would gain 0.05 EUR, 2 would lose (half of them at most 0.07 EUR), 3 would see no change."
    )
    assert words.sentence(Moved(POINTS, "all", 0, 50)).endswith("instead of 0 points: 50 points more.")


def test_a_history_is_judged_without_what_is_reverted_or_not_live(tmp_path: Path) -> None:
    lines = [
        payment("SETTLED", 10_000, "02-01"),
        payment("SETTLED", 20_000, "02-02", external_id="t2"),
        payment("REFUNDED", 20_000, "02-03", external_id="t2"),
        payment("SETTLED", 30_000, "02-04", external_id="t3", livemode=False),
        payment("SETTLED", 40_000, "02-05", external_id="t4", member_id="ben"),
        {"kind": "SETTLED"},
    ]
    transactions, entitlements = tmp_path / "t.jsonl", tmp_path / "e.jsonl"
    transactions.write_text("\n".join(map(json.dumps, lines)))
    entitlements.write_text(json.dumps(clip(at="01-15")))
    programs = [parse_program(campaign()), parse_program(deal())]
    found = judge(Files(transactions, entitlements), programs, Settings(commission_bps=1_000))
    assert sorted((each.program_id, each.member, each.amount, each.commission) for each in found.earned) == [
        ("half-off", "bank:ann", 200, 20),
        ("one-percent", "bank:ben", 400, 40),
    ]
    assert (found.purchases, found.members, found.test_cashbacks) == (3, 2, 1)
    assert [sentence.split(": ")[0] for sentence in found.complaints] == [f"{transactions}:6"]


class _Tags(HTMLParser):
    """Which tags stay open, and what the page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.reaching: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.reaching += [tag] if tag in ("script", "link", "img") or named.keys() & {"src", "href"} else []
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_whole_names_are_escaped_and_nothing_is_fetched() -> None:
    both = moved(
        [earned(1, 100, "<b>&p"), earned(2, 9, asset=POINTS)],
        [earned(1, 150, "<b>&p"), earned(3, 10, "q", "ben"), earned(2, 7, asset=POINTS)],
    )
    text = page(both, old_name="old<1>.yaml", new_name="new.yaml")
    tags = _Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.reaching == []
    assert len(tags.ids) == len(set(tags.ids))
    assert "<b>&p" not in text
    assert "&lt;b&gt;&amp;p" in text
    for chart in text.split("<svg")[1:]:
        figure = ElementTree.fromstring("<svg" + chart.split("</svg>")[0] + "</svg>")
        assert figure.find("title") is not None
        assert (figure.findtext("desc") or "") != ""


def test_the_page_of_nothing_says_so() -> None:
    text = page(moved([], []), old_name="a", new_name="b")
    assert "Nothing is earned under either." in text


def test_the_json_object_has_every_difference() -> None:
    found = as_json(moved([earned(1, 100)], [earned(1, 150)]))
    json.dumps(found)
    assert found["totals"][0]["difference"] == found["programs"][0]["difference"] == 50
    assert [line["name"] for line in found["top_members"]] == ["bank:ann"]
    assert found["spreads"]["EUR"]["gaining"] == 1
