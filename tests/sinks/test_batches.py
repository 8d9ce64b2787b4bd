"""Several events a request: what is packed together, and what becomes of it."""

import json
from collections import Counter, deque
from typing import Any

from schemas.webhooks import webhook_body
from sinks.webhooks.figures import figures
from sinks.webhooks.lane import WINDOW_AT_FIRST
from sinks.webhooks.log import attempts
from sinks.webhooks.messages import Message
from sinks.webhooks.packing import Packed, next_request, pack, requests_of
from sinks.webhooks.replay import OneEvent, replay
from sinks.webhooks.trial import TYPE
from tests.eventually import eventually
from tests.sinks.conftest import Processes
from tests.sinks.receiver import Received, Reply, verifier
from tests.sinks.scene import BY, Scene
from tests.sinks.test_posting import Event, cleared, created


def events_in(got: Received) -> list[dict[str, Any]]:
    said = json.loads(got.body)
    assert list(said) == ["events"]
    return list(said["events"])


def ids_in(got: Received) -> list[str]:
    return [each["event_id"] for each in events_in(got)]


def times_each_event_came(scene: Scene) -> Counter[str]:
    return Counter(event_id for got in scene.receiver.received for event_id in ids_in(got))


def orders(count: int) -> list[Event]:
    return [created(f"order-{number}") for number in range(count)]


def test_what_waits_comes_together_each_event_with_the_bytes_of_its_own(scene: Scene) -> None:
    genuine = verifier(scene.endpoint("/hook", batch_max=10))
    scene.endpoint("/one")
    events = orders(25)
    scene.book.post(*events)
    scene.dispatch()
    scene.delivered(50)
    bodies = {event["event_id"]: webhook_body(record, event) for record, event in events}
    batches = [got for got in scene.receiver.received if got.path == "/hook"]
    assert sorted(len(events_in(got)) for got in batches) == [5, 10, 10]
    for got in batches:
        genuine(got)
        assert got.body == b'{"events":[' + b",".join(bodies[each] for each in ids_in(got)) + b"]}"
        assert got.message_id.startswith("btch_")
    assert sorted(each for got in batches for each in ids_in(got)) == sorted(bodies)
    assert sorted(scene.receiver.ids("/one")) == sorted(bodies)
    logged = {
        each.event_id: each.batch_id
        for each in attempts(scene.url, endpoint_id=scene.endpoint_id("/hook"), most=100)
    }
    assert logged == {each: got.message_id for got in batches for each in ids_in(got)}
    assert {
        each.batch_id for each in attempts(scene.url, endpoint_id=scene.endpoint_id("/one"), most=100)
    } == {None}


def test_cleared_never_comes_with_its_created_and_never_before_it(scene: Scene) -> None:
    scene.endpoint("/hook", batch_max=100)
    events = orders(60)
    scene.book.post(*events, *map(cleared, events))
    scene.dispatch()
    scene.dispatch()
    scene.delivered(120)
    assert set(times_each_event_came(scene).values()) == {1}
    place = {each: number for number, got in enumerate(scene.receiver.received) for each in ids_in(got)}
    for event in events:
        assert place[event[1]["event_id"]] < place[cleared(event)[1]["event_id"]]


def test_what_fails_together_is_sent_again_one_by_one(scene: Scene) -> None:
    scene.endpoint("/hook", batch_max=10)
    scene.receiver.script["/hook"] = deque([Reply(500, body=b"x" * 30_000)])
    scene.book.post(*orders(10))
    scene.dispatch(webhook_retry_delays_s=(0.05,) * 9)
    scene.delivered(10)
    first, *later = scene.receiver.received
    assert len(events_in(first)) == 10
    assert len({got.message_id for got in scene.receiver.received}) == 11, "another body, another id"
    assert sorted(ids_in(got) for got in later) == sorted([each] for each in ids_in(first))
    failed = attempts(scene.url, only_failed=True, most=100)
    assert {(each.event_id, each.batch_id) for each in failed} == {
        (each, first.message_id) for each in ids_in(first)
    }
    assert {len(each.response or b"") for each in failed} == {2_000}, "what is kept of an answer is shared"


def test_an_event_that_a_receiver_cannot_take_is_alone_after_two_failures(scene: Scene) -> None:
    scene.endpoint("/hook", batch_max=20)
    events = orders(20)
    poison = events[7][1]["event_id"]
    scene.receiver.refused = poison.encode()
    scene.book.post(*events)
    scene.dispatch(webhook_retry_delays_s=(0.05,) * 3)
    eventually(lambda: figures(scene.url)["given_up"] == 1, timeout_s=30)
    scene.delivered(19)
    came = times_each_event_came(scene)
    assert came.pop(poison) == 4
    assert Counter(came.values()) in ({2: 18, 3: 1}, {2: 19}), "a batch of two at most had it as well"


def test_what_was_refused_is_sent_again_a_tenth_at_a_time_and_never_with_what_is_new() -> None:
    def sizes(*refusals: int, batch_max: int | None) -> list[int]:
        waiting = deque(
            Message(1, number, 1, number, 9, refused, None, f"evt_{number}", b"{}")
            for number, refused in enumerate(refusals)
        )
        expected, found = requests_of(waiting, batch_max), []
        while waiting:
            found.append(len(next_request(waiting, batch_max).messages))
        assert len(found) == expected
        return found

    assert sizes(*[0] * 250, batch_max=100) == [100, 100, 50]
    assert sizes(*[1] * 25, batch_max=100) == [10, 10, 5]
    assert sizes(*[2] * 3, batch_max=100) == sizes(*[9] * 3, batch_max=100) == [1, 1, 1]
    assert sizes(0, 0, 1, 1, 2, batch_max=100) == [2, 2, 1]
    assert sizes(0, 0, 1, batch_max=None) == [1, 1, 1]


