"""What publishers receive equals the examples they were given, field for field, in order."""

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.codec import decode, encode
from schemas.registry import latest
from schemas.times import from_iso
from schemas.webhooks import webhook_body

EXAMPLES = Path(__file__).parent / "webhooks"
SOURCES = {
    "created-by-clip": {"type": "clip", "clip_id": "dclip_abc123"},
    "created-by-airdrop": {
        "type": "airdrop", "airdrop_id": "airdrop_abc", "variant_id": "var_001", "creative_id": "dc_xyz",
    },
    "created-by-loyalty": {
        "type": "loyalty_program_redemption", "loyalty_program_id": "lp_abc123",
        "redemption_id": "lpr_xyz789", "external_id": "sc_ext_001",
    },
    "created-by-campaign": {"type": "campaign", "campaign_id": "one-percent"},
}  # fmt: skip
BEHIND = {
    "partner_id": "grocer", "member_id": "m-42", "merchant_id": "grocer-sa", "program_id": "one-percent",
    "program_version": 3, "sequence": 1, "livemode": True,
}  # fmt: skip


def event(event_id: str, timestamp: str, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "timestamp": from_iso(timestamp, "timestamp"),
        "cashback_transaction_id": "cbtx_xyz789",
        "transaction_id": "tx_def456",
        "transaction_ref": "txn_98765",
        **BEHIND,
        **fields,
    }


def created(source: dict[str, str]) -> dict[str, Any]:
    return event("evt_abc123", "2024-01-15T10:30:00Z", amount=500, currency="GBP", source=source)


EVENTS = {name: ("CashbackCreated", created(source)) for name, source in SOURCES.items()} | {
    "cleared": ("CashbackCleared", event("evt_def456", "2024-01-16T08:00:00Z")),
    "reverted": ("CashbackReverted", event("evt_ghi789", "2024-01-17T12:00:00Z", reason="REFUNDED")),
}


def ordered(body: bytes) -> Any:
    return json.loads(body, object_pairs_hook=list)


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.iterdir()))
def test_the_body_of_an_event_that_went_over_kafka_is_the_example(name: str) -> None:
    record, datum = EVENTS[name]
    expected = (EXAMPLES / f"{name}.json").read_bytes()
    assert ordered(webhook_body(*decode(encode(record, datum)))) == ordered(expected)


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_the_order_of_a_source_does_not_depend_on_who_made_it(name: str) -> None:
    record, datum = EVENTS[name]
    turned = datum | {"source": dict(reversed(datum["source"].items()))}
    assert webhook_body(record, turned) == webhook_body(record, datum)


def test_the_body_is_compact_utf_8_so_that_signatures_cover_no_accident_of_layout() -> None:
    _, datum = EVENTS["cleared"]
    body = webhook_body("CashbackCleared", datum | {"transaction_ref": 'reçu "9"'})
    assert body.endswith('"transaction_ref":"reçu \\"9\\""}'.encode())
    assert b": " not in body


def test_every_field_of_a_source_in_avro_is_one_that_publishers_can_receive() -> None:
    source = next(f for f in latest("CashbackCreated").document()["fields"] if f["name"] == "source")
    names = [field["name"] for field in source["type"]["fields"]]
    filled = {name: "campaign" if name == "type" else name for name in names}
    body = json.loads(webhook_body("CashbackCreated", created(filled)))
    assert list(body["source"]) == names
