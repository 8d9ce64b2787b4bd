"""What comes out over HTTP is the example publishers were given, field for field, in order."""

import json
from typing import Any

import pytest

from tests.schemas.test_webhooks import EVENTS, EXAMPLES, created, ordered
from tests.sinks.receiver import verifier
from tests.sinks.scene import Scene

NAMES = sorted(path.stem for path in EXAMPLES.iterdir())


@pytest.mark.parametrize("name", NAMES)
def test_the_delivered_body_is_the_example(scene: Scene, name: str) -> None:
    record, datum = EVENTS[name]
    secret = scene.endpoint("/hook", partner_id=datum["partner_id"])
    opening: tuple[str, dict[str, Any]] = (
        "CashbackCreated",
        created({"type": "campaign", "campaign_id": "c"}),
    )
    events = [(record, datum)] if record == "CashbackCreated" else [opening, (record, datum)]
    assert scene.book.post(*events).entries == len(events)
    scene.dispatch()
    scene.delivered(len(events))
    got = scene.receiver.received[-1]
    example = (EXAMPLES / f"{name}.json").read_bytes()
    assert ordered(got.body) == ordered(example)
    assert verifier(secret)(got) == json.loads(example)
    assert got.message_id == json.loads(example)["event_id"]
