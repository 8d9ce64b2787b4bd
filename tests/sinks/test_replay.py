"""The delivery log, and what is sent again: same ids, same bytes, in order, never history, never too much."""

import json
from collections import Counter, deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sinks.webhooks.endpoints import disable, enable
from sinks.webhooks.log import attempts
from sinks.webhooks.replay import Booked, FailedSince, OneEvent, Replayed, replay
from sinks.webhooks.terms import EndpointRefused
from tests.eventually import eventually
from tests.sinks.receiver import Reply
from tests.sinks.scene import BY, Scene
from tests.sinks.test_endpoint_commands import WHO, loopback, run, run_json
from tests.sinks.test_posting import cleared, created, reverted
from tests.sinks.test_reversing import reversed_

__all__ = ["loopback"]

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
NEW_YEAR = "2026-01-01T00:00:00Z"
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def event_id(event: tuple[str, dict[str, Any]]) -> str:
    return str(event[1]["event_id"])


def told(scene: Scene, path: str = "/hook") -> list[str]:
    return scene.receiver.ids(path)


def test_one_delivered_event_is_sent_again_with_the_same_bytes_and_logged_as_a_replay(scene: Scene) -> None:
    scene.endpoint("/hook")
    number = scene.endpoint_id("/hook")
    scene.book.post(created(), cleared(created()))
    scene.dispatch()
    scene.delivered(2)
    said = run_json(
        scene, "webhooks", "replay", "--event", event_id(created()), "--endpoint", str(number), *WHO
    )
    [(audit_no, action, details)] = scene.sql(
        "SELECT audit_no, action, details FROM audit_log WHERE action LIKE 'webhook%%'"
    )
    assert said == {"replay": audit_no, "found": 1, "queued": 1, "waiting": 0}
    assert (action, details) == (
        "webhook.replay",
        {"choice": {"event_id": event_id(created())}, "messages": 1},
    )
    eventually(lambda: len(scene.receiver.received) == 3, timeout_s=15)
    first, _, again = scene.receiver.received
    assert (again.message_id, again.body) == (first.message_id, first.body)
    eventually(lambda: len(attempts(scene.url, most=10)) == 3, timeout_s=15)
    log = attempts(scene.url, event_id=event_id(created()), most=10)
    assert [(each.outcome, each.replay) for each in log] == [("repeated", audit_no), ("delivered", None)]
    assert scene.sql("SELECT count(*) FROM webhook_queue") == [(0,)]


def test_a_range_is_sent_again_in_the_order_of_each_cashback(scene: Scene) -> None:
    scene.endpoint("/hook", event_types=["cashback.created", "cashback.cleared"])
    number = scene.endpoint_id("/hook")
    events = [created(f"order-{n}") for n in range(40)]
    scene.book.post(*events, *map(cleared, events[:20]), *map(reverted, events[20:]))
    scene.dispatch()
    scene.delivered(60)
    [(begin, end)] = scene.sql("SELECT min(posted_at), max(posted_at) FROM entries")
    assert replay(scene.url, number, Booked(LONG_AGO, begin), **BY).found == 0
    assert replay(scene.url, number, Booked(end + timedelta(microseconds=1), LATER), **BY).found == 0
    replayed = replay(scene.url, number, Booked(begin, end + timedelta(microseconds=1)), **BY)
    assert (replayed.found, replayed.queued) == (60, 60)
    eventually(lambda: len(scene.receiver.received) == 120, timeout_s=30)
    assert set(scene.receiver.times_received().values()) == {2}
    assert len({(each.message_id, each.body) for each in scene.receiver.received}) == 60
    again = told(scene)[60:]
    for event in events[:20]:
        assert again.index(event_id(event)) < again.index(event_id(cleared(event)))


