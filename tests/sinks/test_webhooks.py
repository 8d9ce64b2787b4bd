"""Webhooks: a real receiver, the real queue, the official verification."""

import json
import signal
from collections import deque

import pytest
from prometheus_client import REGISTRY

from ops.settings import Settings
from schemas.webhooks import webhook_body
from sinks.webhooks.endpoints import enable
from sinks.webhooks.figures import figures
from sinks.webhooks.lane import WINDOW_AT_FIRST
from sinks.webhooks.terms import EndpointRefused
from tests.eventually import eventually
from tests.sinks.conftest import Processes
from tests.sinks.receiver import Reply, verifier
from tests.sinks.scene import BY, Scene
from tests.sinks.test_posting import cleared, created, reverted


def times_disabled(reason: str) -> float:
    """What the metric for alerts counts."""
    return REGISTRY.get_sample_value("cashback_webhook_disabled_total", {"reason": reason}) or 0.0


def test_every_entry_is_told_once_with_the_bytes_of_the_contract_and_a_genuine_signature(
    scene: Scene,
) -> None:
    genuine = verifier(scene.endpoint("/hook"))
    events = [created(), cleared(created()), created("order-2"), reverted(created("order-2"))]
    scene.book.post(*events, created(livemode=False))
    scene.dispatch()
    scene.delivered(4)
    bodies = {each.message_id: each for each in scene.receiver.received}
    assert bodies.keys() == {event["event_id"] for _, event in events}
    for record, event in events:
        assert bodies[event["event_id"]].body == webhook_body(record, event)
        assert genuine(bodies[event["event_id"]]) == json.loads(webhook_body(record, event))
    assert figures(scene.url) == {"queued": 0, "delivered": 4, "failed_attempts": 0, "given_up": 0}
    told = scene.sql(
        "SELECT count(*), count(*) FILTER (WHERE status = 200 AND response = 'ok') FROM webhook_attempts"
    )
    assert told == [(4, 4)]


def test_a_reversal_is_told_after_its_cleared_and_names_nobody(scene: Scene) -> None:
    scene.endpoint("/hook")
    who = {"reason": "REVERSED", "case_id": "rvc_1", "actor": "dora", "note": "returned"}
    taken_back = reverted(created(), **who)
    scene.book.post(created(), cleared(created()))
    scene.book.post(taken_back)
    scene.dispatch()
    scene.delivered(3)
    told = scene.receiver.received
    assert [json.loads(each.body)["type"] for each in told] == [
        "cashback.created",
        "cashback.cleared",
        "cashback.reverted",
    ]
    assert told[-1].body == webhook_body(*taken_back)
    assert b"dora" not in told[-1].body


def test_what_was_posted_before_is_not_told_again(scene: Scene) -> None:
    scene.endpoint("/hook")
    events = [created(), cleared(created())]
    scene.book.post(*events)
    again = scene.book.post(*events)
    assert (again.entries, again.repeated, again.refused) == (0, 2, 0)
    assert scene.sql("SELECT count(*) FROM webhook_messages") == [(2,)]
    assert scene.sql("SELECT count(*) FROM webhook_queue") == [(2,)]


def test_history_is_booked_and_marked_and_nobody_is_ever_told(scene: Scene) -> None:
    scene.endpoint("/hook")
    history = [created("old", silent=True), reverted(created("old"), silent=True)]
    assert scene.book.post(*history, created(), cleared(created())).entries == 4
    assert scene.book.post(*history).repeated == 2
    assert scene.sql(
        "SELECT transaction_ref, transition::text, entries.silent FROM entries "
        "JOIN cashbacks USING (cashback_no) JOIN purchases USING (purchase_no) ORDER BY 1, 2"
    ) == [
        ("old", "created", True),
        ("old", "reverted", True),
        ("order-1", "cleared", False),
        ("order-1", "created", False),
    ]
    told = [(created()[1]["event_id"],), (cleared(created())[1]["event_id"],)]
    assert scene.sql("SELECT event_id FROM webhook_messages ORDER BY entry_id") == told
    assert scene.sql("SELECT count(*) FROM webhook_queue") == [(2,)]
    scene.endpoint("/later")
    scene.dispatch()
    scene.delivered(2)
    assert scene.receiver.ids("/hook") == [event_id for (event_id,) in told]
    assert scene.receiver.ids("/later") == []


