"""The compiled codec and fastavro decide alike on every byte and every datum, and the schema decides both."""

import gc
import json
import random
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import CODECS, Codec, codecs_of
from schemas.compiled.layout import DEPTH_MAX, Layout, UnknownFeature, layout_of
from schemas.errors import Undecodable
from schemas.registry import LockedSchema, latest
from tests.schemas.codec_fuzz import HEADS, LAYOUTS, PARSED, Fuzz, Long, Number, Word, number
from tests.schemas.test_golden import cases

ROOT = Path(__file__).parents[2]
needs_compiled = pytest.mark.skipif("compiled" not in CODECS, reason="the compiled codec is not built here")
both = pytest.mark.parametrize("with_codec", CODECS.values(), ids=CODECS)
each_record = pytest.mark.parametrize("record", LAYOUTS)

TICK = HEADS["Tick"]


def fitting(layout: Layout) -> st.SearchStrategy[Any]:
    """All data of a layout."""
    one: st.SearchStrategy[Any]
    match layout.kind:
        case "record":
            one = st.fixed_dictionaries(
                {name: fitting(part) for name, part in zip(layout.names, layout.parts, strict=True)}
            )
        case "array":
            one = st.lists(fitting(layout.parts[0]), max_size=3)
        case "enum":
            one = st.sampled_from(layout.names)
        case "boolean":
            one = st.booleans()
        case "string":
            one = st.text(st.characters(exclude_categories=["Cs"]), max_size=70)
        case kind:
            bits = 31 if kind == "int" else 63
            one = st.integers(-(2**bits), 2**bits - 1)
    return st.none() | one if layout.nullable else one


@both
@each_record
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_every_datum_is_written_as_by_bare_fastavro_and_read_back(
    with_codec: Codec, record: str, data: st.DataObject
) -> None:
    datum = data.draw(fitting(LAYOUTS[record]))
    out = BytesIO()
    schemaless_writer(out, PARSED[record], datum)
    value = with_codec.encode(record, datum)
    assert value == HEADS[record] + out.getvalue()
    assert with_codec.decode(value) == (record, datum)
    out.seek(0)
    assert schemaless_reader(out, PARSED[record], None) == datum


@needs_compiled
@pytest.mark.parametrize("seed", [1, 2])
def test_mutants_are_taken_and_refused_by_both_codecs_alike(seed: int) -> None:
    fuzz = Fuzz(seed)
    fuzz.run(4_000)
    assert fuzz.unexplained == []
    assert fuzz.counts["read: the same by all"] > 500
    assert fuzz.counts["written: the same by all"] > 100


@both
@settings(max_examples=200, deadline=None)
@given(record=st.sampled_from([*HEADS]), body=st.binary(max_size=200))
def test_random_bytes_are_a_record_or_undecodable(with_codec: Codec, record: str, body: bytes) -> None:
    with suppress(Undecodable):
        assert with_codec.decode(HEADS[record] + body)[0] == record


# Strings p, e, m, x; VOIDED; no part, no amount; EUR; occurred_at 0; ONLINE; five absent; livemode off.
TRANSACTION = [
    b"\x02p",
    b"\x02e",
    b"\x02m",
    b"\x02x",
    b"\x04",
    b"\0",
    b"\0",
    b"\x06EUR",
    b"\0",
    b"\0",
    *[b"\0"] * 6,
]
DECISION = HEADS["Decision"] + b"\0" * 6
ITEM = b"\0\0\x02\0\0" + b"\0" * 8  # no program, and no figures


def transaction(place: int, spelling: bytes) -> bytes:
    return HEADS["Transaction"] + b"".join([*TRANSACTION[:place], spelling, *TRANSACTION[place + 1 :]])


def decision(items: bytes) -> bytes:
    return DECISION + items + b"\x01\0\0"


def created(sequence: int) -> bytes:
    return HEADS["CashbackCleared"] + b"\0" * 10 + number(random.Random(0), sequence, 0) + b"\1\0"


