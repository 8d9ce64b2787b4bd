"""Budgets over partitions, with crashes and a keeper that begins again: never exceeded, little left."""

from typing import Any

import pytest

from connectors import budgets
from ops.simulation.leases import sweep
from streams.leases import LeasedBudgets


def test_six_hundred_histories_exceed_no_budget_and_leave_little() -> None:
    counts, violations = sweep(0, 600)
    assert violations == []
    assert counts.keys() >= {"crash", "keeper begins again", "exhausted", "said BUDGET_EXHAUSTED"}


@pytest.mark.parametrize(
    ("where", "name", "bent"),
    [
        # a grant that comes twice is taken twice
        (
            LeasedBudgets,
            "grant",
            lambda self, datum, taken=LeasedBudgets.grant: taken(
                self, {**datum, "number": self._lease(_key(datum)).asked or datum["number"]}
            ),
        ),
        # who has no lease spends all the same
        (LeasedBudgets, "_spendable", staticmethod(lambda lease, account: account.figure)),
        # the keeper forgets what it granted
        (budgets.Keeper, "fold", lambda self, datum, fold=budgets.Keeper.fold: fold(budgets.Keeper(), datum)),
    ],
    ids=["a repeated grant counts", "spent without a lease", "the keeper forgets"],
)
def test_a_bent_rule_shows(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, bent: Any) -> None:
    monkeypatch.setattr(where, name, bent)
    try:
        _, violations = sweep(0, 150)
    except (AssertionError, KeyError, StopIteration) as broken:
        violations = [repr(broken)]
    assert violations


def _key(datum: dict[str, Any]) -> str:
    mode = "1" if datum["livemode"] else "0"
    return f"{datum['program_id']}\x1f{mode}\x1f{datum['scope']}"
