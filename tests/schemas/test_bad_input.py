"""Every kind of bad input that a partner can send is refused with the field and the remedy."""

from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import decode, encode
from schemas.errors import Rejected, Undecodable
from schemas.money import AMOUNT_MAX
from schemas.programs import ProgramsRefused, parse_program
from schemas.registry import latest
from schemas.times import EARLIEST, LATEST, from_iso, to_iso
from schemas.transactions import FIELDS, Transaction, checked, from_fields, from_json, to_datum, to_json

LINE: dict[str, Any] = {
    "partner_id": "grocer", "external_id": "txn_1", "member_id": "m-42", "merchant_id": "grocer-sa",
    "kind": "SETTLED", "amount_minor": 1999, "currency": "EUR", "occurred_at": "2024-01-15T10:30:00Z",
    "channel": "ONLINE",
}  # fmt: skip
CENTURY_US = 100 * 365 * 24 * 3600 * 1_000_000
DATUM = to_datum(from_json(LINE))

BAD_DATA: dict[str, tuple[dict[str, Any], str, str]] = {
    "negative amount": ({"amount_minor": -1}, "amount_minor", "negative"),
    "missing amount on a settled one": ({"amount_minor": None}, "amount_minor", "missing on SETTLED"),
    "missing amount on a refund": (
        {"amount_minor": None, "kind": "REFUNDED"}, "amount_minor", "missing on REFUNDED",
    ),
    "amount beyond any purchase": ({"amount_minor": 10**14 + 1}, "amount_minor", "above"),
    "unknown currency": ({"currency": "EUX"}, "currency", "not an ISO 4217 code"),
    "currency in small letters": ({"currency": "eur"}, "currency", "not an ISO 4217 code"),
    "empty partner": ({"partner_id": ""}, "partner_id", "empty"),
    "empty purchase": ({"external_id": ""}, "external_id", "empty"),
    "empty member": ({"member_id": ""}, "member_id", "empty"),
    "empty merchant": ({"merchant_id": ""}, "merchant_id", "empty"),
    "empty part": ({"part_id": ""}, "part_id", "empty"),
    "partner with a colon": ({"partner_id": "a:b"}, "partner_id", "colon"),
    "an id too long": ({"external_id": "x" * 129}, "external_id", "129 characters"),
    "an id with NUL": ({"member_id": "m\0"}, "member_id", "U+0000"),
    "an id with the separator of ids": ({"external_id": "a\x1fb"}, "external_id", "U+001F"),
    "a store with DEL": ({"store_id": "s\x7f"}, "store_id", "U+007F"),
    "seconds for microseconds": ({"occurred_at": 1_705_314_600}, "occurred_at", "outside the years"),
    "a century away": ({"occurred_at": DATUM["occurred_at"] + CENTURY_US}, "occurred_at", "outside"),
}  # fmt: skip

BAD_LINES: dict[str, tuple[Any, str, str]] = {
    "not an object": ([1], "line", "not a JSON object"),
    "time without a zone": (LINE | {"occurred_at": "2024-01-15T10:30:00"}, "occurred_at", "no time zone"),
    "a date": (LINE | {"occurred_at": "2024-01-15"}, "occurred_at", "no time zone"),
    "a number for a time": (LINE | {"occurred_at": 1705314600}, "occurred_at", "not a time"),
    "a time a century away": (LINE | {"occurred_at": "2124-01-15T10:30:00Z"}, "occurred_at", "outside"),
    "a time of another century": (LINE | {"occurred_at": "1924-01-15T10:30:00Z"}, "occurred_at", "outside"),
    "the 31st of February": (LINE | {"occurred_at": "2024-02-31T10:30:00Z"}, "occurred_at", "not a time"),
    "a misspelt field": (LINE | {"ammount": 1}, "ammount", "unknown field"),
    "an amount in euros": (LINE | {"amount_minor": 19.99}, "amount_minor", "not an integer"),
    "an amount in quotes": (LINE | {"amount_minor": "1999"}, "amount_minor", "not an integer"),
    "true for an amount": (LINE | {"amount_minor": True}, "amount_minor", "not an integer"),
    "an unknown kind": (LINE | {"kind": "PAID"}, "kind", "not a kind"),
    "a list for a kind": (LINE | {"kind": ["SETTLED"]}, "kind", "not a kind"),
    "an unknown channel": (LINE | {"channel": "PHONE"}, "channel", "not a channel"),
    "a number for an id": (LINE | {"member_id": 42}, "member_id", "not a string"),
    "a lone surrogate": (LINE | {"member_id": "\ud800"}, "member_id", "U+D800"),
    "a word for livemode": (LINE | {"livemode": "no"}, "livemode", "not a boolean"),
    **{
        f"no {name}": ({key: value for key, value in LINE.items() if key != name}, name, "missing")
        for name in LINE
    },
}  # fmt: skip

