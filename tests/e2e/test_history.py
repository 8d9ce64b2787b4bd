"""History loaded silently on a running system: judged by its entitlements, booked, and nobody is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from ops.settings import Settings
from tests.connectors.payments import clip_line
from tests.e2e.bad_inputs import payment, program
from tests.e2e.pipeline import Pipeline
from tests.e2e.watch import INPUT, LEDGER, Watch
from tests.eventually import eventually
from tests.ops.test_cli import cashback

ENTRIES = """
SELECT transaction_ref, program_id, transition::text, entries.silent, webhook_messages.event_id IS NOT NULL
FROM entries JOIN cashbacks USING (cashback_no) JOIN purchases USING (purchase_no)
LEFT JOIN webhook_messages USING (entry_id) ORDER BY transaction_ref, step
"""


def written(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_history_is_judged_by_its_clips_and_booked_without_a_webhook(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    deal = program(program_id="deal", type="deal", hold_days=0, reward={"type": "flat", "amount": 200})
    programs = written(tmp_path / "p.jsonl", deal, program(hold_days=14))
    old = payment("old", kind="SETTLED")
    clip = clip_line(partner_id="bank", member_id=old["member_id"], granted_at="2024-01-01T00:00:00Z")
    history = written(tmp_path / "old.jsonl", old)
    since = written(tmp_path / "new.jsonl", payment("new", kind="SETTLED"))

    def load(running: Pipeline, *arguments: str | Path) -> None:
        answer = cashback(
            "load",
            *map(str, arguments),
            CASHBACK_BROKERS=running.settings.brokers,
            CASHBACK_TOPIC_PREFIX=running.settings.topic_prefix,
            CASHBACK_CLOCK="event",
        )
        assert answer.returncode == 0, answer.stderr

    with Pipeline(settings(clock="event"), tmp_path) as running:
        running.register("bank")
        clips = written(tmp_path / "e.jsonl", clip)
        load(running, history, "--programs", programs, "--entitlements", clips, "--silent")
        load(running, since)
        running.start("worker-1", "ledger")
        with Watch(running, INPUT, LEDGER) as watch:
            eventually(watch.is_done, timeout_s=60)
        with psycopg.connect(running.settings.database_url) as connection:
            assert connection.execute(ENTRIES).fetchall() == [
                ("new", "one", "created", False, True),
                ("old", "deal", "created", True, False),
                ("old", "deal", "cleared", True, False),
            ]
