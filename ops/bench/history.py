"""A made-up history to measure with: payments of many members, refunds, repeats, late arrivals. Seeded."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from schemas.clock import clock_header
from schemas.codec import encode
from schemas.programs import ProgramSpec, parse_program
from schemas.times import DAY, SECOND, Micros
from schemas.transactions import AUTHORIZED, REFUNDED, SETTLED, Transaction, to_datum

DUPLICATES_PERCENT = 10
REFUNDS_PERCENT = 15
PURCHASES_A_MEMBER = 6
START_AT: Micros = 1_704_067_200 * SECOND  # 2024-01-01
SPAN: Micros = 60 * DAY
HOLD_DAYS = 14

_ONLINE = 0.4
_LATE = 0.05
_REFUNDED_AFTER_HOLD = 0.2
_HOUR: Micros = 3_600 * SECOND

CAMPAIGN: dict[str, Any] = {
    "program_id": "one-percent",
    "version": 1,
    "type": "campaign",
    "currency": "EUR",
    "min_spend_minor": 1_001,
    "valid_from": "2023-12-01T00:00:00Z",
    "reward": {"type": "percent", "bps": 100},
    "hold_days": HOLD_DAYS,
}


@dataclass(frozen=True, slots=True)
class Input:
    """One record of the input log, encoded; `clock` is the header of loaded history."""

    key: bytes
    value: bytes
    clock: tuple[str, bytes]


def campaign() -> ProgramSpec:
    """The one program: 1 % above ten euros, cleared after fourteen days."""
    return parse_program(CAMPAIGN)


def history(inputs: int, *, seed: int = 2024) -> list[Transaction]:
    """`inputs` transactions in the order in which they arrive, a tenth of them repeats, 15 % refunds.

    Over sixty days, so that most of what is earned clears on the way. In store a purchase is settled at
    once; online it is authorized first and settled a day or more later.
    """
    rnd = Random(seed)
    duplicates, refunds = inputs * DUPLICATES_PERCENT // 100, inputs * REFUNDS_PERCENT // 100
    arrivals: list[tuple[Micros, int, Transaction]] = []
    number = count()

    def arrive(transaction: Transaction, after: Micros = 0) -> None:
        late = rnd.randrange(48 * _HOUR) if rnd.random() < _LATE else 0
        arrivals.append((transaction.occurred_at + after + late, next(number), transaction))

    payments = _payments(rnd, inputs - duplicates - refunds)
    for payment in payments:
        arrive(payment)
    settled = [payment for payment in payments if payment.kind == SETTLED]
    for part, payment in enumerate(rnd.choices(settled, k=refunds)):
        arrive(_refund(rnd, payment, part))
    for _, _, transaction in rnd.sample(arrivals, k=duplicates):
        arrive(transaction, after=rnd.randrange(24 * _HOUR))
    arrivals.sort()
    return [transaction for _, _, transaction in arrivals]


def encoded(transactions: Iterable[Transaction]) -> Iterator[Input]:
    """The records of the input log, each with the running maximum of `occurred_at` as its clock."""
    clock: Micros = 0
    for transaction in transactions:
        clock = max(clock, transaction.occurred_at)
        yield Input(transaction.key, encode("Transaction", to_datum(transaction)), clock_header(clock))


def _payments(rnd: Random, wanted: int) -> list[Transaction]:
    members = [
        (f"partner-{rnd.randrange(3)}", f"m_{rnd.getrandbits(96):024x}")
        for _ in range(max(1, wanted // PURCHASES_A_MEMBER))
    ]
    made: list[Transaction] = []
    while len(made) < wanted:
        occurred_at = START_AT + SPAN * len(made) // wanted + rnd.randrange(SECOND)
        purchase = _purchase(rnd, *rnd.choice(members), occurred_at)
        made += purchase[: wanted - len(made)]
    return made


def _purchase(rnd: Random, partner_id: str, member_id: str, at: Micros) -> list[Transaction]:
    external_id = f"{rnd.getrandbits(128):032x}"
    merchant_id = f"merchant-{rnd.randrange(50):04d}"
    amount_minor = 1 + int(rnd.lognormvariate(8.0, 0.8))
    if rnd.random() < _ONLINE:
        webhook_id = f"msg_{rnd.getrandbits(96):024x}"
        settled_at = at + DAY + rnd.randrange(2 * DAY)
        return [
            Transaction(
                partner_id, external_id, member_id, merchant_id, kind, "EUR", when, "ONLINE", amount_minor,
                mcc="5411", webhook_id=webhook_id,
            )
            for kind, when in ((AUTHORIZED, at), (SETTLED, settled_at))
        ]  # fmt: skip
    till = rnd.randrange(20)
    return [
        Transaction(
            partner_id, external_id, member_id, merchant_id, SETTLED, "EUR", at, "IN_STORE", amount_minor,
            store_id=f"store-{till:03d}", mcc="5411", employee_id=f"emp-{till:05d}",
            receipt_id=f"r{rnd.getrandbits(40):013d}",
        )
    ]  # fmt: skip


def _refund(rnd: Random, payment: Transaction, part: int) -> Transaction:
    after = HOLD_DAYS if rnd.random() < _REFUNDED_AFTER_HOLD else 1
    whole = payment.amount_minor or 0
    return Transaction(
        payment.partner_id, payment.external_id, payment.member_id, payment.merchant_id, REFUNDED, "EUR",
        payment.occurred_at + after * DAY + rnd.randrange(10 * DAY), payment.channel,
        whole if rnd.random() < 0.5 else rnd.randrange(whole + 1), part_id=f"refund-{part}",
        store_id=payment.store_id, mcc="5411",
    )  # fmt: skip