PROGRAM: dict[str, Any] = {
    "program_id": "ladder", "version": 1, "type": "campaign", "currency": "EUR", "hold_days": 14,
    "valid_from": "2024-01-01T00:00:00Z", "reward": {"type": "flat", "amount": 50},
}  # fmt: skip


def tiers(*ends: int | None) -> dict[str, Any]:
    reward = {"type": "flat", "amount": 50}
    brackets = [{"reward": reward} | ({"up_to_minor": end} if end is not None else {}) for end in ends]
    return PROGRAM | {"reward": {"type": "tiered", "brackets": brackets}}


BAD_PROGRAMS: dict[str, tuple[dict[str, Any], str]] = {
    "a gap above the last bracket": (tiers(2000, 5000), "reward"),
    "brackets out of order": (tiers(5000, 2000, None), "reward"),
    "brackets that overlap": (tiers(2000, 2000, None), "reward"),
    "an open bracket in the middle": (tiers(None, 2000, None), "reward"),
    "hold_days 31": (PROGRAM | {"hold_days": 31}, "hold_days"),
    "hold_days -1": (PROGRAM | {"hold_days": -1}, "hold_days"),
    "a currency of nobody": (PROGRAM | {"currency": "EUX"}, "currency"),
    "a start without a zone": (PROGRAM | {"valid_from": "2024-01-01T00:00:00"}, "valid_from"),
    "an empty list of merchants": (PROGRAM | {"merchant_ids": []}, "merchant_ids"),
    "a misspelt field": (PROGRAM | {"holddays": 3}, "holddays"),
    "a field named as a type of reward": (PROGRAM | {"flat": 50}, "flat"),
    "a reward without a type": (PROGRAM | {"reward": {"amount": 50}}, "reward"),
    "a reward below 0": (PROGRAM | {"reward": {"type": "flat", "amount": -1}}, "reward.amount"),
    "a ladder in a ladder": (
        PROGRAM | {"reward": {"type": "tiered", "brackets": [{"reward": {"type": "tiered"}}]}},
        "reward.brackets.0.reward",
    ),
    "a day that is none": (
        PROGRAM | {"schedule": {"timezone": "UTC", "excluded_dates": ["2024-02-30"]}},
        "schedule.excluded_dates.0",
    ),
}  # fmt: skip


def test_the_good_ones_pass_so_that_each_bad_one_is_refused_for_its_one_fault() -> None:
    assert checked(DATUM) == from_json(LINE)
    assert parse_program(tiers(2000, 5000, None)).program_id == "ladder"
    assert parse_program(PROGRAM | {"hold_days": 30}).hold_days == 30


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_transactions_on_kafka_are_rejected_by_field_with_a_remedy(kind: str) -> None:
    change, field, problem = BAD_DATA[kind]
    record, datum = decode(encode("Transaction", DATUM | change))
    assert record == "Transaction"
    refuses(lambda: checked(datum), field, problem)


@pytest.mark.parametrize("kind", BAD_LINES)
def test_bad_lines_are_rejected_by_field_with_a_remedy(kind: str) -> None:
    line, field, problem = BAD_LINES[kind]
    refuses(lambda: from_json(line), field, problem)


def refuses(read: Any, field: str, problem: str) -> None:
    with pytest.raises(Rejected) as refusal:
        read()
    assert refusal.value.field == field
    assert problem in refusal.value.problem
    assert refusal.value.remedy.strip()


@pytest.mark.parametrize("kind", BAD_PROGRAMS)
def test_bad_programs_are_refused_by_field_with_a_remedy(kind: str) -> None:
    form, field = BAD_PROGRAMS[kind]
    with pytest.raises(ProgramsRefused) as refusal:
        parse_program(form)
    assert [fault.field for fault in refusal.value.faults] == [field]
    assert all(fault.problem.strip() and fault.remedy.strip() for fault in refusal.value.faults)


