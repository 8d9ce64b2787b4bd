"""The delivery log, cut at its old end."""

from datetime import UTC, datetime, timedelta

import pytest

from sinks.webhooks import pruning
from sinks.webhooks.log import attempts
from sinks.webhooks.pruning import prune
from sinks.webhooks.replay import OneEvent, replay
from sinks.webhooks.terms import EndpointRefused
from tests.eventually import eventually
from tests.sinks.scene import BY, Scene
from tests.sinks.test_endpoint_commands import run, run_json
from tests.sinks.test_posting import created

NOW = datetime(2026, 6, 1, tzinfo=UTC)
_DATED = """
WITH dated AS (SELECT attempt_id, row_number() OVER (ORDER BY attempt_id) AS place FROM webhook_attempts)
UPDATE webhook_attempts SET started_at = %s - (41 - place) * interval '1 day'
FROM dated WHERE dated.attempt_id = webhook_attempts.attempt_id
"""


@pytest.fixture
def aged(scene: Scene) -> Scene:
    """Forty delivered events, the first attempt forty days before `NOW`, each a day after the one before."""
    scene.endpoint("/hook")
    scene.book.post(*(created(f"order-{number}") for number in range(40)))
    scene.dispatch()
    scene.delivered(40)
    scene.sql(_DATED, NOW)
    return scene


@pytest.mark.parametrize("rows", [1, 7, 50_000])
def test_what_is_older_goes_and_the_rest_stays(
    aged: Scene, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_ROWS", rows)
    assert prune(aged.url, kept_days=30, now=NOW, **BY) == 10
    assert min(each.started_at for each in attempts(aged.url, most=100)) == NOW - timedelta(days=30)
    assert len(attempts(aged.url, most=100)) == 30
    assert prune(aged.url, kept_days=30, now=NOW, **BY) == 0
    acts = aged.sql("SELECT action, details->>'before' FROM audit_log WHERE action LIKE 'webhook%%'")
    assert acts == [("webhook.prune", (NOW - timedelta(days=30)).isoformat())] * 2


def test_what_was_told_can_be_told_again_without_its_log(aged: Scene) -> None:
    prune(aged.url, kept_days=30, now=NOW + timedelta(days=100), **BY)
    assert attempts(aged.url, most=100) == []
    event_id = created("order-7")[1]["event_id"]
    assert replay(aged.url, aged.endpoint_id("/hook"), OneEvent(event_id), **BY).queued == 1
    eventually(lambda: aged.receiver.times_received()[event_id] == 2, timeout_s=15)


@pytest.mark.parametrize("days", [29, 36_501, 10**10])
def test_days_out_of_bounds_are_refused_and_nothing_goes(scene: Scene, days: int) -> None:
    with pytest.raises(EndpointRefused, match=f"kept_days: {days} is out of bounds; give 30,"):
        prune(scene.url, kept_days=days, **BY)
    assert scene.sql("SELECT count(*) FROM audit_log") == [(0,)]


def test_the_command_says_how_many(aged: Scene) -> None:
    words = ("webhooks", "prune", "--kept-days", "36500", "--actor", "dora", "--reason", "yearly")
    assert run(aged, *words) == (0, "0 attempts removed\n")
    words = ("webhooks", "prune", "--kept-days", "30", "--actor", "dora", "--reason", "yearly")
    aged.sql("UPDATE webhook_attempts SET started_at = now() - interval '31 days' WHERE started_at < %s", NOW)
    assert run_json(aged, *words) == {"removed": 40}
