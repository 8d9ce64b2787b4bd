"""The money that moves between two judgements of one history: by program, member, merchant and month."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from ops.compare.judged import Earned, Judged
from schemas.money import POINTS
from schemas.times import to_datetime

Key = tuple[str, str]
"""Asset and name."""


@dataclass
class Moved:
    """One program, member, merchant or month in one asset; amounts in minor units or points.

    `beginning`: purchases that earn by it now and did not before; `ceasing`: the other way round.
    """

    asset: str
    name: str
    old_reward: int = 0
    new_reward: int = 0
    old_commission: int = 0
    new_commission: int = 0
    old_cashbacks: int = 0
    new_cashbacks: int = 0
    beginning: int = 0
    ceasing: int = 0

    @property
    def difference(self) -> int:
        """What members earn more."""
        return self.new_reward - self.old_reward

    @property
    def commission_difference(self) -> int:
        """What is paid more in commission."""
        return self.new_commission - self.old_commission

    @property
    def is_unchanged(self) -> bool:
        """Whether nothing moved."""
        return not (self.difference or self.commission_difference or self.beginning or self.ceasing)


@dataclass(frozen=True)
class Bucket:
    """How many members gain between `low` (inclusive) and `high` (exclusive); None: no end."""

    low: int | None
    high: int | None
    members: int


@dataclass
class Spread:
    """How the difference in one asset falls on the members, all whose purchases were judged."""

    gaining: int = 0
    losing: int = 0
    unchanged: int = 0
    median_gain: int = 0
    """Half of those who gain, gain at most this."""
    median_loss: int = 0
    buckets: list[Bucket] = field(default_factory=list)


@dataclass
class Movement:
    """All that moves; every list has the largest difference first, `months` the earliest."""

    old: Judged
    new: Judged
    totals: list[Moved]
    programs: list[Moved]
    merchants: list[Moved]
    members: list[Moved]
    months: list[Moved]
    spreads: dict[str, Spread]

    @property
    def assets(self) -> list[str]:
        """Assets in which anything is earned, currencies first."""
        return [total.asset for total in self.totals]

    def of(self, lines: Iterable[Moved], asset: str) -> list[Moved]:
        """The lines of one asset."""
        return [line for line in lines if line.asset == asset]


def movement(old: Judged, new: Judged) -> Movement:
    """What moves from `old` to `new`."""
    members = _grouped(old, new, lambda each: each.member)
    totals = _grouped(old, new, lambda _: "all")
    return Movement(
        old,
        new,
        totals=sorted(totals, key=lambda line: (line.asset == POINTS, line.asset)),
        programs=_largest(_grouped(old, new, lambda each: each.program_id)),
        merchants=_largest(_grouped(old, new, lambda each: each.merchant_id)),
        members=_largest(members),
        months=sorted(_grouped(old, new, _month), key=lambda line: (line.asset, line.name)),
        spreads={total.asset: _spread(members, total.asset, new.members) for total in totals},
    )


def _grouped(old: Judged, new: Judged, name: Callable[[Earned], str]) -> list[Moved]:
    lines: dict[Key, Moved] = {}
    earning: list[defaultdict[Key, set[str]]] = [defaultdict(set), defaultdict(set)]
    for side, judged in enumerate((old, new)):
        for each in judged.earned:
            key = (each.asset, name(each))
            line = lines.get(key) or lines.setdefault(key, Moved(*key))
            earning[side][key].add(each.transaction_id)
            if side == 0:
                line.old_reward += each.amount
                line.old_commission += each.commission
                line.old_cashbacks += 1
            else:
                line.new_reward += each.amount
                line.new_commission += each.commission
                line.new_cashbacks += 1
    for key, line in lines.items():
        before, now = earning[0][key], earning[1][key]
        line.beginning, line.ceasing = len(now - before), len(before - now)
    return list(lines.values())


def _largest(lines: list[Moved]) -> list[Moved]:
    return sorted(lines, key=lambda line: (-abs(line.difference), line.asset, line.name))


def _month(earned: Earned) -> str:
    return f"{to_datetime(earned.created_at):%Y-%m}"


BUCKETS_MAX = 12
SPREAD_MIN = 10
"""Members who gain or lose; fewer are told one by one, not in buckets."""
_SHARE_INSIDE = 0.98
"""Of the members who gain or lose: so many lie inside the closed buckets."""


def _spread(members: list[Moved], asset: str, judged: int) -> Spread:
    differences = sorted(line.difference for line in members if line.asset == asset)
    gains = [each for each in differences if each > 0]
    losses = [-each for each in reversed(differences) if each < 0]
    return Spread(
        gaining=len(gains),
        losing=len(losses),
        unchanged=judged - len(gains) - len(losses),
        median_gain=_median(gains),
        median_loss=_median(losses),
        buckets=_buckets(differences),
    )


def _median(ordered: list[int]) -> int:
    """The smallest amount that at least half of them do not exceed; 0 of none."""
    return ordered[(len(ordered) - 1) // 2] if ordered else 0


def _buckets(differences: list[int]) -> list[Bucket]:
    """Of ordered differences: buckets of one round width; the outermost may be open."""
    sizes = sorted(abs(each) for each in differences if each)
    if len(sizes) < SPREAD_MIN:
        return []
    is_one_sided = differences[0] >= 0 or differences[-1] <= 0
    reach = BUCKETS_MAX if is_one_sided else BUCKETS_MAX // 2
    width = _round_width(sizes[int((len(sizes) - 1) * _SHARE_INSIDE)], reach - 1)
    counts: Counter[int] = Counter()
    for each in filter(None, differences):
        place = min(reach, (abs(each) - 1) // width + 1)
        counts[place if each > 0 else -place] += 1
    places = range(min(counts), max(counts) + 1)
    return [_bucket(place, width, reach, counts[place]) for place in places if place]


def _bucket(place: int, width: int, reach: int, members: int) -> Bucket:
    if place > 0:
        return Bucket((place - 1) * width + 1, None if place == reach else place * width + 1, members)
    return Bucket(None if place == -reach else place * width, (place + 1) * width, members)


def _round_width(largest: int, closed: int) -> int:
    """1, 2 or 5 times a power of ten, so that so many closed buckets reach to `largest`."""
    wanted = max(1, -(-largest // closed))
    power = int(10 ** (len(str(wanted)) - 1))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= wanted)
