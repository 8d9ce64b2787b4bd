"""What is due comes in (due time, key) order, whatever was noted when."""

from heapq import heappop, heappush

from hypothesis import given
from hypothesis import strategies as st

from streams.due import DRAWER, DueIndex

MOMENTS = st.integers(0, 40) | st.builds(
    lambda drawer, offset: drawer * DRAWER + offset, st.integers(0, 4), st.sampled_from([-1, 0, 1, 7])
).filter(lambda at: at >= 0)
STEPS = st.lists(st.tuples(st.booleans(), MOMENTS, st.binary(min_size=1, max_size=2)), max_size=60)


@given(STEPS)
def test_it_yields_what_a_heap_would(steps: list[tuple[bool, int, bytes]]) -> None:
    index, heap = DueIndex(), list[tuple[int, bytes]]()
    for is_push, at, key in steps:
        if is_push:
            index.push(at, key)
            heappush(heap, (at, key))
        else:
            assert index.pop(at) == (heappop(heap) if heap and heap[0][0] <= at else None)
        assert len(index) == len(heap)
    rest = [index.pop(2**63) for _ in heap]
    assert rest == sorted(heap)
    assert index.pop(2**63) is None