def test_an_id_names_its_events_and_their_order() -> None:
    one, two, three = ("evt_1", b"{}"), ("evt_2", b"[]"), ("evt_3", b"1")
    packed = pack([one, two], is_batch=True)
    assert packed == pack([one, two], is_batch=True)
    assert packed.body == b'{"events":[{},[]]}'
    others = ([two, one], [one], [one, two, three], [one, three])
    names = {pack(each, is_batch=True).message_id for each in others}
    assert len(names | {packed.message_id}) == 5
    assert pack([one], is_batch=False) == Packed("evt_1", b"{}", None)


def test_overload_and_silence_do_not_make_more_requests_of_one(scene: Scene) -> None:
    scene.endpoint("/hook", batch_max=10)
    scene.receiver.script["/hook"] = deque([Reply(429), Reply(503), Reply(reset=True)])
    scene.book.post(*orders(10))
    scene.dispatch(webhook_retry_delays_s=(0.05,) * 9)
    scene.delivered(10)
    assert [len(events_in(got)) for got in scene.receiver.received] == [10] * 4
    assert len({(got.message_id, got.body) for got in scene.receiver.received}) == 1, (
        "the same events, the same id"
    )


def test_a_replayed_created_waits_for_a_cleared_under_way_and_never_comes_with_it(scene: Scene) -> None:
    scene.endpoint("/hook", batch_max=10, per_second_max=2)
    event = created()
    scene.book.post(event)
    scene.dispatch()
    scene.delivered(1)
    scene.book.post(created("other"))
    eventually(lambda: len(scene.receiver.received) == 2, timeout_s=5)
    scene.book.post(cleared(event))  # waits in the dispatcher for its turn
    leased = "SELECT count(*) FROM webhook_queue WHERE leased_by IS NOT NULL"
    eventually(lambda: scene.sql(leased) == [(1,)], timeout_s=5)
    assert replay(scene.url, scene.endpoint_id("/hook"), OneEvent(event[1]["event_id"]), **BY).queued == 1
    eventually(lambda: scene.sql("SELECT count(*) FROM webhook_queue") == [(0,)], timeout_s=15)
    assert [ids_in(got) for got in scene.receiver.received[2:]] == [
        [cleared(event)[1]["event_id"]], [event[1]["event_id"]],
    ]  # fmt: skip


def test_410_and_retry_after_are_for_a_batch_what_they_are_for_an_event(scene: Scene) -> None:
    scene.endpoint("/gone", batch_max=10)
    scene.endpoint("/busy", batch_max=10)
    scene.receiver.always["/gone"] = Reply(410)
    scene.receiver.script["/busy"] = deque([Reply(503, {"Retry-After": "1"})] * WINDOW_AT_FIRST)
    scene.book.post(*orders(40))
    scene.dispatch(webhook_retry_delays_s=(0.05,) * 9)
    eventually(scene.disabled, timeout_s=15)
    scene.delivered(40)
    assert {each.endpoint_id for each in attempts(scene.url, only_failed=True, most=100)} == {
        scene.endpoint_id("/gone"), scene.endpoint_id("/busy"),
    }  # fmt: skip
    assert figures(scene.url)["queued"] == 40, "all of them wait for whoever enables it again"
    log = attempts(scene.url, endpoint_id=scene.endpoint_id("/busy"), most=100)
    refused = [each.started_at for each in log if each.status == 503]
    taken = [each.started_at for each in log if each.status == 200]
    assert (min(taken) - min(refused)).total_seconds() >= 1


def test_a_dispatcher_killed_with_batches_under_way_loses_nothing(scene: Scene, processes: Processes) -> None:
    scene.endpoint("/hook", batch_max=10)
    events = orders(300)
    scene.book.post(*events)
    processes.kill_dispatcher_in_mid_air(scene, "/hook")
    scene.delivered(300)
    assert times_each_event_came(scene).keys() == {event["event_id"] for _, event in events}
    assert scene.sql("SELECT count(*) FROM webhook_queue") == [(0,)]
    bodies: dict[str, bytes] = {}
    for got in scene.receiver.received:
        assert bodies.setdefault(got.message_id, got.body) == got.body, "the same id, the same body"


def test_a_replay_and_a_test_event_come_in_the_form_of_all_others(scene: Scene) -> None:
    genuine = verifier(scene.endpoint("/hook", batch_max=10))
    event = created()
    scene.book.post(event)
    scene.dispatch()
    scene.delivered(1)
    replay(scene.url, scene.endpoint_id("/hook"), OneEvent(event[1]["event_id"]), **BY)
    eventually(lambda: len(scene.receiver.received) == 2, timeout_s=15)
    first, again = scene.receiver.received
    assert (again.message_id, again.body) == (first.message_id, first.body)
    trial = scene.try_out("/hook")
    got = scene.receiver.received[2]
    genuine(got)
    assert trial.answer.status == 200
    assert [(each["event_id"], each["type"]) for each in events_in(got)] == [(trial.event_id, TYPE)]
