"""An answer of the keeper of budgets."""

from typing import Any

from schemas.errors import Rejected
from schemas.money import AMOUNT_MAX
from schemas.transactions import check_id


def checked(datum: dict[str, Any]) -> dict[str, Any]:
    """The decoded Avro datum of a BudgetGrant, if a keeper can have said it.

    Raises `Rejected` naming the first field that is wrong.
    """
    check_id("program_id", datum["program_id"])
    check_id("scope", datum["scope"])
    if not 0 <= datum["amount"] <= AMOUNT_MAX:
        problem = f"{datum['amount']} is never asked for"
        raise Rejected("amount", problem, "look for who else writes grants")
    return datum
