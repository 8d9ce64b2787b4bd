"""Shows the budgets of a keeper as metrics: of each program the total and the latest day."""

from collections.abc import Iterable

from connectors.budgets import Budget, BudgetId
from ops import metrics
from ops.logs import get_logger

TOTAL = "total"


class BudgetGauges:
    """Keeps the gauges of `ops.metrics` at what it is told."""

    def __init__(self) -> None:
        self._latest: dict[tuple[str, bool, bool], str] = {}
        """Program, mode, whether it is a day → the scope that is shown."""
        self._is_full = False

    def show(self, budgets: Iterable[tuple[BudgetId, Budget]]) -> None:
        """Take what these budgets are now. At most `BUDGETS_SHOWN_MAX` are shown, the first ones told."""
        for who, budget in budgets:
            place = (who.program_id, who.livemode, who.scope != TOTAL)
            latest = self._latest.get(place)
            if latest is None and len(self._latest) >= metrics.BUDGETS_SHOWN_MAX:
                self._say_full()
            elif latest is None or who.scope >= latest:
                self._latest[place] = who.scope
                _set(who, budget)

    def _say_full(self) -> None:
        if not self._is_full:
            self._is_full = True
            get_logger().warning("not all budgets are shown as metrics", most=metrics.BUDGETS_SHOWN_MAX)


def _set(who: BudgetId, budget: Budget) -> None:
    labels = (
        who.program_id,
        "live" if who.livemode else "test",
        TOTAL if who.scope == TOTAL else "day",
    )
    metrics.budget_granted_minor.labels(*labels).set(budget.granted)
    metrics.budget_left_minor.labels(*labels).set(budget.left)
    metrics.budget_closed_partitions.labels(*labels).set(len(budget.closed))
