"""Webhooks: a real receiver, the real queue, the official verification."""

import asyncio
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ops.settings import Settings
from schemas.webhooks import webhook_body
from sinks.webhooks.dispatcher import Dispatcher
from sinks.webhooks.endpoints import register
from sinks.webhooks.figures import figures
from tests.eventually import eventually
from tests.sinks.conftest import Processes
from tests.sinks.receiver import Receiver, Reply, verifier
from tests.sinks.test_posting import Book, cleared, created, reverted

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver()
    yield running
    running.close()


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    opened = Book(ledger_url)
    yield opened
    opened.connection.close()


@pytest.fixture
def endpoint(ledger_url: str, receiver: Receiver) -> Callable[..., str]:
    """Registers an endpoint at a path of the receiver and returns its secret."""

    def add(path: str, partner_id: str = "shop", **more: Any) -> str:
        url = receiver.url(path)
        more = {"livemode": True, "allow_loopback": True} | more
        return register(ledger_url, partner_id=partner_id, url=url, **more).secret

    return add


@pytest.fixture
def dispatching(ledger_url: str) -> Iterator[Callable[..., None]]:
    """Starts a dispatcher in this process, with settings changed as given."""
    stops: list[Callable[[], None]] = []

    def start(**changes: Any) -> None:
        loop = asyncio.new_event_loop()
        settings = Settings(**{"database_url": ledger_url, "webhook_allow_loopback": True} | changes)
        dispatcher = Dispatcher(settings, instance="test")
        thread = threading.Thread(target=lambda: loop.run_until_complete(dispatcher.run()))
        thread.start()

        def stop() -> None:
            loop.call_soon_threadsafe(dispatcher.stop)
            thread.join(20)
            assert not thread.is_alive()
            loop.close()

        stops.append(stop)

    yield start
    for stop in stops:
        stop()


def delivered(url: str, count: int) -> None:
    eventually(lambda: figures(url)["delivered"] == count, timeout_s=30)


def test_every_entry_is_told_once_with_the_bytes_of_the_contract_and_a_genuine_signature(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
    sql: Sql,
) -> None:
    genuine = verifier(endpoint("/hook"))
    events = [created(), cleared(created()), created("order-2"), reverted(created("order-2"))]
    book.post(*events, created(livemode=False))
    dispatching()
    delivered(ledger_url, 4)
    bodies = {each.message_id: each for each in receiver.received}
    assert bodies.keys() == {event["event_id"] for _, event in events}
    for record, event in events:
        assert bodies[event["event_id"]].body == webhook_body(record, event)
        assert genuine(bodies[event["event_id"]]) == json.loads(webhook_body(record, event))
    assert figures(ledger_url) == {"queued": 0, "delivered": 4, "failed_attempts": 0, "given_up": 0}
    told = sql(
        "SELECT count(*), count(*) FILTER (WHERE status = 200 AND response = 'ok') FROM webhook_attempts"
    )
    assert told == [(4, 4)]


def test_an_endpoint_gets_the_types_it_wants_and_is_signed_with_both_secrets(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
    sql: Sql,
) -> None:
    old = endpoint("/hook", event_types=["cashback.cleared"])
    new = "whsec_" + "A" * 32
    sql("UPDATE webhook_endpoints SET secrets = ARRAY[%s] || secrets", new)
    book.post(created(), cleared(created()))
    dispatching()
    delivered(ledger_url, 1)
    (only,) = receiver.received
    assert verifier(old)(only) == verifier(new)(only)
    assert json.loads(only.body)["type"] == "cashback.cleared"


def test_a_failed_delivery_is_repeated_with_the_same_id_and_body_and_nothing_overtakes_created(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
    sql: Sql,
) -> None:
    endpoint("/hook")
    receiver.script["/hook"] = deque([Reply(500), Reply(302, {"Location": "/elsewhere"}), Reply(404)])
    book.post(created(), cleared(created()))
    dispatching(webhook_retry_delays_s=(0.1,) * 9)
    delivered(ledger_url, 2)
    first, last = created()[1]["event_id"], cleared(created())[1]["event_id"]
    assert receiver.ids("/hook") == [first, first, first, first, last]
    assert receiver.ids("/elsewhere") == []
    assert len({each.body for each in receiver.received}) == 2
    log = sql("SELECT attempt, status, outcome FROM webhook_attempts ORDER BY attempt_id")
    assert log == [
        (1, 500, "failed"),
        (2, 302, "failed"),
        (3, 404, "failed"),
        (4, 200, "delivered"),
        (1, 200, "delivered"),
    ]


def test_410_disables_at_once_and_keeps_what_is_queued(
    book: Book, receiver: Receiver, endpoint: Callable[..., str], dispatching: Callable[..., None], sql: Sql
) -> None:
    endpoint("/gone")
    receiver.always["/gone"] = Reply(410)
    book.post(created())
    dispatching()
    eventually(lambda: sql("SELECT 1 FROM webhook_endpoints WHERE disabled_at IS NOT NULL"), timeout_s=15)
    book.post(cleared(created()))
    assert sql("SELECT disabled_reason FROM webhook_endpoints") == [("the receiver answered 410 Gone",)]
    assert sql("SELECT count(*) FROM webhook_queue") == [(1,)]
    assert sql("SELECT count(*) FROM webhook_messages") == [(2,)]
    assert len(receiver.received) == 1


