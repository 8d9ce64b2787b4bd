"""How many histories a law is tried on: the same few on every run, or many new ones.

`pytest tests/laws --hypothesis-profile=thorough --timeout=0` is the long run.
"""

from hypothesis import HealthCheck, settings

THOROUGH = "thorough"
_MORE = 50

settings.register_profile(THOROUGH, deadline=None, print_blob=True)
# No test fails by the clock: the machine may be busy with others.
settings.register_profile("ordinary", deadline=None)
settings.load_profile("ordinary")


def law(examples: int) -> settings:
    """Settings for a law tried on this many histories, fifty times as many in the thorough profile."""
    thorough = settings.get_current_profile_name() == THOROUGH
    return settings(
        max_examples=examples * _MORE if thorough else examples,
        derandomize=not thorough,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