def test_truncated_avro_says_which_record_it_is_not() -> None:
    with pytest.raises(
        Undecodable, match=r"value: not a Transaction: .*; encode it with the schema of its id"
    ):
        decode(encode("Transaction", DATUM)[:-3])


def test_an_unknown_schema_id_says_where_the_known_ones_are_listed() -> None:
    with pytest.raises(
        Undecodable, match=r"schema id 4242 is not known here; use an id that `cashback schemas`"
    ):
        decode(b"\0" + (4242).to_bytes(4, "big") + encode("Transaction", DATUM)[5:])


def test_a_refusal_stays_short_however_long_the_value_it_quotes() -> None:
    # It travels in a header beside the value; together they must fit into one message of the quarantine.
    with pytest.raises(Rejected) as refusal:
        checked(DATUM | {"currency": "E" * 900_000})
    assert len(str(refusal.value)) < 1_000
    assert refusal.value.problem.startswith("'EEEE")
    with pytest.raises(Rejected) as refusal:
        from_json(LINE | {"x" * 900_000: 1})
    assert len(refusal.value.field) <= 128


IDENTIFIER = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=128)
SCALAR = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "more"]), SCALAR | st.lists(SCALAR, max_size=2)))
def test_any_line_is_a_transaction_or_rejected(change: dict[str, Any]) -> None:
    with suppress(Rejected):
        transaction = from_json(LINE | change)
        assert checked(decode(encode("Transaction", to_datum(transaction)))[1]) == transaction


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40) | st.datetimes().map(lambda moment: moment.isoformat() + "Z"))
def test_any_text_is_an_instant_that_reads_back_the_same_or_rejected(text: str) -> None:
    with suppress(Rejected):
        at = from_iso(text, "occurred_at")
        assert from_iso(to_iso(at), "occurred_at") == at


@settings(max_examples=200, deadline=None)
@given(
    ids=st.tuples(IDENTIFIER, IDENTIFIER, IDENTIFIER, IDENTIFIER),
    amount=st.integers(0, 10**14),
    kind=st.sampled_from(["AUTHORIZED", "SETTLED", "REFUNDED"]),
    livemode=st.booleans(),
    part=st.none() | IDENTIFIER,
)
def test_a_good_transaction_goes_over_kafka_and_through_json_unchanged(
    ids: tuple[str, str, str, str], amount: int, kind: str, livemode: bool, part: str | None
) -> None:
    partner, external, member, merchant = ids
    transaction = Transaction(
        partner_id=partner.replace(":", "."), external_id=external, member_id=member, merchant_id=merchant,
        kind=kind, currency="GBP", occurred_at=DATUM["occurred_at"] + amount % 10**12, channel="IN_STORE",
        amount_minor=amount, part_id=part, livemode=livemode,
    )  # fmt: skip
    out = BytesIO()
    schemaless_writer(out, latest("Transaction").parsed(), to_datum(transaction))
    value = encode("Transaction", to_datum(transaction))
    assert value[5:] == out.getvalue()
    assert checked(decode(value)[1]) == from_json(to_json(transaction)) == transaction
    _, fields, plain = codec.decode_fields(value)
    assert from_fields(fields, plain=plain) == transaction


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "partner_id": st.sampled_from(["p", "", "a:b", "x" * 128, "x" * 129, "a\tb", "é", "\x7f"]),
            "part_id": st.sampled_from([None, "1", "", "y" * 129, "\u2028"]),
            "amount_minor": st.sampled_from([None, -1, 0, 5, AMOUNT_MAX, AMOUNT_MAX + 1]),
            "kind": st.sampled_from(["AUTHORIZED", "SETTLED", "REFUNDED", "VOIDED"]),
            "currency": st.sampled_from(["EUR", "eur", "", "XXQ"]),
            "occurred_at": st.sampled_from([0, EARLIEST - 1, EARLIEST, LATEST - 1, LATEST]),
        }
    )
)
def test_a_glance_and_a_close_look_decide_alike(change: dict[str, Any]) -> None:
    value = encode("Transaction", DATUM | change)
    _, fields, plain = codec.decode_fields(value)

    assert said(lambda: from_fields(fields, plain=plain)) == said(lambda: checked(decode(value)[1]))


def said(make: Callable[[], Transaction]) -> Transaction | str:
    try:
        return make()
    except Rejected as refusal:
        return str(refusal)