REFUSED = {
    "a number of two bytes where one would do": TICK + b"\x80\0",
    "a length of two bytes where one would do": transaction(0, b"\x82\0p"),
    "a number of more than 64 bits": TICK + b"\xff" * 9 + b"\x02",
    "a number of more than ten bytes": TICK + b"\x80" * 10 + b"\x01",
    "a number without an end": TICK + b"\x80",
    "2 for true": transaction(15, b"\x02"),
    "255 for true": transaction(15, b"\xff"),
    "true in two bytes": transaction(15, b"\x81\0"),
    "no byte for a boolean": transaction(15, b""),
    "the last branch of a union, counted from its end": transaction(14, b"\x01\x02w"),
    "the first branch of a union, counted from its end": transaction(14, b"\x03"),
    "a branch too many": transaction(14, b"\x04\x02w"),
    "the last symbol of an enum, counted from its end": transaction(4, b"\x01"),
    "a symbol too many": transaction(4, b"\x0a"),
    "a negative length": transaction(0, b"\x01"),
    "a length beyond the end": transaction(0, b"\x7ep"),
    "half a character": transaction(0, b"\x02\xc3"),
    "a surrogate in UTF-8": transaction(0, b"\x06\xed\xa0\x80"),
    "an int above 32 bits": created(2**31),
    "an int below 32 bits": created(-(2**31) - 1),
    "a block longer than it says": decision(b"\x01\x18" + ITEM + b"\0"),
    "a block shorter than it says": decision(b"\x01\x1c" + ITEM + b"\0\0"),
    "a block of negative size": decision(b"\x01\x09" + ITEM + b"\0"),
    "a block of -2^63 items": decision(b"\xff" * 9 + b"\x01\0\0"),
    "more items than bytes": decision(b"\x80\x01" + ITEM + b"\0"),
    "an array without an end": HEADS["Decision"] + b"\0" * 6 + b"\x02" + ITEM,
    "a byte too many": transaction(15, b"\0\0"),
    "nothing": TICK,
}

TAKEN = {
    "the longest number": TICK + b"\xff" * 9 + b"\x01",
    "an int of 32 bits": created(-(2**31)),
    "a string that ends in a high byte before a zero": transaction(14, "\x02\x06aé".encode()),
    "a string of high bytes that looks like a number without an end": transaction(
        0, b"\x3c" + "日本語日本語日本語語".encode()
    ),
    "one block": decision(b"\x04" + ITEM * 2 + b"\0"),
    "two blocks": decision((b"\x02" + ITEM) * 2 + b"\0"),
    "a block that says its size": decision(b"\x03\x34" + ITEM * 2 + b"\0"),
    "blocks of both kinds": decision(b"\x01\x1a" + ITEM + b"\x02" + ITEM + b"\0"),
}


@both
@pytest.mark.parametrize("kind", REFUSED)
def test_bytes_that_are_not_strictly_the_record_are_undecodable(with_codec: Codec, kind: str) -> None:
    with pytest.raises(Undecodable) as refusal:
        with_codec.decode(REFUSED[kind])
    assert refusal.value.remedy


@both
@pytest.mark.parametrize("kind", TAKEN)
def test_other_spellings_that_avro_knows_are_read(with_codec: Codec, kind: str) -> None:
    record, datum = with_codec.decode(TAKEN[kind])
    bare = schemaless_reader(BytesIO(TAKEN[kind][5:]), PARSED[record], None)
    assert datum == bare


def valid(record: str) -> dict[str, Any]:
    return next(p.values[1] for p in cases() if p.values[0] == latest(record))


