"""Deterministic ids: a prefix and 24 hex digits of SHA-256 over the fields joined by U+001F.

A rebuild of everything from the input log yields the same ids.
Fields never contain U+001F: transactions with control characters are rejected.
"""

from collections.abc import Iterable
from hashlib import sha256


def transaction_id(livemode: bool, partner_id: str, member_id: str, external_id: str) -> str:
    """Of a purchase."""
    return "tx_" + _digits(f"{_mode(livemode)}\x1f{partner_id}\x1f{member_id}\x1f{external_id}")


def cashback_id(
    livemode: bool, partner_id: str, member_id: str, external_id: str, program_id: str, sequence: int
) -> str:
    """`sequence` counts the cashbacks of one purchase by one program, from 1."""
    return "cbtx_" + _digits(
        f"{_mode(livemode)}\x1f{partner_id}\x1f{member_id}\x1f{external_id}\x1f{program_id}\x1f{sequence}"
    )


def event_id(cashback_transaction_id: str, transition: str) -> str:
    """`transition` is created, cleared or reverted."""
    return "evt_" + _digits(f"{cashback_transaction_id}\x1f{transition}")


def redemption_id(livemode: bool, partner_id: str, member_id: str, external_id: str, program_id: str) -> str:
    """Of what a loyalty program gives for one purchase."""
    return "lpr_" + _digits(
        f"{_mode(livemode)}\x1f{partner_id}\x1f{member_id}\x1f{external_id}\x1f{program_id}"
    )


def reversal_case_id(cashback_transaction_id: str) -> str:
    """Of the one case that there is about a cashback."""
    return "rvc_" + _digits(cashback_transaction_id)


def voucher_id(livemode: bool, partner_id: str, request_key: str) -> str:
    """`request_key` is the caller's, or a random one."""
    return "vch_" + _digits(f"{_mode(livemode)}\x1f{partner_id}\x1f{request_key}")


def batch_id(event_ids: Iterable[str]) -> str:
    """Of these events in one webhook, in this order. A request, which a rebuild may pack otherwise."""
    return "btch_" + _digits("\x1f".join(event_ids))


def _mode(livemode: bool) -> str:
    return "live" if livemode else "test"


def _digits(text: str) -> str:
    return sha256(text.encode()).digest()[:12].hex()
