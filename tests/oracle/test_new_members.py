"""Who is new, worked by hand."""

import pytest

from tests.oracle.phrases import (
    Line,
    answers,
    bought,
    campaign,
    flat,
    said,
    tell,
)

NEW_ONLY = campaign(flat(5), new_members_only=True)
NEW_AT_SHOP = campaign(flat(5), new_members_only=True, merchant_ids=["shop"])


@pytest.mark.parametrize(
    ("program", "earlier", "decision"),
    [
        (NEW_ONLY, [], "REWARDED"),
        (NEW_ONLY, [bought("01 08:00", "x")], "NOT_NEW_MEMBER"),
        (NEW_ONLY, [bought("01 08:00", "x", 0)], "REWARDED"),
        (NEW_ONLY, [bought("01 08:00", "x"), bought("01 09:00", "x", 999, "REFUNDED")], "NOT_NEW_MEMBER"),
        (NEW_ONLY, [bought("01 08:00", "x"), bought("01 09:00", "x", 1000, "REFUNDED")], "REWARDED"),
        (NEW_ONLY, [bought("01 08:00", "x"), said("01 09:00", "VOIDED", external_id="x")], "REWARDED"),
        (NEW_ONLY, [said("01 08:00", "AUTHORIZED", external_id="x")], "REWARDED"),
        (NEW_ONLY, [bought("02 08:00", "x")], "NOT_NEW_MEMBER"),
        (NEW_ONLY, [bought("01 08:00", "x", currency="USD")], "NOT_NEW_MEMBER"),
        (NEW_ONLY, [bought("01 08:00", "x", merchant_id="inn")], "NOT_NEW_MEMBER"),
        (NEW_AT_SHOP, [bought("01 08:00", "x", merchant_id="inn")], "REWARDED"),
        (NEW_AT_SHOP, [bought("01 08:00", "x")], "NOT_NEW_MEMBER"),
        (NEW_ONLY, [bought("01 08:00", "x", partner_id="wallet")], "REWARDED"),
        (NEW_ONLY, [bought("01 08:00", "x", member_id="ben")], "REWARDED"),
        (NEW_ONLY, [bought("01 08:00", "x", livemode=False)], "REWARDED"),
    ],
)
def test_new_is_who_has_bought_nothing_that_lasts(program: Line, earlier: list[Line], decision: str) -> None:
    result = tell([program], [*earlier, bought("01 10:00", "y")])

    assert answers(result, "p")["y"] == decision


def test_what_becomes_of_the_first_purchase_later_changes_no_word() -> None:
    lines = [bought("01 08:00", "x"), bought("01 09:00", "y"), said("01 10:00", "VOIDED", external_id="x")]

    assert answers(tell([NEW_ONLY], [*lines, bought("01 11:00", "y", 5, part_id="2")]), "p") == {
        "x": "REWARDED",
        "y": "NOT_NEW_MEMBER",
    }
