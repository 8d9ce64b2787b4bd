"""Lanes: several sessions of one sink side by side, that meet only in the database."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
import pytest
from confluent_kafka import Message, TopicPartition

from schemas.codec import encode
from schemas.topics import CASHBACK_EVENTS, Topic
from sinks.database import become_writer, session_options
from sinks.lanes import Lane, State, follow_together
from sinks.ledger.posting import Batch, Ledger, Posted
from sinks.positions import Positions, Superseded
from sinks.reconcile import reconcile
from tests.eventually import eventually
from tests.sinks.conftest import Log, Processes
from tests.sinks.test_consumer import entries, has_posted_more_than, history
from tests.sinks.test_posting import Event, balances, cleared, created, reverted
from tests.sinks.test_reversing import case

Sql = Callable[..., list[tuple[Any, ...]]]

LANES = 2
MERCHANTS = 40
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


class Pair:
    """Two lanes of one ledger, each with one partition."""

    def __init__(self, url: str) -> None:
        options = session_options("test")
        self.sessions = [psycopg.connect(url, autocommit=True, **options) for _ in range(LANES)]
        whole = Positions(sink="ledger", instance="one", stale_ms=10_000)
        whole.load(self.sessions[0], {("events", lane): 0 for lane in range(LANES)})
        self._shares = [whole.share(lane, LANES) for lane in range(LANES)]
        for each in self.sessions:
            become_writer(each)
        self._ledgers = [Ledger(*each) for each in zip(self.sessions, self._shares, strict=True)]
        self._pool = ThreadPoolExecutor(LANES)

    def post(self, lane: int, *events: Event | bytes) -> Future[Posted]:
        """Begins to post a batch in a lane."""
        batch = Batch(1_000)
        for offset, event in enumerate(events, self._shares[lane].next_offsets["events", lane]):
            value = event if isinstance(event, bytes) else encode(*event)
            batch.add(Message(topic="events", partition=lane, offset=offset, key=b"k", value=value))
        return self._pool.submit(self._ledgers[lane].post, batch)

    def close(self) -> None:
        for each in self.sessions:
            each.cancel()
        self._pool.shutdown()
        for each in self.sessions:
            each.close()


@pytest.fixture
def pair(ledger_url: str) -> Iterator[Pair]:
    opened = Pair(ledger_url)
    yield opened
    opened.close()


@pytest.fixture
def outsider(ledger_url: str) -> Iterator[psycopg.Connection]:
    """A session of somebody else, in a transaction as soon as it says something."""
    with psycopg.connect(ledger_url) as connection:
        yield connection
        connection.rollback()


def of_lane(lane: int, merchants: Sequence[int]) -> list[Event]:
    """A cashback of each merchant by a member of that lane, all resolved."""
    begun = [
        created(
            f"order-{lane}-{each}", 100 + each, member_id=f"member-{lane}", merchant_id=f"merchant-{each}"
        )
        for each in merchants
    ]
    ends = (reverted(each) if each[1]["amount"] % 3 else cleared(each) for each in begun)
    return [*begun, *ends]


def test_lanes_that_meet_at_all_merchants_keep_every_balance(pair: Pair, sql: Sql, ledger_url: str) -> None:
    # In opposite orders, and new to both: each opens accounts and records rates that the other wants as well.
    orders = (range(MERCHANTS), range(MERCHANTS - 1, -1, -1))
    for first in range(3):
        rounds = [[each for each in order if each % 3 == first] for order in orders]
        posting = [pair.post(lane, *of_lane(lane, each)) for lane, each in enumerate(rounds)]
        for lane, each in enumerate(posting):
            posted = each.result(30)
            assert (posted.entries, posted.repeated, posted.refused) == (2 * len(rounds[lane]), 0, 0)
    amounts = [100 + each for each in range(MERCHANTS)]
    earned = LANES * sum(amount for amount in amounts if amount % 3 == 0)
    assert balances(sql)["member:wallet"] == earned
    assert sum(balances(sql).values()) == 0
    assert sql("SELECT count(*) FROM merchant_rates") == [(MERCHANTS,)]
    assert {line.proof for line in reconcile(ledger_url)} == {0}
    assert sql("SELECT next_offset FROM sink_positions") == [(2 * MERCHANTS,)] * LANES


def test_lanes_that_wait_for_each_other_in_a_circle_both_post_in_the_end(
    pair: Pair, outsider: psycopg.Connection, sql: Sql
) -> None:
    pair.post(0, created("order-0")).result(10)
    taken = "INSERT INTO purchases VALUES (9999999, true, 'shop', 'between', 'tx_0', 'bob', 'grocer')"
    outsider.execute(taken)
    both = [created("one"), created("between"), created("other")]
    # Each writes its first and waits at the second; then one of them gets that, and wants the other's first.
    posting = [pair.post(0, *both), pair.post(1, *reversed(both))]
    eventually(lambda: sql(WAITING) == [(LANES,)], timeout_s=10)
    outsider.rollback()
    assert [each.exception(30) for each in posting] == [None] * LANES
    come_to = [each.result() for each in posting]
    assert sum(each.entries for each in come_to) == len(both)
    assert sum(each.repeated for each in come_to) == len(both)
    assert sql("SELECT count(*) FROM entries") == [(1 + len(both),)]
    assert sql("SELECT count(*) FROM ledger_quarantine") == [(0,)]


def test_what_all_lanes_share_is_held_only_at_the_end(
    pair: Pair, outsider: psycopg.Connection, sql: Sql
) -> None:
    one, two = created("one"), created("two", member_id="bob")
    pair.post(0, created("earlier"), case(2, case_id="rvc_0")).result(10)
    pair.post(1, created("before", member_id="bob")).result(10)
    outsider.execute(
        "INSERT INTO reversal_cases SELECT (jsonb_populate_record(reversal_cases, "
        '\'{"case_id": "rvc_1"}\')).* FROM reversal_cases'
    )
    held_up = pair.post(0, one, cleared(one), case(2, case_id="rvc_1"))
    eventually(lambda: sql(WAITING) == [(1,)], timeout_s=10)
    # The same merchant and month: what the first lane moves there it has not moved yet.
    free = pair.post(1, two, cleared(two))
    eventually(free.done, timeout_s=10)
    assert free.result().entries == 2
    outsider.rollback()
    assert held_up.result(10).entries == 2
    assert sum(balances(sql).values()) == 0


def test_what_the_database_refuses_in_one_lane_leaves_the_other_alone(pair: Pair, sql: Sql) -> None:
    sql("ALTER TABLE entries ADD CHECK (receipt_id <> 'poison')")
    poisoned = [created(f"order-{each}", receipt_id="poison" if each == 5 else "r") for each in range(9)]
    sound = [created(f"other-{each}", member_id="bob") for each in range(9)]
    refused, fine = pair.post(0, *poisoned), pair.post(1, *sound)
    assert (refused.result(30).entries, refused.result().refused) == (8, 1)
    assert (fine.result(30).entries, fine.result().refused) == (9, 0)
    quarantined = sql("SELECT partition, record_offset, reason FROM ledger_quarantine")
    assert quarantined == [(0, 5, "refused_by_database")]


def test_a_lane_whose_positions_another_instance_took_stops_alone(pair: Pair, sql: Sql) -> None:
    sql("UPDATE sink_positions SET instance = 'other' WHERE partition = 0")
    with pytest.raises(Superseded):
        pair.post(0, created("one")).result(10)
    assert pair.post(1, created("two", member_id="bob")).result(10).entries == 1
    assert sql("SELECT partition, next_offset FROM sink_positions ORDER BY 1") == [(0, 0), (1, 1)]


@dataclass
class Told:
    """A batch of records that nobody looks into."""

    messages: list[Message] = field(default_factory=list)

    def add(self, message: Message, /) -> None:
        self.messages.append(message)

    def __len__(self) -> int:
        return len(self.messages)


class Telling:
    """Work that hands each batch to a function of its lane."""

    name = "telling"
    topics: tuple[Topic, ...] = (CASHBACK_EVENTS,)
    lanes = LANES
    batch_records_max = 1
    calm_s = 0.0
    needs_all = False

    def __init__(self, *writers: Callable[[Told], int]) -> None:
        self._writers = iter(writers)

    def prepare(self, connection: psycopg.Connection, positions: Positions) -> Callable[[Told], int]:
        return next(self._writers)

    def knows(self, connection: psycopg.Connection, message: Message) -> bool:
        return True

    def batch(self) -> Told:
        return Told()

    def count(self, written: int) -> dict[str, int]:
        return {"told": written}


class Endless:
    """A reader that always has another record."""

    def consume(self, num_messages: int, timeout: float, /) -> list[Message]:
        return [Message(topic="events", partition=0, offset=0, value=b"")]

    def get_watermark_offsets(self, _: TopicPartition, /, *, cached: bool) -> None:
        return None


def side_by_side(*writers: Callable[[Told], int]) -> tuple[State, list[Lane[Told, int]]]:
    work, state = Telling(*writers), State()
    nowhere = cast(psycopg.Connection, None)
    positions = Positions(sink="telling", instance="one", stale_ms=10_000)
    return state, [Lane(work, nowhere, positions, Endless(), state) for _ in writers]


def test_a_lane_that_fails_ends_the_others_after_the_batch_under_way() -> None:
    begun, failing = threading.Event(), threading.Event()

    def work(_: Told) -> int:
        begun.set()
        assert failing.wait(10)
        return 1

    def fail(_: Told) -> int:
        assert begun.wait(10)
        failing.set()
        raise psycopg.OperationalError("gone")

    state, lanes = side_by_side(work, fail)
    with pytest.raises(psycopg.OperationalError, match="gone"):
        follow_together(lanes, lambda: False)
    assert state.counts["told"] >= 1


@pytest.mark.parametrize("turned", [False, True])
def test_what_no_new_session_mends_comes_before_a_database_that_is_away(turned: bool) -> None:
    both = threading.Barrier(LANES)

    def failing_with(error: Exception) -> Callable[[Told], int]:
        def fail(_: Told) -> int:
            both.wait(10)
            raise error

        return fail

    writers = [failing_with(psycopg.OperationalError("gone")), failing_with(Superseded("taken over"))]
    _, lanes = side_by_side(*(reversed(writers) if turned else writers))
    with pytest.raises(Superseded):
        follow_together(lanes, lambda: False)


@dataclass
class Instance:
    """An instance of a sink with a first session and a second one."""

    positions: Positions
    first: psycopg.Connection
    second: psycopg.Connection


@pytest.fixture
def instances(ledger_url: str) -> Iterator[Callable[[str], Instance]]:
    """Opens instances whose silence is noticed at once."""
    opened: list[Instance] = []

    def open_one(name: str, stale_ms: int = 0) -> Instance:
        first, second = (
            psycopg.connect(ledger_url, autocommit=True, **session_options(name)) for _ in range(2)
        )
        opened.append(Instance(Positions(sink="ledger", instance=name, stale_ms=stale_ms), first, second))
        return opened[-1]

    yield open_one
    for each in opened:
        each.first.close()
        each.second.close()


def works(instance: Instance) -> None:
    assert instance.positions.try_claim(instance.first)
    instance.positions.load(instance.first, {("events", 0): 0})
    instance.positions.join(instance.second)


def has_ended(session: psycopg.Connection) -> bool:
    try:
        session.execute("SELECT")
    except psycopg.OperationalError:
        return True
    return False


HELD = "UPDATE sink_positions SET next_offset = 7"


def test_all_sessions_of_an_instance_that_fell_silent_are_ended(
    instances: Callable[[str], Instance],
) -> None:
    older, newer = instances("older"), instances("newer")
    works(older)
    older.second.execute("BEGIN")
    older.second.execute(HELD)  # stopped in the middle of a batch
    eventually(lambda: newer.positions.try_claim(newer.first), timeout_s=10)
    newer.positions.load(newer.first, {("events", 0): 0})
    assert newer.positions.next_offsets == {("events", 0): 0}
    for each in (older.first, older.second):
        with pytest.raises(psycopg.OperationalError):
            each.execute("SELECT")


def test_an_instance_that_fell_silent_within_a_copy_is_ended(instances: Callable[[str], Instance]) -> None:
    """The server waits for its rows for ever, whatever timeouts it was given."""
    older, newer = instances("older"), instances("newer")
    works(older)
    older.second.execute("BEGIN")
    older.second.execute("CREATE TEMPORARY TABLE half (each int)")
    older.second.pgconn.exec_(b"COPY half FROM STDIN")
    eventually(lambda: newer.positions.try_claim(newer.first), timeout_s=10)


def test_of_two_that_start_after_a_long_silence_the_first_is_let_be(
    instances: Callable[..., Instance], sql: Sql
) -> None:
    """Between its claim and its first word it asks Kafka, which may take a while."""
    works(gone := instances("gone"))
    for each in (gone.first, gone.second):
        each.close()
    sql("UPDATE sink_positions SET moved_at = now() - interval '1 hour'")
    one, other = instances("one", 10_000), instances("other", 10_000)
    eventually(lambda: one.positions.try_claim(one.first), timeout_s=10)
    assert not other.positions.try_claim(other.first)
    one.positions.load(one.first, {("events", 0): 0})


def test_who_lost_its_first_session_leaves_whoever_took_over_in_peace(
    instances: Callable[..., Instance],
) -> None:
    older, newer = instances("older", 10_000), instances("newer", 10_000)
    works(older)
    older.first.close()
    eventually(lambda: newer.positions.try_claim(newer.first), timeout_s=10)
    with pytest.raises(Superseded, match="newer has taken over"):
        older.positions.try_claim(instances("older").first)
    newer.positions.load(newer.first, {("events", 0): 0})


def test_a_session_that_waits_for_another_of_its_instance_is_no_sign_of_life(
    instances: Callable[[str], Instance], sql: Sql
) -> None:
    older, newer = instances("older"), instances("newer")
    works(older)
    older.first.execute("BEGIN")
    older.first.execute(HELD)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(older.second.execute, HELD)
        eventually(lambda: sql(WAITING) == [(1,)], timeout_s=10)
        eventually(lambda: newer.positions.try_claim(newer.first), timeout_s=10)
        waiting.exception(10)  # it may have come through when the first one ended, just before its own end
        eventually(lambda: has_ended(older.second), timeout_s=10)


def test_a_session_that_waits_for_somebody_else_works(
    instances: Callable[[str], Instance], outsider: psycopg.Connection, sql: Sql
) -> None:
    older, newer = instances("older"), instances("newer")
    works(older)
    outsider.execute(HELD)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(older.second.execute, HELD)
        eventually(lambda: sql(WAITING) == [(1,)], timeout_s=10)
        assert not newer.positions.try_claim(newer.first)
        outsider.rollback()
        assert waiting.result(10).rowcount == 1


def test_what_is_left_of_an_instance_that_lost_its_first_session_is_ended(
    instances: Callable[[str], Instance],
) -> None:
    older, newer = instances("older"), instances("newer")
    works(older)
    older.second.execute("BEGIN")
    older.second.execute(HELD)
    older.first.close()
    eventually(lambda: newer.positions.try_claim(newer.first), timeout_s=10)
    newer.positions.load(newer.first, {("events", 0): 0})
    assert newer.positions.next_offsets == {("events", 0): 0}
    with pytest.raises(psycopg.OperationalError):
        older.second.execute("COMMIT")


def test_partitions_are_shared_out_without_rest() -> None:
    whole = Positions(sink="ledger", instance="one", stale_ms=10_000)
    whole.next_offsets = {(topic, each): each for topic in ("events", "cases") for each in range(7)}
    shares = [whole.share(lane, 3).next_offsets for lane in range(3)]
    assert {place: offset for share in shares for place, offset in share.items()} == whole.next_offsets
    assert sum(map(len, shares)) == len(whole.next_offsets)
    for share in shares:
        partitions = [{each for topic, each in share if topic == name} for name in ("events", "cases")]
        assert partitions[0] == partitions[1], "what two topics say of a member stays together"


@pytest.mark.parametrize(("lanes", "sessions"), [(1, 1), (2, 2), (5, 2)])
def test_the_ledger_opens_as_many_sessions_as_it_is_told_and_has_partitions_for(
    log: Log, processes: Processes, sql: Sql, lanes: int, sessions: int
) -> None:
    events = history(100)
    log.publish(events, partitions=2)
    processes.start("sinks.ledger", ledger_lanes=lanes)
    eventually(lambda: entries(sql) == len(events), timeout_s=30)
    named = f"{log.settings.topic_prefix}ledger"
    assert sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = %s", named) == [(sessions,)]


def test_one_lost_session_of_several_costs_no_more_than_its_batch(
    log: Log, processes: Processes, sql: Sql, ledger_url: str
) -> None:
    events = history(1_500)
    log.publish(events, partitions=2)
    sink = processes.start("sinks.ledger", ledger_batch_events=50)
    one = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = %s ORDER BY backend_start DESC, pid LIMIT 1 OFFSET %s"""
    for turn, goal in enumerate((200, 900, 1_600)):
        has_posted_more_than(sql, goal)
        sql(one, f"{log.settings.topic_prefix}ledger", turn % LANES)
    eventually(lambda: entries(sql) == len(events), timeout_s=30)
    assert sink.poll() is None
    assert sql("SELECT count(DISTINCT event_id) FROM entries") == [(len(events),)]
    assert {line.proof for line in reconcile(ledger_url)} == {0}
