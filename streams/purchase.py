"""The row of one purchase: what is known of it, what each program said, what is pending and what cleared.

A row is decoded afresh for each record, so the stages change it in place; it is kept as bytes.
Times are microseconds UTC, 0 meaning "not yet". Amounts are minor units of the purchase's currency, rewards
of their own asset.
"""

from enum import IntEnum

import msgspec

from schemas import ids
from schemas.parked import ParkedDecision
from schemas.reversals import ReversalDecision
from schemas.revocations import Revocation
from schemas.times import Micros
from schemas.transactions import AUTHORIZED, KINDS, REFUNDED, SETTLED, Transaction


class Reason(IntEnum):
    """Decisions, in the order in which the first that applies is taken. Part of the row: never renumbered."""

    NO_PROGRAM = 0
    TRANSACTION_VOID = 1
    AMOUNT_REQUIRED = 2
    STORE_MISMATCH = 3
    MCC_MISMATCH = 4
    CHANNEL_MISMATCH = 5
    CURRENCY_MISMATCH = 6
    OUTSIDE_VALIDITY = 7
    OUTSIDE_SCHEDULE = 8
    NOT_ENTITLED = 9
    ENTITLEMENT_EXPIRED = 10
    NOT_NEW_MEMBER = 11
    BELOW_MIN_SPEND = 12
    ABOVE_MAX_SPEND = 13
    REWARD_ZERO = 14
    THRESHOLD_NOT_REACHED = 15
    MEMBER_LIMIT = 16
    MEMBER_CAP = 17
    BUDGET_EXHAUSTED = 18
    OUTRANKED = 19
    FULLY_REFUNDED = 20
    REWARDED = 21


class CaseState(IntEnum):
    """How a reversal case stands. Part of the row: never renumbered."""

    OPEN = 0
    APPROVED = 1
    DECLINED = 2


class Cleared(msgspec.Struct, array_like=True, gc=False):
    """A cashback of a pair that cleared, and its reversal case if one was opened (`revision` 0: none).

    `shortfall`: what refunds leave too much of it, at most; of a declined case, what was accepted. `claimed`:
    an operator wants, or got, all of it back; `claimed_at` is his latest word. `decided`: what was decided.
    """

    sequence: int
    amount: int
    revision: int = 0
    shortfall: int = 0
    opened_at: Micros = 0
    state: CaseState = CaseState.OPEN
    claimed: bool = False
    claimed_at: Micros = 0
    decided: list[bytes] = []

    @property
    def is_reversed(self) -> bool:
        """Whether it was taken back after it cleared."""
        return self.state is CaseState.APPROVED

    @property
    def too_much(self) -> int:
        """How much of it its case is about."""
        return self.amount if self.claimed else self.shortfall

    @property
    def awaits_decision(self) -> bool:
        """Whether there is something to decide."""
        return self.revision > 0 and self.state is CaseState.OPEN and self.too_much > 0


class Stake(msgspec.Struct, array_like=True, gc=False):
    """What a pair has at stake beyond its own purchase; plain campaigns have none.

    `day`: the local date (ordinal) on which limit, cap and budget count it, 0 where nothing is counted.
    `qualified`, `redeemed`, `epoch`, `stamped`, `lost_under`: loyalty, see `loyalty`. `waits`: for a lease.
    `revoked_sequence`: which cashback was revoked while it was pending; 0 in rows from before it was noted.
    """

    entitlement_id: str = ""
    variant_id: str | None = None
    creative_id: str | None = None
    day: int = 0
    revoked: bool = False
    waits: bool = False
    qualified: bool = False
    redeemed: bool = False
    epoch: int = 0
    stamped: int = 0
    revoked_sequence: int = 0
    lost_under: int = 0


class Pair(msgspec.Struct, array_like=True, gc=False):
    """One program's word on the purchase, under the version it was judged by.

    `floating`: the amount did not fit at the judging event, so it is looked at again when gross changes.
    `amount` is what a REWARDED pair earns in all; `pending` what of it has not cleared; `cleared` all
    that ever cleared, also what was reversed since.
    """

    program_id: str
    version: int
    reason: Reason
    floating: bool = False
    amount: int = 0
    outranked_by: str | None = None
    sequence: int = 0
    pending: int = 0
    created_at: Micros = 0
    cleared: list[Cleared] = []
    stake: Stake | None = None

    @property
    def cleared_sum(self) -> int:
        """What cleared so far and was not reversed."""
        if not self.cleared:
            return 0
        return sum([cleared.amount for cleared in self.cleared if not cleared.is_reversed])


class Parked(msgspec.Struct, array_like=True, gc=False):
    """A refund, void or decline that waits for its purchase, with the bytes it came in.

    `arrived_at`: when it first came. `anew_at`: since when it waits anew, because somebody let it or it was
    requeued; 0 when neither, also in rows from before that was noted.
    """

    kind: int
    part_id: str | None
    merchant_id: str
    currency: str
    amount: int
    arrived_at: Micros
    value: bytes
    offset: int
    anew_at: Micros = 0

    @property
    def waits_since(self) -> Micros:
        """When the time began that it is waited for."""
        return self.anew_at or self.arrived_at


