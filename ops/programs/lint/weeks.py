"""Whether two schedules ever hold at one moment."""

from streams.program import Window

_DAY = 24 * 60
_WEEK = 7 * _DAY


def can_meet(one: Window | None, other: Window | None) -> bool:
    """Whether a purchase can lie in both; excluded dates are not looked at, other time zones may meet."""
    if one is None or other is None or str(one.zone) != str(other.zone):
        return True
    return bool(_minutes(one) & _minutes(other))


def _minutes(window: Window) -> int:
    """The minutes of a week in which it holds, a bit each."""
    length = window.closes - window.opens
    if length <= 0:
        length += _DAY
    open_minutes = 0
    for weekday in window.weekdays:
        begins = (weekday - 1) * _DAY + window.opens
        bits = ((1 << length) - 1) << begins
        # What runs past Sunday night belongs to the Monday of the same pattern.
        open_minutes |= (bits | bits >> _WEEK) & ((1 << _WEEK) - 1)
    return open_minutes