def test_an_endpoint_gets_the_types_it_wants_and_is_signed_with_both_secrets(
    scene: Scene,
) -> None:
    old = scene.endpoint("/hook", event_types=["cashback.cleared"])
    new = scene.rotate("/hook")
    scene.book.post(created(), cleared(created()))
    scene.dispatch()
    scene.delivered(1)
    (only,) = scene.receiver.received
    assert verifier(old)(only) == verifier(new)(only)
    assert json.loads(only.body)["type"] == "cashback.cleared"


def test_a_failed_delivery_is_repeated_with_the_same_id_and_body_and_nothing_overtakes_created(
    scene: Scene,
) -> None:
    scene.endpoint("/hook")
    scene.receiver.script["/hook"] = deque([Reply(500), Reply(302, {"Location": "/elsewhere"}), Reply(404)])
    scene.book.post(created(), cleared(created()))
    scene.dispatch(webhook_retry_delays_s=(0.1,) * 9)
    scene.delivered(2)
    first, last = created()[1]["event_id"], cleared(created())[1]["event_id"]
    assert scene.receiver.ids("/hook") == [first, first, first, first, last]
    assert scene.receiver.ids("/elsewhere") == []
    assert len({each.body for each in scene.receiver.received}) == 2
    log = scene.sql("SELECT attempt, status, outcome FROM webhook_attempts ORDER BY attempt_id")
    assert log == [
        (1, 500, "failed"),
        (2, 302, "failed"),
        (3, 404, "failed"),
        (4, 200, "delivered"),
        (1, 200, "delivered"),
    ]


def test_410_disables_at_once_and_keeps_what_is_queued(
    scene: Scene,
) -> None:
    scene.endpoint("/gone")
    scene.receiver.always["/gone"] = Reply(410)
    scene.book.post(created())
    before = times_disabled("gone")
    scene.dispatch()
    eventually(scene.disabled, timeout_s=15)
    eventually(lambda: times_disabled("gone") == before + 1, timeout_s=15)
    scene.book.post(cleared(created()))
    assert scene.sql("SELECT disabled_reason FROM webhook_endpoints") == [("the receiver answered 410 Gone",)]
    assert scene.sql("SELECT count(*) FROM webhook_queue") == [(1,)]
    assert scene.sql("SELECT count(*) FROM webhook_messages") == [(2,)]
    assert len(scene.receiver.received) == 1


def test_an_endpoint_that_is_enabled_again_gets_first_what_it_missed(scene: Scene) -> None:
    scene.endpoint("/gone")
    scene.book.post(created("before"))
    scene.dispatch()
    scene.delivered(1)
    scene.receiver.always["/gone"] = Reply(410)
    scene.book.post(created())
    eventually(scene.disabled, timeout_s=15)
    scene.book.post(cleared(created()), created("later"))
    [(endpoint_id,)] = scene.sql("SELECT endpoint_id FROM webhook_endpoints")
    scene.receiver.always["/gone"] = Reply(200)
    assert enable(scene.url, endpoint_id, **BY) == 2
    assert enable(scene.url, endpoint_id, **BY) is None
    scene.delivered(4)
    told = scene.sql("SELECT event_id FROM webhook_messages ORDER BY entry_id")
    got = scene.receiver.ids("/gone")
    assert sorted(set(got)) == sorted(event_id for (event_id,) in told)
    assert got.index(created()[1]["event_id"]) < got.index(cleared(created())[1]["event_id"])


