"""Which merchants know a member: where purchases were judged that still stand.

A row a merchant counts them; a row over all merchants counts the merchants that have any, so that it is
written only when one begins or ends to know the member.
"""

from streams.purchase import PurchaseId
from streams.rows import Rows


class Regulars:
    """The standing purchases of all members of a partition, counted by merchant."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def knows(self, who: PurchaseId, merchant_ids: frozenset[str] | None) -> bool:
        """Whether a judged purchase of the member stands at one of these merchants; None means any."""
        rows, member = self._rows, _prefix(who)
        if rows.get(member) in (None, _NONE):
            return False
        return merchant_ids is None or any(
            rows.get(member + merchant_id.encode()) not in (None, _NONE) for merchant_id in merchant_ids
        )

    def add(self, who: PurchaseId, merchant_id: str, by: int) -> None:
        """One purchase more (1) or less (-1) stands at a merchant."""
        rows, member = self._rows, _prefix(who)
        key = member + merchant_id.encode()
        row = rows.get(key)
        count = by if row is None else int.from_bytes(row, "big") + by
        rows.put(key, count.to_bytes(4, "big"))
        if count == (1 if by > 0 else 0):
            row = rows.get(member)
            count = by if row is None else int.from_bytes(row, "big") + by
            rows.put(member, count.to_bytes(4, "big"))


_NONE = bytes(4)


def _prefix(who: PurchaseId) -> bytes:
    return (b"m1" if who.livemode else b"m0") + who.member_key + b"\x1f"
