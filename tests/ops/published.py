"""Programs in few words, for tests of what is done with them."""

from typing import Any

from schemas.programs import ProgramSpec, parse_program


def program(program_id: str = "p", **fields: Any) -> ProgramSpec:
    """A campaign of one shop, 1 % from a euro on, which a lint has nothing to say of; `fields` override."""
    form = {
        "program_id": program_id,
        "version": 1,
        "type": "campaign",
        "merchant_ids": ["shop"],
        "currency": "EUR",
        "min_spend_minor": 100,
        "valid_from": "2026-01-01T00:00:00Z",
        "reward": {"type": "percent", "bps": 100},
        "hold_days": 14,
        **fields,
    }
    return parse_program({name: value for name, value in form.items() if value is not None})


def tiers(*brackets: tuple[int | None, dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A tiered reward: upper end and reward of each bracket."""
    made = [{"reward": reward} | ({"up_to_minor": end} if end else {}) for end, reward in brackets]
    return {"type": "tiered", "brackets": made, **more}


def flat(amount: int, **more: Any) -> dict[str, Any]:
    """A flat reward."""
    return {"type": "flat", "amount": amount, **more}


def percent(bps: int, **more: Any) -> dict[str, Any]:
    """A percentage."""
    return {"type": "percent", "bps": bps, **more}
