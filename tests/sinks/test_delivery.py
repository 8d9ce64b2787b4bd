"""What receivers do and what becomes of it: each event as often as it must, and nobody pays for others."""

import re
import time
from collections import Counter, deque
from itertools import pairwise

import pytest
from prometheus_client import REGISTRY

from ops.embedded.ports import free_port
from schemas.webhooks import webhook_body
from sinks.webhooks.figures import figures
from sinks.webhooks.lane import WINDOW_AT_FIRST
from sinks.webhooks.log import attempts
from tests.eventually import eventually
from tests.sinks.receiver import Reply
from tests.sinks.scene import Scene
from tests.sinks.test_posting import cleared, created

OTHERS = 49


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (Reply(500), "500"),
        (Reply(429), "429"),
        (Reply(503, {"Retry-After": "1"}), "503"),
        (Reply(302, {"Location": "/elsewhere"}), "302"),
        (Reply(hang=True), "no answer within 2 s"),
        (Reply(500, endless=True), "500"),
        (Reply(reset=True), "Disconnected|reset"),
        (Reply(lost=True), "Disconnected|reset|Bad status line"),
    ],
    ids=["500", "429", "503", "302", "hangs", "endless", "resets", "answer lost"],
)
def test_every_event_comes_exactly_once_more_than_it_failed_with_the_same_id_and_body(
    scene: Scene, bad: Reply, told: str
) -> None:
    scene.endpoint("/hook")
    events = [created(f"order-{number}") for number in range(2)]
    events += [cleared(event) for event in events]
    scene.receiver.each["/hook"] = deque([bad, bad])
    scene.book.post(*events)
    scene.dispatch(webhook_retry_delays_s=(0.05,) * 9, webhook_timeout_s=2, webhook_circuit_failures=1_000)
    scene.delivered(len(events))
    assert scene.receiver.times_received() == Counter({event["event_id"]: 3 for _, event in events})
    bodies = {(each.message_id, each.body) for each in scene.receiver.received}
    assert bodies == {(event["event_id"], webhook_body(record, event)) for record, event in events}
    failed = attempts(scene.url, only_failed=True, most=1_000)
    assert len(failed) == 2 * len(events)
    assert all(re.search(told, str(each.status or each.error)) for each in failed)
    assert figures(scene.url) == {
        "queued": 0, "delivered": len(events), "failed_attempts": len(failed), "given_up": 0,
    }  # fmt: skip


def test_an_answer_that_breaks_off_behind_its_2xx_counts_and_is_not_asked_for_again(scene: Scene) -> None:
    scene.endpoint("/hook")
    scene.receiver.script["/hook"] = deque([Reply(200, endless=True)])
    scene.book.post(created())
    scene.dispatch(webhook_timeout_s=2)
    scene.delivered(1)
    assert set(scene.receiver.times_received().values()) == {1}


def test_after_410_nothing_more_begins(scene: Scene) -> None:
    scene.endpoint("/gone")
    scene.receiver.always["/gone"] = Reply(410)
    scene.book.post(*(created(f"order-{number}") for number in range(100)))
    scene.dispatch()
    eventually(scene.disabled, timeout_s=15)
    assert len(scene.receiver.received) <= WINDOW_AT_FIRST
    assert figures(scene.url)["queued"] == 100


def test_a_receiver_that_fails_in_a_row_gets_one_probe_at_a_time_and_is_found_again_by_it(
    scene: Scene,
) -> None:
    scene.endpoint("/broken")
    scene.receiver.always["/broken"] = Reply(500)
    scene.book.post(*(created(f"order-{number}") for number in range(200)))
    scene.dispatch(webhook_circuit_failures=5, webhook_circuit_pause_s=1)
    eventually(lambda: len(scene.receiver.received) >= 5 + WINDOW_AT_FIRST + 2, timeout_s=20)
    resting = "cashback_webhook_resting_endpoints"
    eventually(lambda: REGISTRY.get_sample_value(resting) == 1, timeout_s=10)
    log = attempts(scene.url, most=1_000)
    probes = sorted(each.started_at for each in log)[5 + WINDOW_AT_FIRST - 1 :]
    assert all((later - one).total_seconds() >= 1 for one, later in pairwise(probes))
    untouched = scene.sql("SELECT count(*) FROM webhook_queue WHERE attempts = 0")[0][0]
    assert untouched >= 200 - 5 - WINDOW_AT_FIRST - len(probes), "what waits loses no attempt"
    scene.receiver.always["/broken"] = Reply()
    eventually(lambda: figures(scene.url)["delivered"] >= untouched, timeout_s=30)
    eventually(lambda: REGISTRY.get_sample_value(resting) == 0, timeout_s=10)