def test_an_endpoint_that_is_not_there_is_not_enabled(scene: Scene) -> None:
    with pytest.raises(EndpointRefused, match="endpoint_id: there is no endpoint 7"):
        enable(scene.url, 7, **BY)


def test_retry_after_is_honoured_for_the_whole_endpoint(
    scene: Scene,
) -> None:
    scene.endpoint("/busy")
    scene.receiver.script["/busy"] = deque([Reply(429, {"Retry-After": "2"})])
    scene.book.post(created())
    scene.dispatch(webhook_retry_delays_s=(0.01,) * 9)
    eventually(lambda: scene.receiver.received, timeout_s=15)
    scene.book.post(created("order-2"))
    scene.delivered(2)
    gap = scene.sql("""
        SELECT max(started_at) - min(started_at) >= interval '2 seconds',
               min(started_at) FILTER (WHERE attempt = 1 AND outcome = 'delivered') - min(started_at)
                   >= interval '1.9 seconds'
        FROM webhook_attempts""")
    assert gap == [(True, True)]


def test_after_the_last_repetition_a_message_is_given_up_and_stays_in_the_log(
    scene: Scene,
) -> None:
    scene.endpoint("/broken")
    scene.receiver.always["/broken"] = Reply(500)
    scene.book.post(created())
    scene.dispatch(webhook_retry_delays_s=(0.01, 0.01))
    eventually(lambda: figures(scene.url)["given_up"] == 1, timeout_s=15)
    assert figures(scene.url) == {"queued": 0, "delivered": 0, "failed_attempts": 2, "given_up": 1}


def test_an_endpoint_where_all_failed_for_too_long_is_disabled(
    scene: Scene,
) -> None:
    scene.endpoint("/broken")
    scene.receiver.always["/broken"] = Reply(500)
    scene.book.post(created())
    before = times_disabled("failing")
    scene.dispatch(webhook_retry_delays_s=(0.1,) * 50, webhook_disable_after_hours=1 / 3_600)
    eventually(scene.disabled, timeout_s=15)
    eventually(lambda: times_disabled("failing") == before + 1, timeout_s=15)
    assert scene.sql("SELECT failing_since < disabled_at FROM webhook_endpoints") == [(True,)]


def test_a_hanging_and_an_endless_receiver_delay_nobody_else(
    scene: Scene,
) -> None:
    for path, reply in (
        ("/hangs", Reply(hang=True)),
        ("/endless", Reply(500, endless=True)),
        ("/fine", Reply()),
    ):
        scene.endpoint(path)
        scene.receiver.always[path] = reply
    scene.book.post(*(created(f"order-{number}") for number in range(200)))
    scene.dispatch(webhook_timeout_s=4)
    eventually(lambda: len(set(scene.receiver.ids("/fine"))) == 200, timeout_s=60)
    eventually(
        lambda: scene.sql("SELECT 1 FROM webhook_attempts WHERE error LIKE 'no answer within 4 s'"),
        timeout_s=15,
    )
    eventually(
        lambda: scene.sql("SELECT 1 FROM webhook_attempts WHERE length(response) = 20000"), timeout_s=15
    )
    # Were the places of the slow ones missing elsewhere, none or few would come before their time is up.
    (fine_meanwhile,) = scene.sql("""
        SELECT count(*) FROM webhook_attempts JOIN webhook_endpoints USING (endpoint_id)
        WHERE url LIKE '%/fine' AND attempt_id < (
            SELECT min(attempt_id) FROM webhook_attempts WHERE error LIKE 'no answer%')""")[0]
    assert fine_meanwhile > Settings().webhook_endpoint_requests


