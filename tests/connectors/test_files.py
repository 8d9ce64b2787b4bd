"""Files of transactions: what is good is read, what is bad is named with its line."""

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from connectors.files import LINE_BYTES_MAX, BadLine, FileRefused, open_entitlements, open_transactions
from schemas.entitlements import Entitlement
from schemas.times import to_iso
from schemas.transactions import Transaction
from tests.connectors.payments import clip_line, line, payment

BAD = {
    "amount_minor": line(amount_minor=-5),
    "currency": line(currency="EURO"),
    "member_id": line(member_id=""),
    "occurred_at": line(occurred_at="2017-03-01T10:00:00"),
    "kind": line(kind="BOUGHT"),
    "channel": line(channel="PHONE"),
    "partner_id": line(partner_id="a:b"),
    "external_id": line(external_id=7),
    "livemode": line(livemode="yes"),
    "shop": line(shop="x"),
    "merchant_id": line(merchant_id=None),
}


def read(path: Path) -> list[Transaction | BadLine]:
    return list(open_transactions(path).lines())


def bad(lines: list[Transaction | BadLine]) -> list[tuple[int, str]]:
    return [(each.line, each.reason.field) for each in lines if isinstance(each, BadLine)]


def test_each_kind_of_bad_line_is_named_with_its_number_and_field_and_the_rest_is_read(
    tmp_path: Path,
) -> None:
    path = tmp_path / "t.jsonl"
    wrong = [json.dumps(fields) for fields in BAD.values()]
    good = json.dumps(line(external_id="last"))
    path.write_text("\n".join([json.dumps(line()), "", *wrong, good]))
    lines = read(path)
    assert bad(lines) == list(enumerate(BAD, start=3))
    assert [each for each in lines if isinstance(each, Transaction)] == [
        payment(),
        payment(external_id="last"),
    ]


@pytest.mark.parametrize(
    "text", [b'{"partner_id": ', b"[]", b'"text"', b'{"a": "\xff"}', b"[" * 100_000, b'{"a": NaN}']
)
def test_what_is_not_a_json_object_is_a_bad_line_and_the_next_is_read(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(text + b"\n" + json.dumps(line()).encode() + b"\n")
    lines = read(path)
    assert bad(lines[:1]) == [(1, "line")]
    assert lines[1:] == [payment()]


@pytest.mark.parametrize("amount", [19.0, "1999", True, 10**30, [1]])
def test_an_amount_that_is_no_integer_of_minor_units_is_refused(tmp_path: Path, amount: Any) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps(line(amount_minor=amount)))
    assert bad(read(path)) == [(1, "amount_minor")]


def test_a_line_without_end_is_refused_without_holding_it_in_memory_as_a_line(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"x" * (3 * LINE_BYTES_MAX) + b"\n" + json.dumps(line()).encode())
    lines = read(path)
    assert bad(lines) == [(1, "line")]
    assert lines[1] == payment()


def test_windows_line_ends_and_a_byte_order_mark_are_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(line()).encode() + b"\r\n" + json.dumps(line()).encode())
    assert read(path) == [payment(), payment()]


def test_a_gzipped_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "t.data"
    path.write_bytes(gzip.compress(json.dumps(line()).encode() + b"\nno json\n"))
    lines = read(path)
    assert lines[0] == payment()
    assert bad(lines) == [(2, "line")]


def test_a_truncated_gzip_file_keeps_what_was_read_and_says_where_it_broke(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl.gz"
    text = "".join(json.dumps(line(external_id=f"order-{i * i}")) + "\n" for i in range(20_000))
    path.write_bytes(gzip.compress(text.encode())[:-2_000])
    source = open_transactions(path)
    lines = list(source.lines())
    assert len(lines) > 1_000
    assert bad(lines) == [(len(lines), "line")]
    assert source.fraction() == 1.0


def parquet(path: Path, **columns: Any) -> Path:
    fields = {name: pa.array([value, value]) for name, value in line().items()}
    pq.write_table(pa.table(fields | columns), path)
    return path


def at(*moments: datetime | None, unit: str = "us", zone: str | None = "UTC") -> Any:
    return pa.array(moments, type=pa.timestamp(unit, tz=zone))


MOMENT = datetime(2017, 3, 1, 10, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(("unit", "zone"), [("us", "UTC"), ("ns", "UTC"), ("ms", "Europe/Paris")])
def test_parquet_timestamps_of_any_unit_and_zone_are_the_same_instant(
    tmp_path: Path, unit: str, zone: str
) -> None:
    path = parquet(
        tmp_path / "t.parquet",
        occurred_at=at(MOMENT, MOMENT, unit=unit, zone=zone),
        amount_minor=pa.array([1999, None], type=pa.int32()),
        kind=pa.array(["AUTHORIZED", "SETTLED"]).dictionary_encode(),
        receipt_id=pa.array(["r1", None]),
    )
    first, second = read(path)
    assert first == payment(occurred_at=to_iso(1_488_362_400_250_000), receipt_id="r1")
    assert bad([second]) == [(2, "amount_minor")]


def test_parquet_rows_that_are_wrong_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    century_away = datetime(2117, 3, 1, tzinfo=UTC)
    path = parquet(tmp_path / "t.parquet", occurred_at=at(None, century_away))
    assert bad(read(path)) == [(1, "occurred_at"), (2, "occurred_at")]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("occurred_at", at(MOMENT.replace(tzinfo=None), None, zone=None), "no time zone.*tz=UTC"),
        ("amount_minor", pa.array([19.99, None]), "holds floats.*int64"),
        ("shop", pa.array(["a", "b"]), "unknown column.*merchant_id"),
    ],
)
def test_a_parquet_file_with_a_wrong_column_is_refused_with_the_remedy(
    tmp_path: Path, column: str, values: Any, said: str
) -> None:
    path = parquet(tmp_path / "t.parquet", **{column: values})
    with pytest.raises(FileRefused, match=rf"{column}: .*{said}"):
        open_transactions(path)


def test_a_damaged_parquet_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    whole = parquet(tmp_path / "t.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileRefused, match="not readable as Parquet"):
        open_transactions(tmp_path / "cut.parquet")


def test_entitlements_are_read_and_what_is_wrong_with_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl.gz"
    wrong = [clip_line(airdrop_id="a"), clip_line(kind="HELD"), clip_line(granted_at=None), line()]
    every = [clip_line(), *wrong, clip_line()]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, every)).encode()))
    lines = list(open_entitlements(path).lines())
    assert [each.id for each in lines if isinstance(each, Entitlement)] == ["clip-1"] * 2
    assert [(each.line, each.reason.field) for each in lines if isinstance(each, BadLine)] == [
        (2, "airdrop_id"),
        (3, "kind"),
        (4, "granted_at"),
        (5, "external_id"),
    ]


def test_parquet_holds_no_entitlements(tmp_path: Path) -> None:
    with pytest.raises(FileRefused, match="write one JSON object a line"):
        open_entitlements(parquet(tmp_path / "e.parquet"))


@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_an_array_is_refused_once_with_the_remedy_not_line_by_line(tmp_path: Path, start: str) -> None:
    path = tmp_path / "array.json"
    path.write_text(start + json.dumps([line(), line(external_id="order-2")], indent=1))
    with pytest.raises(FileRefused, match=rf"^{path}: is one JSON array; .*jq -c"):
        open_transactions(path)
    with pytest.raises(FileRefused, match=r"JSON array; .*jq -c"):
        open_entitlements(path)