class Purchase(msgspec.Struct, array_like=True, gc=False):
    """All that is known of one purchase. `merchant_id` is empty while only parked events are known.

    `stands`: judged, not void, and not refunded in full. `silent`: backfilled, nobody is told by webhook.
    """

    merchant_id: str = ""
    currency: str = ""
    purchased_at: Micros = 0
    settled_at: Micros = 0
    authorized: int = 0
    captured: int = 0
    refunded: int = 0
    void: bool = False
    over_refunded: bool = False
    touched_at: Micros = 0
    seen: list[tuple[int, str | None, bytes]] = []
    pairs: list[Pair] = []
    parked: list[Parked] = []
    stands: bool = False
    silent: bool = False

    @property
    def gross(self) -> int:
        """What was bought: captures once any is known, authorizations before."""
        return self.captured if self.settled_at else self.authorized

    @property
    def net(self) -> int:
        """What remains of gross after refunds; 0 for good once void."""
        if self.void:
            return 0
        left = (self.captured if self.settled_at else self.authorized) - self.refunded
        return left if left > 0 else 0

    @property
    def anything_cleared(self) -> bool:
        """Whether any cashback of the purchase ever cleared."""
        return any(pair.cleared for pair in self.pairs)

    @property
    def awaits_decision(self) -> bool:
        """Whether a reversal case of it is to be decided."""
        for pair in self.pairs:
            for cleared in pair.cleared:
                if cleared.revision and cleared.awaits_decision:  # most have no case: one look
                    return True
        return False


class PurchaseId(msgspec.Struct, gc=False):
    """Who bought what: the identity of a purchase."""

    partner_id: str
    member_id: str
    external_id: str
    livemode: bool
    member_key: bytes
    """Key of everything said about the member."""
    _transaction_id: str = ""
    _member: str = ""

    @property
    def member(self) -> str:
        """The member as keys of rows spell it."""
        if not self._member:
            self._member = member_part(self.partner_id, self.member_id, self.livemode)
        return self._member

    @property
    def transaction_id(self) -> str:
        """Its deterministic id; made when first asked for, as not every record has an outcome."""
        if not self._transaction_id:
            self._transaction_id = ids.transaction_id(
                self.livemode, self.partner_id, self.member_id, self.external_id
            )
        return self._transaction_id


def member_part(partner_id: str, member_id: str, livemode: bool) -> str:
    """Partner, member and mode as keys of rows spell them."""
    return f"{partner_id}\x1f{member_id}\x1f{'1' if livemode else '0'}"


def record_fact(purchase: Purchase, kind: str, amount: int, occurred_at: Micros) -> None:
    """Adds what one accepted event says to the sums of its purchase."""
    if kind == AUTHORIZED:
        purchase.authorized += amount
    elif kind == SETTLED:
        purchase.captured += amount
        purchase.settled_at = max(purchase.settled_at, occurred_at)
    elif kind == REFUNDED:
        purchase.refunded += amount
    else:
        purchase.void = True


KIND_CODES = {kind: code for code, kind in enumerate(KINDS)}

_PREFIX = b"p"
_DUE_BYTES = 8
_EMPTY_STRING = 0xA0  # msgpack
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Purchase).decode


def identity(said: Transaction | Revocation | ReversalDecision | ParkedDecision) -> PurchaseId:
    """The purchase that something is said about."""
    return PurchaseId(said.partner_id, said.member_id, said.external_id, said.livemode, said.key)


def row_key(purchase: PurchaseId) -> bytes:
    """Key of the row; sorts as (partner, member, external_id, mode), for ids have no control characters."""
    mode = "1" if purchase.livemode else "0"
    return f"p{purchase.partner_id}\x1f{purchase.member_id}\x1f{purchase.external_id}\x1f{mode}".encode()


def is_purchase(key: bytes) -> bool:
    """Whether a key of the store belongs to a purchase."""
    return key.startswith(_PREFIX)


def from_row_key(key: bytes) -> PurchaseId:
    """The purchase of a row key."""
    partner_id, member_id, external_id, mode = key[1:].decode().split("\x1f")
    return PurchaseId(partner_id, member_id, external_id, mode == "1", f"{partner_id}:{member_id}".encode())


def pack(purchase: Purchase, due_at: Micros) -> bytes:
    """The row as bytes, led by when it is due next: the due index is rebuilt without decoding rows."""
    return due_at.to_bytes(_DUE_BYTES, "big") + _encode(purchase)


def waits_for_purchase(row: bytes) -> bool:
    """Whether a row holds parked events only: its first field, merchant_id, is the empty string."""
    return row[_DUE_BYTES + 1] == _EMPTY_STRING


def unpack(row: bytes) -> Purchase:
    """The purchase in a row. Raises `msgspec.MsgspecError` for bytes that are none: damaged state."""
    return _decode(row[_DUE_BYTES:])


def due_of(row: bytes) -> Micros:
    """When a row is due next."""
    return int.from_bytes(row[:_DUE_BYTES], "big")
