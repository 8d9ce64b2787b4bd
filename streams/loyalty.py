"""Stage: stamps of a loyalty program: given, taken back, used by a redemption, given back when it is undone.

Stamps are counted, not listed: each belongs to an epoch of the member's card, and a redemption uses whole
epochs. A redemption that may be undone has a row of its own, and so has each epoch it used. So every row
stays small whatever a member buys; a purchase knows the epoch of its own stamp, and, if it was worth a stamp
no more while that was used, under which redemption: should it be undone, the stamp is gone for good, though
its epoch may be used again. A redemption goes by the latest of its epochs, which no other has used before.
"""

import msgspec

from schemas.money import SUM_MAX
from schemas.times import Micros
from streams import pending
from streams.program import Program
from streams.purchase import Pair, Purchase, PurchaseId, Stake
from streams.rows import Rows

EPOCHS_MAX = 100
"""Epochs on a card: so many redemptions undone, none cleared. Stamps from before them stay as they are."""


class Spent(msgspec.Struct, array_like=True, gc=False):
    """Stamps that a redemption used and may give back: those whose purchases still qualify, but its own."""

    epochs: list[int]
    count: int
    total: int


class Card(msgspec.Struct, array_like=True, gc=False):
    """The stamps a member holds of one program: how many, and the sum of their nets in minor units.

    `epochs` are those whose stamps are held, the last one is the current. `undone`: redemptions that were.
    """

    epochs: list[int] = msgspec.field(default_factory=lambda: [1])
    latest: int = 1
    count: int = 0
    total: int = 0
    undone: list[int] = msgspec.field(default_factory=list)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Card).decode
_decode_spent = msgspec.msgpack.Decoder(Spent).decode


def qualifies(purchase: Purchase, program: Program, clock: Micros) -> bool:
    """Whether a purchase that passed the filters holds a stamp as it stands."""
    net = purchase.net
    return (
        net > 0
        and net >= program.min_spend
        and (program.max_spend is None or purchase.gross <= program.max_spend)
        and not pending.is_expired(purchase, program, clock)
    )


