"""An operator takes a pending cashback back; it does not come again."""

import pytest

from schemas.errors import Rejected
from schemas.revocations import Revocation, checked, to_datum
from schemas.times import from_iso
from tests.streams.log import Log
from tests.streams.told import Line, campaign, instant, payment, stamps, story


def test_a_revoked_cashback_is_reverted_and_never_created_again() -> None:
    log = Log(campaign()).pay(payment("AUTHORIZED", 5000, "02-01")).revoke("02-02")
    log.pay(payment("SETTLED", 9000, "02-03"), payment("SETTLED", 9000, "02-04", part_id="more"))
    assert story(log.result) == ["created 50 one-percent#1 02-01", "reverted one-percent#1 02-02"]
    log.revoke("02-05")
    assert log.log.counts["revocation_repeated"] == 1


def test_it_gives_back_the_limit_it_took() -> None:
    log = Log(campaign(member_limit={"count": 1, "period": "lifetime"}))
    log.pay(payment("SETTLED", 5000, "02-01")).revoke("02-02")
    log.pay(payment("SETTLED", 5000, "02-03", external_id="t2"))
    assert story(log.result)[2:] == ["created 50 one-percent#1 02-03"]


def test_a_revoked_redemption_gives_the_other_stamps_back() -> None:
    buys = [payment("SETTLED", 1000, f"02-0{day}", external_id=f"t{day}") for day in (1, 2, 3)]
    log = Log(stamps()).pay(*buys).revoke("02-04", external_id="t3", program_id="card")
    log.pay(payment("SETTLED", 1000, "02-05", external_id="t3", part_id="more"))
    log.pay(payment("SETTLED", 1000, "02-06", external_id="t4"))
    assert story(log.result) == [
        "created 500 card#1 02-03",
        "reverted card#1 02-04",
        "created 500 card#1 02-06",
    ]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"external_id": "t9"}, "external_id: t9 is not known"),
        ({"program_id": "other"}, "program_id: other said nothing"),
        ({"sequence": 2}, "sequence: cashback 2 of one-percent is not pending"),
        ({"sequence": 0}, "sequence: 0 is below 1"),
        ({"reason": "  "}, "reason: empty"),
        ({"actor": ""}, "actor: empty"),
    ],
)
def test_what_is_not_pending_is_refused_with_the_field(fields: Line, problem: str) -> None:
    log = Log(campaign()).pay(payment("SETTLED", 5000, "02-01"))
    with pytest.raises(Rejected) as refused:
        log.revoke("02-02", **fields)
    assert str(refused.value).startswith(problem)
    assert story(log.result) == ["created 50 one-percent#1 02-01"]


def test_a_revocation_keeps_its_fields_on_the_way() -> None:
    revocation = Revocation("bank", "ann", "t1", "p", 1, "eve", "fraud", from_iso(instant("02-01"), "at"))
    assert checked(to_datum(revocation)) == revocation