def test_a_reversal_is_caught_up_with_and_sent_again_behind_what_came_before(scene: Scene) -> None:
    scene.endpoint("/hook", event_types=["cashback.created", "cashback.reverted"])
    number = scene.endpoint_id("/hook")
    disable(scene.url, number, **BY)
    events = [created(), cleared(created()), reversed_(created())]
    scene.book.post(*events)
    assert enable(scene.url, number, **BY) == 2
    scene.dispatch()
    scene.delivered(2)
    assert replay(scene.url, number, Booked(LONG_AGO, LATER), **BY).queued == 2
    eventually(lambda: len(told(scene)) == 4, timeout_s=15)
    assert told(scene) == [event_id(events[0]), event_id(events[2])] * 2
    assert {each.type for each in attempts(scene.url, most=9)} == {"cashback.created", "cashback.reverted"}


def test_what_failed_goes_at_once_with_a_new_schedule_and_what_waits_anyway_is_not_doubled(
    scene: Scene,
) -> None:
    scene.endpoint("/hook")
    number = scene.endpoint_id("/hook")
    scene.receiver.script["/hook"] = deque([Reply(), Reply(500), Reply(404)])
    scene.book.post(created("fine"))
    scene.dispatch(webhook_retry_delays_s=(3_600,))
    scene.delivered(1)
    scene.book.post(created("bad"), cleared(created("bad")))
    eventually(lambda: len(attempts(scene.url, only_failed=True, most=10)) == 1, timeout_s=15)
    replayed = replay(scene.url, number, FailedSince(LONG_AGO), **BY)
    assert (replayed.found, replayed.queued) == (1, 1)
    eventually(lambda: len(attempts(scene.url, only_failed=True, most=10)) == 2, timeout_s=15)
    assert [each.attempt for each in attempts(scene.url, only_failed=True, most=10)] == [1, 1]
    # What came behind it has been put behind it: an hour away as well.
    far_away = "SELECT count(*) FROM webhook_queue WHERE due_at > now() + interval '30 minutes'"
    eventually(lambda: scene.sql(far_away) == [(2,)], timeout_s=15)
    replay(scene.url, number, FailedSince(LONG_AGO), **BY)
    scene.delivered(3)
    assert told(scene)[-2:] == [event_id(created("bad")), event_id(cleared(created("bad")))]
    assert replay(scene.url, number, FailedSince(LONG_AGO), **BY).found == 0, "it was delivered afterwards"


def test_what_was_given_up_is_found_by_when_it_failed(scene: Scene) -> None:
    scene.endpoint("/hook")
    number = scene.endpoint_id("/hook")
    scene.receiver.script["/hook"] = deque([Reply(500), Reply(500)])
    scene.book.post(created())
    scene.dispatch(webhook_retry_delays_s=(0.01,))
    eventually(lambda: "gave_up" in {each.outcome for each in attempts(scene.url, most=9)}, timeout_s=15)
    assert replay(scene.url, number, FailedSince(LATER), **BY).found == 0
    assert replay(scene.url, number, FailedSince(LONG_AGO), **BY).queued == 1
    scene.delivered(1)
    assert set(told(scene)) == {event_id(created())}


def test_history_is_never_sent_and_what_cannot_be_sent_again_says_why(scene: Scene) -> None:
    scene.book.post(created("before"))
    scene.endpoint("/hook", event_types=["cashback.created"])
    number = scene.endpoint_id("/hook")
    scene.book.post(created("old", silent=True), created(), cleared(created()), created(livemode=False))
    for event, why in (
        (created("old"), "is history, loaded silently; nobody is told of it"),
        (created("before"), "was booked before shop had an endpoint"),
        (cleared(created()), f"endpoint_id: {number} does not get cashback.cleared"),
        (created(livemode=False), f"endpoint_id: {number} is not of shop in test mode"),
        (created("never"), "the ledger has no evt_"),
    ):
        with pytest.raises(EndpointRefused, match=why):
            replay(scene.url, number, OneEvent(event_id(event)), **BY)
    assert replay(scene.url, number, Booked(LONG_AGO, LATER), **BY) == Replayed(2, 1, 0)
    assert scene.sql("SELECT count(*) FROM webhook_queue") == [(1,)]


