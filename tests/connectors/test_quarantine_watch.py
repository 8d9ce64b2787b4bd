"""Which quarantined records count as open."""

from hypothesis import given
from hypothesis import strategies as st

from connectors.quarantine_watch import OpenRecords
from schemas.quarantine import Place

places = st.builds(Place, st.integers(0, 2), st.integers(0, 3))
set_aside = st.tuples(places, st.sampled_from(("undecodable", "conflict")), st.integers(1, 1_000))


@given(
    st.dictionaries(places, st.tuples(st.sampled_from(("undecodable", "conflict")), st.integers(1, 1_000))),
    st.sets(places),
    st.randoms(use_true_random=False),
)
def test_the_open_ones_are_those_without_a_resolution_in_whatever_order_the_topics_are_read(
    quarantined: dict[Place, tuple[str, int]], resolved: set[Place], order: object
) -> None:
    steps: list[tuple[Place, tuple[str, int] | None]] = [
        *quarantined.items(),
        *((place, None) for place in resolved),
    ]
    order.shuffle(steps)  # type: ignore[attr-defined]
    records = OpenRecords()
    for place, said in steps:
        if said is None:
            records.resolve(place)
        else:
            records.set_aside(place, *said)
    left = [said for place, said in quarantined.items() if place not in resolved]
    assert records.oldest_ms() == min((seen for _, seen in left), default=None)
    counts = {reason: count for reason, count in records.counts().items() if count}
    assert counts == {reason: sum(r == reason for r, _ in left) for reason in {r for r, _ in left}}


def test_a_reason_this_version_does_not_know_is_counted_all_the_same() -> None:
    records = OpenRecords()
    records.set_aside(Place(0, 1), "of tomorrow", 5)
    assert records.counts()["rejected"] == 1