def test_without_the_setting_nothing_connects_to_this_machine(
    scene: Scene,
) -> None:
    scene.sql(
        "INSERT INTO webhook_endpoints (partner_id, livemode, url, secrets, event_types) VALUES "
        "('shop', true, %s, ARRAY['whsec_' || repeat('A', 32)], '{cashback.created}')",
        f"http://localhost:{scene.receiver.port}/hook",
    )
    scene.book.post(created())
    scene.dispatch(webhook_allow_loopback=False)
    eventually(lambda: scene.sql("SELECT 1 FROM webhook_attempts"), timeout_s=15)
    assert scene.sql("SELECT status, error FROM webhook_attempts")[0][1].endswith("is not a public address")
    assert scene.receiver.received == []


def test_a_dispatcher_killed_in_mid_air_delays_nothing_and_loses_nothing(
    scene: Scene, processes: Processes
) -> None:
    genuine = verifier(scene.endpoint("/hook"))
    events = [created(f"order-{number}") for number in range(300)]
    scene.book.post(*events)
    processes.kill_dispatcher_in_mid_air(scene, "/hook")
    scene.delivered(300)
    assert scene.receiver.times_received().keys() == {event["event_id"] for _, event in events}
    bodies: dict[str, bytes] = {}
    for each in scene.receiver.received:
        genuine(each)
        assert bodies.setdefault(each.message_id, each.body) == each.body
    assert scene.sql("SELECT count(*) FROM webhook_queue") == [(0,)]


def test_two_dispatchers_share_the_work_and_send_nothing_twice(
    scene: Scene,
) -> None:
    scene.endpoint("/hook")
    scene.dispatch()
    scene.dispatch()
    for start in range(0, 600, 100):
        pairs = [created(f"order-{number}") for number in range(start, start + 100)]
        scene.book.post(*pairs, *map(cleared, pairs))
    scene.delivered(1_200)
    assert set(scene.receiver.times_received().values()) == {1}
    places = {message_id: place for place, message_id in enumerate(scene.receiver.ids("/hook"))}
    for number in range(600):
        event = created(f"order-{number}")
        assert places[event[1]["event_id"]] < places[cleared(event)[1]["event_id"]]


def test_a_lost_session_of_the_dispatcher_is_replaced(
    scene: Scene,
) -> None:
    scene.endpoint("/hook")
    scene.book.post(*(created(f"order-{number}") for number in range(500)))
    scene.dispatch()
    eventually(lambda: len(scene.receiver.received) > 50, timeout_s=15)
    scene.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cashback webhooks'"
    )
    scene.delivered(500)


def test_a_stopped_dispatcher_is_taken_over_and_begins_anew_when_it_wakes(
    scene: Scene, processes: Processes
) -> None:
    scene.endpoint("/hook")
    scene.receiver.script["/hook"] = deque([Reply(hang=True)] * WINDOW_AT_FIRST)
    scene.book.post(*(created(f"order-{number}") for number in range(200)))
    older = processes.start("sinks.webhooks", webhook_allow_loopback=True)
    eventually(lambda: len(scene.receiver.received) >= WINDOW_AT_FIRST, timeout_s=30)
    older.send_signal(signal.SIGSTOP)
    scene.dispatch(sink_stale_ms=1_000)
    scene.delivered(200)
    older.send_signal(signal.SIGCONT)
    numbers = (
        "SELECT count(DISTINCT instance) FROM webhook_dispatchers WHERE heartbeat_at > now() - interval '1 s'"
    )
    eventually(lambda: scene.sql(numbers) == [(2,)], timeout_s=30)
    scene.book.post(*(created(f"order-{number}") for number in range(200, 300)))
    scene.delivered(300)
    assert figures(scene.url) == {"queued": 0, "delivered": 300, "failed_attempts": 0, "given_up": 0}


def test_an_endpoint_whose_secret_was_damaged_is_disabled_and_the_others_go_on(scene: Scene) -> None:
    scene.endpoint("/damaged")
    scene.sql("UPDATE webhook_endpoints SET secrets = '{nonsense}'")
    scene.endpoint("/fine")
    scene.book.post(created())
    scene.dispatch()
    scene.delivered(1)
    eventually(scene.disabled, timeout_s=10)
