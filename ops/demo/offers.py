"""What the demo's households may use: the grocer's real campaigns as airdrops, its real coupons as clips.

Real: 27 campaigns with their days and type (A, B, C), the 6 589 mailings that brought one to a household, and
2 102 coupons redeemed, each on a day within its campaign. Made up: that a campaign is cashback on baskets,
and a coupon a clip of a deal, clipped an hour before the household's first basket of that day.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from ops.demo.source import PARTNER, STORE_ZONE, Year, member_of, read
from schemas.entitlements import AIRDROPPED, CLIPPED, Entitlement
from schemas.times import MINUTE, SECOND, Micros, to_datetime

CLIPPED_BEFORE: Micros = 60 * MINUTE
_ONE_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Campaign:
    """One campaign of the source; `kind` is a, b or c."""

    campaign_id: int
    kind: str
    first_day: date
    last_day: date

    @property
    def program_id(self) -> str:
        """The airdrop program that it becomes."""
        return f"campaign-{self.campaign_id:02d}"

    @property
    def deal_id(self) -> str:
        """The deal program whose clips its coupons become."""
        return f"coupons-{self.kind}"

    @property
    def starts_at(self) -> Micros:
        """Midnight at which it begins, by the clock of the stores."""
        return _midnight(self.first_day)

    @property
    def ends_at(self) -> Micros:
        """Midnight after its last day."""
        return _midnight(self.last_day + _ONE_DAY)


def campaigns() -> dict[int, Campaign]:
    """All campaigns of the source by number."""
    columns = ["campaign_id", "campaign_type", "start_date", "end_date"]
    return {
        row["campaign_id"]: Campaign(
            row["campaign_id"],
            row["campaign_type"].removeprefix("Type ").lower(),
            row["start_date"].date(),
            row["end_date"].date(),
        )
        for row in read("campaign_descriptions", columns).to_pylist()
    }


def entitlements(year: Year) -> list[Entitlement]:
    """All airdrops and clips of a run's households, by the time of their grant."""
    known = campaigns()
    households = {basket.household_id for basket in year.baskets}
    found = [*_airdrops(known, households), *_clips(known, households, _first_baskets(year))]
    return sorted(found, key=lambda said: (said.granted_at, said.member_id, said.id))


def _airdrops(known: dict[int, Campaign], households: set[int]) -> list[Entitlement]:
    rows = read("campaigns", ["campaign_id", "household_id"]).to_pylist()
    return [
        Entitlement(
            kind=AIRDROPPED,
            partner_id=PARTNER,
            member_id=member_of(row["household_id"]),
            airdrop_id=f"mailing-{row['campaign_id']:02d}-{row['household_id']}",
            program_id=campaign.program_id,
            variant_id=f"type-{campaign.kind}",
            creative_id=campaign.program_id,
            granted_at=campaign.starts_at,
            expires_at=campaign.ends_at,
        )
        for row in rows
        if row["household_id"] in households
        for campaign in [known[row["campaign_id"]]]
    ]


def _clips(
    known: dict[int, Campaign], households: set[int], first_baskets: dict[tuple[int, date], Micros]
) -> list[Entitlement]:
    rows = read("coupon_redemptions", ["household_id", "campaign_id", "redemption_date"]).to_pylist()
    clips = []
    for number, row in enumerate(rows, start=1):
        if row["household_id"] not in households:
            continue
        campaign, day = known[row["campaign_id"]], row["redemption_date"].date()
        bought_at = first_baskets.get((row["household_id"], day))
        clips.append(
            Entitlement(
                kind=CLIPPED,
                partner_id=PARTNER,
                member_id=member_of(row["household_id"]),
                clip_id=f"coupon-{number:04d}",
                program_id=campaign.deal_id,
                granted_at=_midnight(day) if bought_at is None else bought_at - CLIPPED_BEFORE,
                expires_at=campaign.ends_at,
            )
        )
    return clips


def _first_baskets(year: Year) -> dict[tuple[int, date], Micros]:
    """When each household bought first on each of its days, by the clock of the stores."""
    found: defaultdict[tuple[int, date], Micros] = defaultdict(lambda: 2**62)
    for basket in year.baskets:
        day = to_datetime(basket.bought_at).astimezone(STORE_ZONE).date()
        found[basket.household_id, day] = min(found[basket.household_id, day], basket.bought_at)
    return dict(found)


def _midnight(day: date) -> Micros:
    return round(datetime.combine(day, time(), STORE_ZONE).timestamp()) * SECOND
