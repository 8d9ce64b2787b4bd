"""What the purchases of one member share: entitlements, limits, caps, stamps, and having bought before."""

from collections import defaultdict

from ops.oracle.entitlements import AIRDROP, CLIP, Grant, Holdings
from ops.oracle.lives import Bought, Pair
from ops.oracle.periods import PERIODS
from ops.oracle.terms import Terms

_FAMILIES = {"deal": CLIP, "airdrop": AIRDROP}
"""The entitlements that a type of program asks for; other types ask for none."""


class Member:
    """Everything is asked of the pairs themselves; the indexes only say which to ask."""

    def __init__(self) -> None:
        self.holdings = Holdings()
        self.judged: list[Bought] = []
        self.stamps: defaultdict[str, list[Pair]] = defaultdict(list)
        """Stamps held, by program, in the order given."""
        self._by_period: defaultdict[tuple[str, str, str], list[Pair]] = defaultdict(list)
        self._by_clip: defaultdict[str, list[Pair]] = defaultdict(list)

    def note(self, pair: Pair) -> None:
        """The pair has its first cashback: from now on it is one to ask."""
        if pair.counted:
            for period in PERIODS:
                self._by_period[pair.terms.program_id, period, pair.period(period)].append(pair)
        if pair.grant is not None and pair.grant.family == CLIP:
            self._by_clip[pair.grant.id].append(pair)

    def limit_is_reached(self, pair: Pair) -> bool:
        """Whether the member earned as often as the pair's version allows in its period."""
        if pair.terms.limit is None:
            return False
        count, period = pair.terms.limit
        return sum(other.alive > 0 for other in self._in_period(pair, period)) >= count

    def cap_left(self, pair: Pair) -> int | None:
        """What the member may still earn in the pair's period under its version; None: no cap."""
        if pair.terms.cap is None:
            return None
        amount, period = pair.terms.cap
        return max(0, amount - sum(other.alive for other in self._in_period(pair, period)))

    def is_used_up(self, grant: Grant, bought: Bought | None) -> bool:
        """Whether another purchase has the clip."""
        return grant.family == CLIP and any(
            pair.alive > 0 or pair.ever_cleared
            for pair in self._by_clip.get(grant.id, ())
            if pair.bought is not bought and not pair.terms.clip_reusable
        )

    def entitlement(self, terms: Terms, at: int) -> Grant | str | None:
        """What a purchase at `at` (µs) may go by; a reason where there is none, None if none is needed."""
        family = _FAMILIES.get(terms.type)
        if family is None:
            return None
        return self.holdings.best(family, terms.program_id, at, lambda grant: self.is_used_up(grant, None))

    def is_new(self, terms: Terms) -> bool:
        """Whether nothing that was judged at the program's merchants is still worth anything."""
        merchants = terms.merchant_ids
        return not any(
            bought.now.net > 0
            for bought in self.judged
            if merchants is None or bought.now.cause.merchant_id in merchants
        )

    def _in_period(self, pair: Pair, period: str) -> list[Pair]:
        return self._by_period.get((pair.terms.program_id, period, pair.period(period)), [])
