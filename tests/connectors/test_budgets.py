"""The keeper's fold, and what follows from it for whoever spends: never over, and hardly anything left."""

from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from connectors.budgets import BudgetId, Datum, Keeper
from tests.connectors.leases import PROGRAM, Figures, Purchase, World
from tests.laws.profiles import law

DAYS = ("2026-03-28", "2026-03-29")
SCOPES = ("total", *DAYS)
PURCHASES_TO_EXHAUST = 200
TOTAL = BudgetId(PROGRAM, True, "total")


def request(**changed: Any) -> Datum:
    """A request of partition 0 for ten of a hundred."""
    asked = {"partition": 0, "number": 1, "figure": 100, "wanted": 10, "returned": 0}
    return {"program_id": PROGRAM, "livemode": True, "scope": "total", **asked, **changed}


def answers(*requests: Datum) -> list[tuple[int, int, int, bool, int]]:
    """Partition, number, amount, closed, reopening of every answer to these."""
    keeper = Keeper()
    fields = ("partition", "number", "amount", "closed", "reopening")
    return [tuple(grant[name] for name in fields) for each in requests for grant in keeper.fold(each)]


def test_who_asks_first_is_served_first_and_the_last_one_gets_what_is_left() -> None:
    given_out = answers(request(wanted=60), request(partition=1, wanted=50), request(partition=2, wanted=1))
    assert given_out == [(0, 1, 60, False, 0), (1, 1, 40, True, 0), (2, 1, 0, True, 0)]


def test_each_mode_and_each_day_is_a_budget_of_its_own() -> None:
    given_out = answers(
        request(wanted=100), request(wanted=100, livemode=False), request(wanted=100, scope=DAYS[0])
    )
    assert [(amount, closed) for _, _, amount, closed, _ in given_out] == [(100, False)] * 3


def test_a_repetition_changes_nothing_and_is_not_answered() -> None:
    first, second = request(wanted=60), request(number=2, wanted=0, returned=20)
    keeper = Keeper()
    for each in (first, second, first, second):
        keeper.fold(each)
    assert keeper.budgets[TOTAL].granted == 40
    assert keeper.counts == {"granted": 1, "returned": 1, "repeated": 2}


def test_what_comes_back_opens_a_closed_budget_once_for_each_partition_that_was_refused() -> None:
    given_out = answers(
        request(wanted=100),
        request(partition=2, wanted=5),
        request(partition=1, wanted=5),
        request(number=2, wanted=0, returned=30),
        request(number=3, wanted=0, returned=30),
        request(partition=1, number=2, wanted=70),
    )
    assert given_out[1:] == [
        (2, 1, 0, True, 0), (1, 1, 0, True, 0), (1, 0, 0, False, 1), (2, 0, 0, False, 1), (1, 2, 60, True, 1)
    ]  # fmt: skip


def test_a_little_that_comes_back_opens_nothing() -> None:
    full = request(wanted=100_000, figure=100_000)
    refused = request(partition=1, wanted=5, figure=100_000)
    back = request(number=2, wanted=0, returned=500, figure=100_000)
    more = request(number=3, wanted=0, returned=1, figure=100_000)
    assert answers(full, refused, back)[2:] == []
    assert answers(full, refused, back, more)[2:] == [(1, 0, 0, False, 1)]


def test_a_smaller_figure_grants_nothing_until_enough_came_back() -> None:
    given_out = answers(
        request(wanted=60),
        request(partition=1, figure=50, wanted=5),
        request(number=2, wanted=0, returned=20),
        request(partition=1, number=2, figure=50, wanted=15),
    )
    assert given_out[1:] == [(1, 1, 0, True, 0), (1, 0, 0, False, 1), (1, 2, 10, True, 1)]


def test_a_larger_figure_grants_more_although_the_smaller_is_spent() -> None:
    given_out = answers(
        request(wanted=101), request(number=2, figure=300, wanted=150), request(number=3, wanted=1)
    )
    assert given_out == [(0, 1, 100, True, 0), (0, 2, 150, False, 0), (0, 3, 0, True, 0)]


def test_requests_that_do_not_fit_together_get_nothing_more_and_other_budgets_do() -> None:
    good = request(wanted=10)
    for wrong in (
        request(number=3),
        request(number=2, wanted=0, returned=11),
        request(number=2, wanted=-1),
        request(number=2, returned=-1),
        request(number=2, figure=0),
        request(partition=1, number=2),
    ):
        keeper = Keeper()
        keeper.fold(good)
        keeper.fold(wrong)
        [refused] = keeper.fold(request(number=9))
        assert (refused["amount"], refused["closed"]) == (0, True)
        assert keeper.fold(request(number=10, wanted=0, returned=1)) == []
        assert keeper.budgets[TOTAL].broken
        [granted] = keeper.fold(request(livemode=False))
        assert granted["amount"] == 10


