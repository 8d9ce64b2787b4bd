"""The histories are sharp: each rule of the contract, bent a little, changes what some history leads to."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest

from ops.oracle import Recomputation, lives, recompute, standings, terms, verdicts
from ops.oracle.facts import Arrival, Fact
from ops.oracle.lives import Pair
from ops.oracle.standings import Standing
from ops.oracle.terms import Opening, Terms
from tests.histories import History, crowded_history, nasty_history

SEEDS = 1500

pay = terms.pay
version_at = terms.version_at
clearing_time = lives.clearing_time
standing = standings.standing
rank = verdicts.rank
review_cases = lives.review_cases


def rounded_up(reward: Any, basket: int) -> int:
    if reward["type"] == "percent" and basket > 0:
        amount = -(-basket * reward["bps"] // 10_000)
        return int(min(amount, reward.get("max_amount", amount)))
    return pay(reward, basket)


def bracket_ends_early(reward: Any, basket: int) -> int:
    if reward["type"] != "tiered" or basket <= 0:
        return pay(reward, basket)
    ends = [
        {**b, "up_to_minor": b["up_to_minor"] - 1} if "up_to_minor" in b else b for b in reward["brackets"]
    ]
    return pay({**reward, "brackets": ends}, basket)


def pays_for_nothing(reward: Any, basket: int) -> int:
    return int(reward["amount"]) if reward["type"] == "flat" else pay(reward, basket)


def earns_on_net_alone(self: Terms, *, net: int, gross: int) -> int:
    return self.pays(net)


def pays_below_the_minimum(self: Terms, basket: int) -> int:
    return pay(self.reward, basket)


def maximum_left_out(self: Terms, gross: int) -> bool:
    return self.min_spend <= gross and (self.max_spend is None or gross < self.max_spend)


def minimum_left_out(self: Terms, gross: int) -> bool:
    return self.min_spend < gross and (self.max_spend is None or gross <= self.max_spend)


def spends_forgotten_once_rewarded(pair: Pair, now: Standing) -> int:
    return 0 if now.void else pair.terms.earns(net=now.net, gross=now.gross)


def spends_always_looked_at(pair: Pair, now: Standing) -> int:
    fits = not now.void and verdicts.spend_fits(pair.terms, now.gross)
    return pair.terms.earns(net=now.net, gross=now.gross) if fits else 0


def clears_before_created(pair: Pair, created_at: int) -> int | None:
    return clearing_time(pair, 0)


def hold_a_second_short(pair: Pair, created_at: int) -> int | None:
    shorter = replace(pair, terms=replace(pair.terms, hold_us=pair.terms.hold_us - 1_000_000))
    return clearing_time(shorter, created_at)


def anchors_swapped(pair: Pair, created_at: int) -> int | None:
    other = replace(pair, terms=replace(pair.terms, settled_anchor=not pair.terms.settled_anchor))
    return clearing_time(other, created_at)


def never_expired(*_: Any) -> bool:
    return False


def captures_add_to_authorizations(facts: Sequence[Fact], latest: Arrival) -> Standing:
    gross = sum(f.amount_minor or 0 for f in facts if f.kind in ("AUTHORIZED", "SETTLED"))
    return standing(facts, latest)._replace(gross=gross)


def settled_at_the_first_capture(facts: Sequence[Fact], latest: Arrival) -> Standing:
    first = min((f.occurred_at for f in facts if f.kind == "SETTLED"), default=None)
    return standing(facts, latest)._replace(settled_at=first)


def void_until_the_next_capture(facts: Sequence[Fact], latest: Arrival) -> Standing:
    return standing(facts, latest)._replace(void=latest.fact.kind in ("VOIDED", "DECLINED"))


def lower_version_on_a_tie(versions: list[Terms], at: int) -> tuple[Terms, bool]:
    begun = [v for v in versions if v.effective_from <= at]
    if begun:
        return max(begun, key=lambda v: (v.effective_from, -v.version)), True
    return version_at(versions, at)


def newest_version(versions: list[Terms], at: int) -> tuple[Terms, bool]:
    return max(versions, key=lambda v: v.version), version_at(versions, at)[1]


def night_belongs_to_its_morning(self: Opening, day: Any) -> bool:
    return True


def cases_on_the_earliest(pair: Pair, earned: int) -> None:
    pair.cashbacks.reverse()
    review_cases(pair, earned)
    pair.cashbacks.reverse()


def rank_turned(place: int) -> Callable[[Terms, int], tuple[Any, ...]]:
    """The ranking with one of its steps the other way round."""

    def ranked(candidate: Terms, gross: int) -> tuple[Any, ...]:
        full = list(rank(candidate, gross))
        step = full[place]
        full[place] = [-ord(letter) for letter in step] if isinstance(step, str) else -step
        return tuple(full)

    return ranked


BENT: list[tuple[Any, str, Any]] = [
    (terms, "pay", rounded_up),
    (terms, "pay", bracket_ends_early),
    (terms, "pay", pays_for_nothing),
    (Terms, "earns", earns_on_net_alone),
    (Terms, "pays", pays_below_the_minimum),
    (verdicts, "spend_fits", maximum_left_out),
    (verdicts, "spend_fits", minimum_left_out),
    (lives, "reward", spends_forgotten_once_rewarded),
    (lives, "reward", spends_always_looked_at),
    (lives, "clearing_time", clears_before_created),
    (lives, "clearing_time", hold_a_second_short),
    (lives, "clearing_time", anchors_swapped),
    (lives, "is_expired", never_expired),
    (lives, "review_cases", cases_on_the_earliest),
    (standings, "standing", captures_add_to_authorizations),
    (standings, "standing", settled_at_the_first_capture),
    (standings, "standing", void_until_the_next_capture),
    (terms, "version_at", lower_version_on_a_tie),
    (terms, "version_at", newest_version),
    (Opening, "_runs", night_belongs_to_its_morning),
    *((verdicts, "rank", rank_turned(place)) for place in range(1, 6)),
]


@cache
def truth(seed: int) -> tuple[History, Recomputation]:
    maker = crowded_history if seed % 2 else nasty_history
    history = maker(Random(seed))
    return history, recompute(history.programs, history.transactions, until=history.until)


@pytest.mark.parametrize(("where", "name", "bent"), BENT, ids=lambda value: getattr(value, "__name__", None))
def test_a_bent_rule_shows(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, bent: Any) -> None:
    straight = [truth(seed) for seed in range(SEEDS)]
    monkeypatch.setattr(where, name, bent)

    assert any(_differs(history, right) for history, right in straight)


def test_parking_a_day_longer_shows() -> None:
    assert any(_differs(*truth(seed), parked_days=61) for seed in range(SEEDS))


def _differs(history: History, right: Recomputation, parked_days: int = 60) -> bool:
    wrong = recompute(history.programs, history.transactions, until=history.until, parked_days=parked_days)
    return (wrong.cashbacks, wrong.cases) != (right.cashbacks, right.cases)