def test_too_much_a_wrong_time_and_a_disabled_endpoint_are_refused_and_nothing_is_queued(
    scene: Scene,
) -> None:
    scene.endpoint("/hook")
    number = scene.endpoint_id("/hook")
    scene.book.post(*(created(f"order-{n}") for n in range(5)))
    scene.dispatch()
    scene.delivered(5)
    with pytest.raises(EndpointRefused, match="choice: more than 4 messages fit; choose a shorter time"):
        replay(scene.url, number, Booked(LONG_AGO, LATER), most=4, **BY)
    with pytest.raises(EndpointRefused, match="from: is not before `to`"):
        replay(scene.url, number, Booked(LATER, LONG_AGO), **BY)
    with pytest.raises(EndpointRefused, match="there is no endpoint 99"):
        replay(scene.url, 99, Booked(LONG_AGO, LATER), **BY)
    disable(scene.url, number, **BY)
    with pytest.raises(EndpointRefused, match="is disabled; enable it first"):
        replay(scene.url, number, Booked(LONG_AGO, LATER), **BY)
    assert scene.sql("SELECT count(*) FROM audit_log WHERE action = 'webhook.replay'") == [(0,)]
    assert scene.receiver.times_received() == Counter(told(scene))
    assert len(told(scene)) == 5


@pytest.mark.parametrize(
    "words",
    [(), ("--event", "evt_1", "--failed-since", "2026-01-01T00:00:00Z"), ("--from", "2026-01-01T00:00:00Z")],
)
def test_a_replay_is_of_one_kind(scene: Scene, words: tuple[str, ...]) -> None:
    assert run(scene, "webhooks", "replay", "--endpoint", "1", *WHO, *words)[0] == 2


def test_the_log_is_filtered_and_shows_what_was_answered(scene: Scene) -> None:
    for path, reply in (("/hook", Reply(body=b"thanks")), ("/other", Reply(500, body=b"x" * 50_000))):
        scene.endpoint(path)
        scene.receiver.always[path] = reply
    scene.book.post(created(), created("order-2"))
    scene.dispatch()
    eventually(lambda: len(attempts(scene.url, most=10)) == 4, timeout_s=15)
    number, cashback = scene.endpoint_id("/hook"), created()[1]["cashback_transaction_id"]

    def count(*words: str) -> int:
        return len(run_json(scene, "webhooks", "log", *words)["attempts"])

    assert count() == 4
    assert count("--limit", "3") == 3
    assert count("--failed") == 2
    assert count("--endpoint", str(number)) == 2
    assert count("--cashback", cashback) == 2
    assert count("--event", event_id(created()), "--endpoint", str(number)) == 1
    assert (
        count("--event", event_id(created()), "--cashback", created("order-2")[1]["cashback_transaction_id"])
        == 0
    )
    assert count("--since", "2099-01-01T00:00:00Z") == 0
    [good] = run_json(scene, "webhooks", "log", "--endpoint", str(number), "--cashback", cashback)["attempts"]
    assert (good["status"], good["outcome"], good["attempt"], good["type"]) == (
        200,
        "delivered",
        1,
        "cashback.created",
    )
    assert (good["response"], good["error"], good["replay"]) == ("thanks", None, None)
    bad = run_json(scene, "webhooks", "log", "--failed")["attempts"]
    assert {len(each["response"]) for each in bad} == {20_000}
    code, text = run(scene, "webhooks", "log")
    assert (code, text.count("evt_")) == (0, 4)
    code, said = run(scene, "webhooks", "log", "--event", "evt_nope")
    assert (code, said) == (1, "event_id: the ledger has no evt_nope; copy it from `cashback why`")
    assert json.dumps(bad)
