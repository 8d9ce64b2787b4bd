"""An independent recomputation of what a history of payments must lead to, and the comparison with it.

Written from the contract without the stages: slow, plain, from the list of facts of each purchase to its
cashbacks, so that a mistake in one of the two shows as a difference.
"""

from ops.oracle.books import Account, balances, entries
from ops.oracle.publication import event, events, in_log_order, webhook
from ops.oracle.recompute import recompute, recompute_log
from ops.oracle.result import Case, Cashback, Decision, Recomputation
from ops.oracle.standings import Window
from ops.oracle.terms import TermsBook

__all__ = [
    "Account",
    "Case",
    "Cashback",
    "Decision",
    "Recomputation",
    "TermsBook",
    "Window",
    "balances",
    "entries",
    "event",
    "events",
    "in_log_order",
    "recompute",
    "recompute_log",
    "webhook",
]