def test_retry_after_is_honoured_for_the_whole_endpoint(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
    sql: Sql,
) -> None:
    endpoint("/busy")
    receiver.script["/busy"] = deque([Reply(429, {"Retry-After": "2"})])
    book.post(created())
    dispatching(webhook_retry_delays_s=(0.01,) * 9)
    eventually(lambda: receiver.received, timeout_s=15)
    book.post(created("order-2"))
    delivered(ledger_url, 2)
    gap = sql(
        "SELECT max(started_at) - min(started_at) >= interval '2 seconds', min(started_at) FILTER (WHERE attempt = 1 "
        "AND outcome = 'delivered') - min(started_at) >= interval '1.9 seconds' FROM webhook_attempts"
    )
    assert gap == [(True, True)]


def test_after_the_last_repetition_a_message_is_given_up_and_stays_in_the_log(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
) -> None:
    endpoint("/broken")
    receiver.always["/broken"] = Reply(500)
    book.post(created())
    dispatching(webhook_retry_delays_s=(0.01, 0.01))
    eventually(lambda: figures(ledger_url)["given_up"] == 1, timeout_s=15)
    assert figures(ledger_url) == {"queued": 0, "delivered": 0, "failed_attempts": 2, "given_up": 1}


def test_an_endpoint_where_all_failed_for_too_long_is_disabled(
    book: Book, receiver: Receiver, endpoint: Callable[..., str], dispatching: Callable[..., None], sql: Sql
) -> None:
    endpoint("/broken")
    receiver.always["/broken"] = Reply(500)
    book.post(created())
    dispatching(webhook_retry_delays_s=(0.1,) * 50, webhook_disable_after_hours=1 / 3_600)
    eventually(lambda: sql("SELECT 1 FROM webhook_endpoints WHERE disabled_at IS NOT NULL"), timeout_s=15)
    assert sql("SELECT failing_since < disabled_at FROM webhook_endpoints") == [(True,)]


def test_a_hanging_and_an_endless_receiver_delay_nobody_else(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
    sql: Sql,
) -> None:
    for path, reply in (
        ("/hangs", Reply(hang=True)),
        ("/endless", Reply(500, endless=True)),
        ("/fine", Reply()),
    ):
        endpoint(path)
        receiver.always[path] = reply
    book.post(*(created(f"order-{number}") for number in range(200)))
    dispatching(webhook_timeout_s=3)
    eventually(lambda: len(set(receiver.ids("/fine"))) == 200, timeout_s=15)
    eventually(
        lambda: sql("SELECT 1 FROM webhook_attempts WHERE error LIKE 'no answer within 3 s'"), timeout_s=15
    )
    eventually(lambda: sql("SELECT 1 FROM webhook_attempts WHERE length(response) = 20000"), timeout_s=15)
    slow = sql("""SELECT max(started_at) FILTER (WHERE url LIKE '%/fine') < min(started_at) + interval '3 seconds'
                  FROM webhook_attempts JOIN webhook_endpoints USING (endpoint_id)""")
    assert slow == [(True,)]


def test_without_the_setting_nothing_connects_to_this_machine(
    book: Book, receiver: Receiver, dispatching: Callable[..., None], sql: Sql
) -> None:
    sql(
        "INSERT INTO webhook_endpoints (partner_id, livemode, url, secrets, event_types) VALUES "
        "('shop', true, %s, ARRAY['whsec_' || repeat('A', 32)], '{cashback.created}')",
        f"http://localhost:{receiver.port}/hook",
    )
    book.post(created())
    dispatching(webhook_allow_loopback=False)
    eventually(lambda: sql("SELECT 1 FROM webhook_attempts"), timeout_s=15)
    assert sql("SELECT status, error FROM webhook_attempts")[0][1].endswith("is not a public address")
    assert receiver.received == []


def test_a_dispatcher_killed_in_mid_air_delays_nothing_and_loses_nothing(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    processes: Processes,
    ledger_url: str,
    sql: Sql,
) -> None:
    genuine = verifier(endpoint("/hook"))
    receiver.script["/hook"] = deque([Reply(hang=True)] * 20)
    events = [created(f"order-{number}") for number in range(300)]
    book.post(*events)
    first = processes.start("sinks.webhooks", webhook_allow_loopback=True)
    eventually(lambda: len(receiver.received) >= 20, timeout_s=30)
    first.kill()
    first.wait(10)
    processes.start("sinks.webhooks", webhook_allow_loopback=True)
    delivered(ledger_url, 300)
    assert receiver.times_received().keys() == {event["event_id"] for _, event in events}
    bodies = {}
    for each in receiver.received:
        genuine(each)
        assert bodies.setdefault(each.message_id, each.body) == each.body
    assert sql("SELECT count(*) FROM webhook_queue") == [(0,)]


def test_two_dispatchers_share_the_work_and_send_nothing_twice(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
) -> None:
    endpoint("/hook")
    dispatching()
    dispatching()
    for start in range(0, 600, 100):
        pairs = [created(f"order-{number}") for number in range(start, start + 100)]
        book.post(*pairs, *map(cleared, pairs))
    delivered(ledger_url, 1_200)
    assert set(receiver.times_received().values()) == {1}
    places = {message_id: place for place, message_id in enumerate(receiver.ids("/hook"))}
    for number in range(600):
        event = created(f"order-{number}")
        assert places[event[1]["event_id"]] < places[cleared(event)[1]["event_id"]]


def test_a_lost_session_of_the_dispatcher_is_replaced(
    book: Book,
    receiver: Receiver,
    endpoint: Callable[..., str],
    dispatching: Callable[..., None],
    ledger_url: str,
    sql: Sql,
) -> None:
    endpoint("/hook")
    book.post(*(created(f"order-{number}") for number in range(500)))
    dispatching()
    eventually(lambda: len(receiver.received) > 50, timeout_s=15)
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cashback webhooks'")
    delivered(ledger_url, 500)