def test_what_cannot_be_a_request_is_nobodys() -> None:
    keeper = Keeper()
    assert keeper.fold(request(number=0)) == keeper.fold(request(partition=-1)) == []
    assert keeper.budgets == {}
    assert keeper.counts == {"refused": 2}


@law(examples=60)
@given(st.integers(0, 2**32))
def test_a_budget_is_never_exceeded_and_hardly_anything_of_it_is_left(seed: int) -> None:
    life = Life(Random(seed))
    for _ in range(life.rng.randint(1, 4)):
        life.new_version()
        life.live()
    life.exhaust()


class Life:
    """A program's versions one after another, each with its purchases, refunds and accidents."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.partitions = rng.choice((1, 2, 3, 8))
        self.world = World(rng, partitions=self.partitions, keepers=rng.choice((1, 2)))
        self.reward_max = rng.choice((3, 40, 700))
        self.versions: list[Figures] = []
        self.names = count(1)
        self.bought: list[tuple[int, int]] = []
        self.spent_before: dict[str, int] = {}

    def new_version(self) -> None:
        """Figures of any size, or those of an earlier one; at times announced before it is in force."""
        scopes = self.rng.choice((("total",), DAYS, ("total", *DAYS)))
        figures = {scope: self.reward_max * self.rng.randint(1, 30) for scope in scopes}
        self.versions.append(self.rng.choice((figures, *self.versions)))
        self.world.publish(self.versions[-1])
        if self.rng.random() < 0.5:
            self.shop(lambda: self.versions[-2:][0], strictly=False)
        self.world.come_to_rest()
        self.spent_before = {scope: self.world.spent(scope) for scope in SCOPES}

    def live(self) -> None:
        """Purchases under the newest version; at times also late ones under others."""
        if self.rng.random() < 0.3:
            self.shop(lambda: self.rng.choice([self.versions[-1], *self.versions]), strictly=False)
        else:
            self.shop(lambda: self.versions[-1], strictly=True)

    def shop(self, version: Callable[[], Figures], *, strictly: bool) -> None:
        """Purchases and refunds among steps of everybody, then rest; looked at after each."""
        for _ in range(self.rng.randint(20, 200)):
            if self.rng.random() < 0.4:
                self.buy(version())
            if self.bought and self.rng.random() < 0.15:
                partition, name = self.rng.choice(self.bought)
                self.world.inputs[partition].append(("refund", name))
            self.world.step()
            self.check_not_over(strictly=strictly)
        self.world.come_to_rest()
        self.check_not_over(strictly=strictly)
        self.check_at_rest()

    def buy(self, figures: Figures, partition: int | None = None, reward_max: int = 0) -> Purchase:
        """A purchase under a version, on one of the days."""
        day = self.rng.choice(DAYS)
        counted = {scope: figure for scope, figure in figures.items() if scope in ("total", day)}
        purchase = Purchase(next(self.names), self.rng.randint(1, reward_max or self.reward_max), counted)
        where = self.rng.randrange(self.partitions) if partition is None else partition
        self.world.inputs[where].append(purchase)
        self.bought.append((where, purchase.name))
        return purchase

    def check_not_over(self, *, strictly: bool) -> None:
        """Never above the largest figure there was; with all purchases under the newest, never above that."""
        for scope in SCOPES:
            figures = [version.get(scope, 0) for version in self.versions]
            most = max(figures[-1], self.spent_before[scope]) if strictly else max(figures)
            assert self.world.spent(scope) <= most, scope

    def check_at_rest(self) -> None:
        """Nobody waits; what the keeper granted is spent or held; partitions hold hardly anything."""
        world = self.world
        assert not any(worker.state.waiting for worker in world.workers)
        for process in world.keepers:
            for who, budget in process.keeper.budgets.items():
                assert not budget.broken
                assert budget.granted == world.spent(who.scope) + world.held(who.scope)
                assert budget.granted == sum(lease.granted for lease in budget.leases.values())
                smallest = min(version[who.scope] for version in self.versions if who.scope in version)
                assert world.held(who.scope) <= smallest // 200

    def exhaust(self) -> None:
        """One partition shops until it gets less than it should: then a hundredth is left at most."""
        world, figures, partition = self.world, self.versions[-1], self.rng.randrange(self.partitions)
        worker = world.workers[partition]
        for _ in range(PURCHASES_TO_EXHAUST):
            purchase = self.buy(figures, partition, max(3, *figures.values()) // 3)
            world.come_to_rest()
            if purchase.name in worker.state.cut:
                break
        assert purchase.name in worker.state.cut
        unspent = [figures[scope] - world.spent(scope) for scope in purchase.figures]
        assert any(
            left <= figures[scope] // 100 for left, scope in zip(unspent, purchase.figures, strict=True)
        )
        self.check_at_rest()