class Cards:
    """The cards of all members of a partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def follow(
        self, who: PurchaseId, purchase: Purchase, pair: Pair, program: Program, clock: Micros
    ) -> Card | None:
        """Brings the stamp of a purchase up to date; the card if one was given, for the caller to redeem."""
        stake = pair.stake
        assert stake is not None
        before, stake.qualified = stake.qualified, qualifies(purchase, program, clock)
        if stake.redeemed or stake.revoked:
            return None
        net = purchase.net
        if stake.qualified and not before:
            return self._give(who, program, stake, net)
        if before and stake.epoch and (not stake.qualified or net != stake.stamped):
            self._change(who, program, stake, net)
        return None

    def redeem(self, who: PurchaseId, program: Program, stake: Stake, card: Card) -> None:
        """Uses all stamps of the card, that of the redeeming purchase too."""
        others = Spent(card.epochs, card.count - 1, card.total - stake.stamped)
        self._rows.put(_spent_key(who, program, who.external_id), _encode(others))
        for epoch in card.epochs:
            self._rows.put(_epoch_key(who, program, epoch), who.external_id.encode())
        card.latest += 1
        card.epochs, card.count, card.total = [card.latest], 0, 0
        stake.redeemed, stake.epoch, stake.stamped = True, 0, 0
        self._put(who, program, card)

    def undo(self, who: PurchaseId, program: Program, stake: Stake, *, own: int = 0) -> None:
        """Gives back what a redemption used; the stamp of the redeeming purchase only with a net `own`."""
        stake.redeemed = False
        spent = self._forget(who, program)
        if spent is None:
            return
        card = self.card(who, program)
        card.epochs = [*spent.epochs, *card.epochs][-EPOCHS_MAX:]
        card.undone = [*card.undone, spent.epochs[-1]][-EPOCHS_MAX:]
        card.count += spent.count
        card.total = min(card.total + spent.total, SUM_MAX)
        if own:
            stake.epoch, stake.stamped = card.latest, own
            card.count += 1
            card.total = min(card.total + own, SUM_MAX)
        self._put(who, program, card)

    def stamps(self, who: PurchaseId, program: Program, stake: Stake, net: int) -> int:
        """Stamps on the card, or minor units of them; a redeeming purchase counts those it used."""
        spent = self._spent(who, program, who.external_id) if stake.redeemed else None
        counted = spent or self.card(who, program)
        own = 0 if spent is None else 1
        by_count = program.threshold_count is not None
        return counted.count + own if by_count else counted.total + own * net

    def keep(self, who: PurchaseId, program: Program) -> None:
        """A redemption cleared: what it used never comes back."""
        self._forget(who, program)

    def card(self, who: PurchaseId, program: Program) -> Card:
        """The member's card, an empty one at first."""
        row = self._rows.get(_key(who, program))
        return Card() if row is None else _decode(row)

    def _give(self, who: PurchaseId, program: Program, stake: Stake, net: int) -> Card | None:
        card = self.card(who, program)
        if stake.epoch and stake.epoch not in card.epochs and stake.lost_under not in card.undone:
            self._change(who, program, stake, net)  # used: it is not given again, but may come back
            return None
        stake.epoch, stake.stamped, stake.lost_under = card.latest, net, 0
        card.count += 1
        card.total = min(card.total + net, SUM_MAX)
        self._put(who, program, card)
        return card

    def _change(self, who: PurchaseId, program: Program, stake: Stake, net: int) -> None:
        """Counts what became of a stamp where it is: on the card, or among those that may come back."""
        more, less = (net if stake.qualified else 0), stake.stamped
        stake.stamped = more
        card = self.card(who, program)
        if stake.epoch in card.epochs:
            card.count += bool(more) - bool(less)
            card.total = min(card.total + more - less, SUM_MAX)
            self._put(who, program, card)
            if not stake.qualified:
                stake.epoch = 0
            return
        user = self._rows.get(_epoch_key(who, program, stake.epoch))
        spent = None if user is None else self._spent(who, program, user.decode())
        if user is None or spent is None:
            return  # used by a redemption that cleared
        stake.lost_under = 0 if stake.qualified else spent.epochs[-1]
        spent.count += bool(more) - bool(less)
        spent.total = min(spent.total + more - less, SUM_MAX)
        self._rows.put(_spent_key(who, program, user.decode()), _encode(spent))

    def _spent(self, who: PurchaseId, program: Program, external_id: str) -> Spent | None:
        row = self._rows.get(_spent_key(who, program, external_id))
        return None if row is None else _decode_spent(row)

    def _forget(self, who: PurchaseId, program: Program) -> Spent | None:
        """Takes out what a redemption used."""
        spent = self._spent(who, program, who.external_id)
        if spent is not None:
            self._rows.delete(_spent_key(who, program, who.external_id))
            for epoch in spent.epochs:
                self._rows.delete(_epoch_key(who, program, epoch))
        return spent

    def _put(self, who: PurchaseId, program: Program, card: Card) -> None:
        self._rows.put(_key(who, program), _encode(card))


def reached(card: Card, program: Program) -> bool:
    """Whether the stamps of a card redeem, by the figures of this version."""
    if program.threshold_count is not None:
        return card.count >= program.threshold_count
    return program.threshold_total is not None and card.total >= program.threshold_total


def _key(who: PurchaseId, program: Program) -> bytes:
    return f"y{who.member}\x1f{program.program_id}".encode()


def _spent_key(who: PurchaseId, program: Program, external_id: str) -> bytes:
    return f"s{who.member}\x1f{program.program_id}\x1f{external_id}".encode()


def _epoch_key(who: PurchaseId, program: Program, epoch: int) -> bytes:
    return f"h{who.member}\x1f{program.program_id}\x1f{epoch}".encode()