MISFITS: dict[str, tuple[str, dict[str, Any]]] = {
    "true for a long": ("Tick", {"emitted_at": True}),
    "a float for a long": ("Tick", {"emitted_at": 1.0}),
    "a long too large": ("Tick", {"emitted_at": 2**63}),
    "a long too small": ("Tick", {"emitted_at": -(2**63) - 1}),
    "null for a long": ("Tick", {"emitted_at": None}),
    "an int too large": ("CashbackCleared", {"sequence": 2**31}),
    "1 for true": ("Transaction", {"livemode": 1}),
    "null for a boolean": ("Transaction", {"livemode": None}),
    "bytes for a string": ("Transaction", {"partner_id": b"p"}),
    "a number for a string": ("Transaction", {"partner_id": 1}),
    "half a surrogate pair": ("Transaction", {"partner_id": "\ud800"}),
    "a number for what may be null": ("Transaction", {"store_id": 1}),
    "true for a number that may be null": ("Transaction", {"amount_minor": True}),
    "a pair for what may be null": ("Transaction", {"store_id": ("string", "s")}),
    "an unknown symbol": ("Transaction", {"kind": "PAID"}),
    "a number for a symbol": ("Transaction", {"kind": 0}),
    "a list for a symbol": ("Transaction", {"kind": ["SETTLED"]}),
    "a set for an array": ("Decision", {"decisions": set()}),
    "a string for an array": ("Program", {"merchant_ids": "all"}),
    "a wrong item": ("Program", {"merchant_ids": ["a", None]}),
    "a list for a record": ("CashbackCreated", {"source": []}),
    "null for a record": ("CashbackCreated", {"source": None}),
}


@both
@pytest.mark.parametrize("kind", MISFITS)
def test_data_that_do_not_fit_are_never_written(with_codec: Codec, kind: str) -> None:
    record, change = MISFITS[kind]
    assert with_codec.encode(record, valid(record))
    with pytest.raises((TypeError, ValueError)):
        with_codec.encode(record, valid(record) | change)


@both
@each_record
def test_each_missing_field_takes_its_default_or_is_a_fault_and_unknown_ones_are_ignored(
    with_codec: Codec, record: str
) -> None:
    datum = valid(record)
    for name in datum:
        less = {key: value for key, value in datum.items() if key != name} | {"unknown": 1, "-type": "x"}
        out = BytesIO()
        try:
            schemaless_writer(out, PARSED[record], less)
        except ValueError:
            with pytest.raises(ValueError, match=f"no value and no default for {name}"):
                with_codec.encode(record, less)
        else:
            assert with_codec.encode(record, less)[5:] == out.getvalue()


@both
def test_subclasses_are_written_as_what_they_are(with_codec: Codec) -> None:
    plain = valid("Transaction") | {"kind": "SETTLED", "partner_id": "SETTLED", "amount_minor": 7}
    odd = plain | {"kind": Word.SETTLED, "partner_id": Word.SETTLED, "amount_minor": Number.SEVEN}
    assert with_codec.encode("Transaction", odd) == with_codec.encode("Transaction", plain)
    assert with_codec.encode("Tick", {"emitted_at": Long(5)}) == TICK + b"\x0a"
    listed = valid("Program") | {"merchant_ids": ["a", "b"]}
    assert with_codec.encode("Program", listed | {"merchant_ids": ("a", "b")}) == with_codec.encode(
        "Program", listed
    )