def test_no_second_has_more_deliveries_than_the_endpoint_may_get_from_all_dispatchers(scene: Scene) -> None:
    scene.endpoint("/slow", per_second_max=20)
    scene.endpoint("/fast")
    scene.dispatch()
    scene.dispatch()
    both = "SELECT count(*) FROM webhook_dispatchers WHERE heartbeat_at > now() - interval '1 s'"
    eventually(lambda: scene.sql(both) == [(2,)], timeout_s=15)
    began_s = time.monotonic()
    eventually(lambda: time.monotonic() - began_s > 1.5, timeout_s=5)  # both have counted both
    scene.book.post(*(created(f"order-{number}") for number in range(60)))
    scene.delivered(120)
    times: dict[str, list[float]] = {"/slow": [], "/fast": []}
    for each in attempts(scene.url, most=1_000):
        times["/" + each.url.rpartition("/")[2]].append(each.started_at.timestamp())
    for first in times["/slow"]:
        assert sum(first <= each < first + 1 for each in times["/slow"]) <= 20 + 2, "one at each edge"
    assert max(times["/slow"]) - min(times["/slow"]) >= 2.5
    assert max(times["/fast"]) < max(times["/slow"])


def test_a_hanging_endpoint_holds_few_connections_and_forty_nine_others_get_everything_meanwhile(
    scene: Scene,
) -> None:
    scene.endpoint("/hangs")
    scene.receiver.always["/hangs"] = Reply(hang=True)
    for number in range(OTHERS):
        scene.endpoint(f"/fine-{number}")
    scene.dispatch(webhook_timeout_s=60)
    for start in range(0, 40, 10):
        scene.book.post(*(created(f"order-{number}") for number in range(start, start + 10)))
    eventually(lambda: len(scene.receiver.received) >= 40 * OTHERS, timeout_s=60)
    scene.delivered(40 * OTHERS)
    # All of it came while the first attempts to the other one were still open.
    assert len(scene.receiver.ids("/hangs")) == WINDOW_AT_FIRST
    assert scene.sql("SELECT count(*) FROM webhook_attempts WHERE outcome <> 'delivered'") == [(0,)]
    by_path = Counter(each.path for each in scene.receiver.received)
    assert {by_path[f"/fine-{number}"] for number in range(OTHERS)} == {40}


def test_endpoints_of_one_host_share_its_connections_in_turn(scene: Scene) -> None:
    for number in range(6):
        scene.endpoint(f"/hook-{number}")
    scene.book.post(*(created(f"order-{number}") for number in range(50)))
    scene.dispatch(webhook_host_connections=2)
    scene.delivered(300)
    assert scene.receiver.most_open <= 2
    paths = [each.path for each in scene.receiver.received]
    assert len(set(paths[:150])) == 6, "nobody waits until the others are done"


def test_a_port_where_nobody_listens_is_a_failure_like_any_other(scene: Scene) -> None:
    scene.endpoint("/hook")
    scene.sql("UPDATE webhook_endpoints SET url = %s", f"http://127.0.0.1:{free_port(None)}/")
    scene.book.post(created())
    scene.dispatch(webhook_retry_delays_s=(0.05,))
    eventually(lambda: figures(scene.url)["given_up"] == 1, timeout_s=15)
    assert all("Connect" in (each.error or "") for each in attempts(scene.url, most=10))
