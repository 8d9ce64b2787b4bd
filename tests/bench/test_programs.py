"""The hundred programs of the bench: all types, three of them at each merchant, and all of them at work."""

from collections import Counter

from ops.bench.history import history
from ops.bench.programs import MERCHANTS, PROGRAMS, hundred_programs
from streams.simulate import simulate


def test_three_programs_name_each_merchant() -> None:
    programs = hundred_programs()
    named = Counter(merchant for program in programs for merchant in program.merchant_ids or ())
    assert len(programs) == PROGRAMS
    assert len(named) == MERCHANTS
    assert set(named.values()) == {3}
    assert {program.type for program in programs} == {"campaign", "deal", "airdrop", "loyalty_program"}


def test_the_history_meets_limits_stamps_and_choices() -> None:
    result = simulate(hundred_programs(), history(5_000))
    words = Counter(line["decision"] for line in result.decisions)
    assert words.keys() >= {
        *("REWARDED", "OUTRANKED", "THRESHOLD_NOT_REACHED", "NOT_ENTITLED", "NOT_NEW_MEMBER"),
        *("BELOW_MIN_SPEND", "OUTSIDE_SCHEDULE"),
    }
