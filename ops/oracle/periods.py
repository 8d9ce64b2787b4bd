"""The calendar periods of limits, caps and budgets, by the wall clock of a zone."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

PERIODS = ("day", "week", "month", "lifetime")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def local_time(at: int, zone: ZoneInfo) -> datetime:
    """What the wall clock of the zone shows at an instant (µs)."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone)


def label(period: str, at: int, zone: ZoneInfo) -> str:
    """The name of the period that an instant (µs) lies in: 2024-02-29, 2024-W09, 2024-02, or ever."""
    if period == "lifetime":
        return "ever"
    day = local_time(at, zone).date()
    if period == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    return day.isoformat() if period == "day" else f"{day.year}-{day.month:02}"
