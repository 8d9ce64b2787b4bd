"""One payment as it would be read: bought, judged by four programs, refunded in part, told to a publisher."""

from typing import Any

from ops.why.facts import (
    Attempt,
    Case,
    Cashback,
    Decision,
    Delivery,
    Entry,
    Facts,
    Input,
    Transfer,
)
from schemas import ids
from schemas.programs import ProgramSpec, parse_program
from schemas.quarantine import Place, Refusal
from schemas.times import DAY, MINUTE, SECOND, from_iso

BOUGHT = from_iso("2025-03-01T12:00:00Z", "at")
MEMBER = ("bank", "ann", "order-17")


def program(program_id: str, **terms: Any) -> ProgramSpec:
    """A campaign of one percent, with terms changed."""
    form: dict[str, Any] = {"program_id": program_id, "version": 1, "type": "campaign", "currency": "EUR"}
    form |= {"valid_from": "2025-01-01T00:00:00Z", "hold_days": 14, "reward": {"type": "percent", "bps": 100}}
    return parse_program(form | terms)


def event(offset: int, kind: str, amount: int | None, at: int = BOUGHT, **changed: Any) -> Input:
    """An input of the payment; fields of `Input` go before fields of the transaction."""
    about = {name: changed.pop(name) for name in ("refusal", "silent", "requeued_from") if name in changed}
    datum = dict.fromkeys(("part_id", "store_id", "mcc", "employee_id", "receipt_id", "webhook_id"))
    datum |= dict(zip(("partner_id", "member_id", "external_id"), MEMBER, strict=True))
    datum |= {"merchant_id": "grocer", "kind": kind, "amount_minor": amount, "currency": "EUR"}
    datum |= {"occurred_at": at, "channel": "ONLINE", "livemode": True}
    arrived_at = changed.pop("arrived_at", at + SECOND)
    return Input(Place(3, offset), "Transaction", datum | changed, arrived_at, **about)


def refusal(reason: str, message: str) -> Refusal:
    """Why an input was set aside; where it lies does not matter to what is told."""
    return Refusal("inputs", Place(3, 0), reason, message, "Rejected", BOUGHT // 1_000)


def word(program_id: str | None, decision: str, **figures: Any) -> dict[str, Any]:
    """What one program said, with the figures that are known."""
    names = ("amount", "outranked_by", "entitlement_id", "reward_minor", "bracket", "limit_left", "cap_left")
    silent = dict.fromkeys((*names, "budget_left", "stamps", "threshold"))
    return {"program_id": program_id, "program_version": 1, "decision": decision, **silent, **figures}


def decision(
    offset: int, *words: dict[str, Any], at: int = BOUGHT, gross: int | None, net: int | None
) -> Decision:
    """A decision about the payment."""
    datum = {"occurred_at": at, "decisions": list(words), "gross_minor": gross, "net_minor": net}
    return Decision(Place(3, offset), datum)


def entry(entry_id: int, transition: str, at: int, *moved: Transfer, **more: Any) -> Entry:
    """An entry, booked a second after its event."""
    cashback = ids.cashback_id(True, *MEMBER, "spring", 1)
    said = (ids.event_id(cashback, transition), at, at + SECOND, more.pop("reason", None))
    return Entry(entry_id, transition, *said, transfers=moved, **more)


def whole() -> Facts:
    """The payment with everything that can be known of it."""
    refunded = BOUGHT + 20 * DAY
    attempts = (
        Attempt(1, BOUGHT + SECOND, 503, "failed", None),
        Attempt(2, BOUGHT + 6 * SECOND, 200, "delivered", None),
    )
    created = entry(
        17,
        "created",
        BOUGHT,
        Transfer("merchant:funding", "member:pending", 10),
        Transfer("merchant:funding", "commission:pending", 1),
        is_told=True,
        deliveries=(Delivery("https://publisher.example/hooks", attempts),),
    )
    cleared = entry(
        18, "cleared", BOUGHT + 14 * DAY, Transfer("member:pending", "member:wallet", 10), is_told=True,
        deliveries=(Delivery("https://publisher.example/hooks", due_at=BOUGHT + 14 * DAY + 5 * MINUTE),),
    )  # fmt: skip
    cashback = ids.cashback_id(True, *MEMBER, "spring", 1)
    case = Case(ids.reversal_case_id(cashback), 1, refunded, "REFUNDED", 10, 3, 800)
    terms = [
        program("spring", member_cap={"amount": 500, "period": "month"}, priority=5),
        program("summer", valid_from="2025-06-01T00:00:00Z"),
        program("autumn"),
        program("large", min_spend_minor=5_001),
    ]
    said = (
        word("autumn", "OUTRANKED", outranked_by="spring"),
        word("large", "BELOW_MIN_SPEND"),
        word("spring", "REWARDED", amount=10, reward_minor=28, cap_left=10),
        word("summer", "OUTSIDE_VALIDITY"),
    )
    wrong = refusal("conflict", "identity: AUTHORIZED was sent before with other content; send a new event")
    return Facts(
        *MEMBER,
        livemode=True,
        inputs=(
            event(1_042, "AUTHORIZED", 2_800, webhook_id="w-9"),
            event(1_043, "AUTHORIZED", 2_800, webhook_id="w-9"),
            event(1_050, "AUTHORIZED", 2_900, BOUGHT + MINUTE, webhook_id="w-9", refusal=wrong),
            event(1_060, "SETTLED", 2_800, BOUGHT + DAY, arrived_at=BOUGHT + 3 * DAY),
            event(2_500, "REFUNDED", 2_000, refunded, part_id="r1"),
        ),
        decisions=(decision(977, *said, gross=2_800, net=2_800),),
        holder="ann",
        cashbacks=(
            Cashback(
                cashback, "spring", 1, 1, "EUR", 10, 1, 1_000, None, (created, cleared), (case,),
            ),
        ),
        programs={(spec.program_id, spec.version): spec for spec in terms},
    )  # fmt: skip