@both
@pytest.mark.parametrize("length", [1_000, 1_010, 1_018, 1_019, 1_020, 1_024, 5_000, 500_000])
def test_records_of_any_size_are_written_whole(with_codec: Codec, length: int) -> None:
    datum = valid("Transaction") | {"partner_id": "é" * (length // 2), "store_id": "s" * (length // 100)}
    assert with_codec.decode(with_codec.encode("Transaction", datum)) == ("Transaction", datum)
    many = valid("Decision") | {"decisions": valid("Decision")["decisions"] * (length // 100)}
    assert with_codec.decode(with_codec.encode("Decision", many)) == ("Decision", many)


@both
def test_refusing_and_reading_leave_nothing_behind_in_memory(with_codec: Codec) -> None:
    misfits = [(record, valid(record) | change) for record, change in MISFITS.values()]

    def everything() -> None:
        for value in (*REFUSED.values(), *TAKEN.values()):
            with suppress(Undecodable):
                with_codec.decode(value)
        for record, misfit in misfits:
            with suppress(TypeError, ValueError):
                with_codec.encode(record, misfit)

    everything()
    tracemalloc.start()
    try:
        everything()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(50):
            everything()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - before < 20_000
    finally:
        tracemalloc.stop()


# Other schemas than today's


def schemas_of(directory: Path, *documents: dict[str, Any]) -> list[LockedSchema]:
    """Locked schemas of the record X, one version each."""
    (directory / "avro").mkdir()
    for version, document in enumerate(documents, start=1):
        whole = {"type": "record", "name": "X", "namespace": "cashback", **document}
        (directory / "avro" / f"X.{version}.avsc").write_text(json.dumps(whole))
    return [LockedSchema(i, "X", i, "", (100 + i,), directory) for i in range(1, len(documents) + 1)]


def fields(*of: tuple[str, Any]) -> dict[str, Any]:
    return {"fields": [{"name": name, "type": kind} for name, kind in of]}


def test_older_versions_and_former_ids_are_read_as_the_newest_by_all_codecs(tmp_path: Path) -> None:
    first = fields(("a", "int"), ("gone", ["null", "string"]))
    second = fields(("a", "long"))
    second["fields"].append({"name": "b", "type": ["null", "boolean"], "default": None})
    for one in codecs_of(schemas_of(tmp_path, first, second)).values():
        assert one.encode("X", {"a": 3}) == b"\0\0\0\0\2\6\0"
        assert one.decode(b"\0\0\0\0\1\6\0") == ("X", {"a": 3, "b": None})
        assert one.decode(b"\0\0\0\0\x65\6\2\2g") == ("X", {"a": 3, "b": None})
        assert one.decode(b"\0\0\0\0\x66\6\2\1") == ("X", {"a": 3, "b": True})
        for bad in (b"\x86\0\0", b"\6\1\2g", b"\6\3", b"\6\0\0", b"\x80\x80\x80\x80\x10\0"):
            with pytest.raises(Undecodable):
                one.decode(b"\0\0\0\0\1" + bad)


NEST: dict[str, Any] = {"type": "record", "name": "Deep0", "fields": [{"name": "x", "type": "int"}]}
for _depth in range(1, DEPTH_MAX + 2):
    NEST = {"type": "record", "name": f"Deep{_depth}", "fields": [{"name": "x", "type": NEST}]}

UNKNOWN: dict[str, tuple[Any, Any]] = {
    "a double": ("double", 1.5),
    "bytes": ("bytes", b"x"),
    "a map": ({"type": "map", "values": "int"}, {"k": 1}),
    "a union with null at its end": (["int", "null"], None),
    "a union of three": (["null", "int", "string"], "s"),
    "a record without fields": ({"type": "record", "name": "Empty", "fields": []}, {}),
    "a record in itself": (["null", "cashback.X"], {"a": None}),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_schemas_with_unknown_features_are_left_to_fastavro(kind: str, tmp_path: Path) -> None:
    schema_type, value = UNKNOWN[kind]
    schemas = schemas_of(tmp_path, fields(("a", schema_type)))
    with pytest.raises(UnknownFeature):
        layout_of(schemas[0].parsed())
    for one in codecs_of(schemas).values():
        assert one.decode(one.encode("X", {"a": value})) == ("X", {"a": value})


def test_nesting_has_a_bound() -> None:
    with pytest.raises(UnknownFeature, match="deeper than"):
        layout_of(parse_schema(NEST))


def test_the_codec_is_compiled_where_there_is_a_compiler() -> None:
    if which("cc") is None:
        pytest.skip("no C compiler here")
    assert codec.CODEC == "compiled", "run: make -B .venv"


def test_without_the_compiled_module_the_codec_is_fastavro() -> None:
    program = (
        "import sys; sys.modules['schemas.compiled.codec'] = None\n"
        "from schemas import codec\n"
        "assert codec.CODEC == 'fastavro' and list(codec.CODECS) == ['fastavro'], codec.CODECS\n"
        "assert codec.decode(codec.encode('Tick', {'emitted_at': 1})) == ('Tick', {'emitted_at': 1})\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
