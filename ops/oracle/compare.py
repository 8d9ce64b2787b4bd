"""Hold what the pipeline published, booked and delivered against the recomputation.

Every function returns the differences found, none where all agrees. Nothing depends on how late a thing that
fell due was noticed, nor on the order between cashbacks.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ops.oracle.books import Account, balances
from ops.oracle.differences import Difference, Differs, Doubled, Misordered, Missing, Unexpected
from ops.oracle.facts import micros
from ops.oracle.publication import webhook
from ops.oracle.result import Case, Cashback, Decision, Recomputation

_ABSENT = object()


def compare_events(result: Recomputation, found: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """Events as Avro datums or as lines of `simulate`, in the order of each member's log.

    Fields that only one of the two forms has (merchant_id, reason, clear_at, type) count where present.
    """
    expected = {
        cashback.event_id(transition): (cashback, transition, at)
        for cashback in result.cashbacks.values()
        for transition, at in cashback.transitions()
    }
    differences: list[Difference] = []
    seen: set[str] = set()
    for event in found:
        event_id = event["event_id"]
        if event_id not in expected:
            differences.append(Unexpected("event", event_id, dict(event)))
            continue
        if event_id in seen:
            differences.append(Doubled("event", event_id))
            continue
        seen.add(event_id)
        cashback, transition, at = expected[event_id]
        name = f"{event_id} ({_story(cashback, transition)})"
        if transition != "created" and cashback.event_id("created") not in seen:
            differences.append(Misordered("event", name, "created"))
        differences += _fields("event", name, _event_fields(cashback, transition, at), event)
    for event_id, (cashback, transition, _) in expected.items():
        if event_id not in seen:
            differences.append(Missing("event", event_id, _story(cashback, transition)))
    return differences


def compare_entries(result: Recomputation, found: Iterable[tuple[str, str]]) -> list[Difference]:
    """Ledger entries as (cashback_transaction_id, transition)."""
    counted = Counter(found)
    differences: list[Difference] = [
        Doubled("entry", f"{name} {transition}") for (name, transition), times in counted.items() if times > 1
    ]
    for name, cashback in result.cashbacks.items():
        for transition in cashback.entries():
            if counted.pop((name, transition), 0) == 0:
                differences.append(Missing("entry", f"{name} {transition}", _story(cashback, transition)))
    differences += [Unexpected("entry", f"{name} {transition}") for name, transition in counted]
    return differences


def compare_balances(
    result: Recomputation, found: Iterable[tuple[str, str, str, int]], *, commission_bps: int
) -> list[Difference]:
    """Balances as (account kind, owner, asset, credits minus debits); owners as `books` writes them.

    An account that is not there has a balance of 0.
    """
    actual: Counter[Account] = Counter()
    for kind, owner, asset, balance in found:
        actual[Account(kind, owner, asset)] += balance
    expected = balances(result.cashbacks.values(), commission_bps=commission_bps)
    return [
        Differs("account", " ".join(account), "balance", expected.get(account, 0), actual[account])
        for account in sorted(expected.keys() | actual.keys())
        if expected.get(account, 0) != actual[account]
    ]


def compare_webhooks(result: Recomputation, receipts: Iterable[tuple[str, bytes | str]]) -> list[Difference]:
    """What a receiver got as (event_id, body); redeliveries are no difference, another body is.

    The fields must stand in the order of the seed. Of what is silent nothing may come.
    """
    expected = {
        cashback.event_id(transition): (cashback, transition, at)
        for cashback in result.cashbacks.values()
        if not cashback.silent
        for transition, at in cashback.transitions()
    }
    differences: list[Difference] = []
    bodies: dict[str, bytes | str] = {}
    for event_id, body in receipts:
        if event_id in bodies:
            if bodies[event_id] != body:
                differences.append(Differs("webhook", event_id, "body", bodies[event_id], body))
            continue
        bodies[event_id] = body
        if event_id not in expected:
            differences.append(Unexpected("webhook", event_id, body))
            continue
        differences += _body(event_id, webhook(*expected[event_id]), body)
    for event_id, (cashback, transition, _) in expected.items():
        if event_id not in bodies:
            differences.append(Missing("webhook", event_id, _story(cashback, transition)))
    return differences


def compare_decisions(result: Recomputation, found: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """Decisions in the order published, as Avro datums or as lines of `simulate`; the latest word counts.

    An Avro datum repeats the words of programs that have nothing new to say: those keep their time.
    """
    differences: list[Difference] = []
    latest: dict[tuple[str, str | None], Mapping[str, Any]] = {}
    before: dict[tuple[str, str | None], int] = {}
    """Of a purchase's last record its hash: the records of a year would be too many to keep."""
    for line in found:
        about = (line["transaction_id"], line.get("program_id"))
        content = hash(repr(line))
        if before.get(about) == content:
            differences.append(Doubled("decision", f"{about[0]} of {line['occurred_at']}"))
        before[about] = content
        for word in _words(line):
            key = (word["transaction_id"], word.get("program_id"))
            if _content(word) != _content(latest.get(key, {})):
                latest[key] = word
    for key, decision in result.decisions.items():
        name = f"{key[0]} {key[1]} ({decision.transaction_ref})"
        word_found = latest.pop(key, None)
        if word_found is None:
            differences.append(Missing("decision", name, decision.decision))
        else:
            differences += _fields("decision", name, _decision_fields(decision), word_found)
    differences += [Unexpected("decision", f"{key[0]} {key[1]}", dict(word)) for key, word in latest.items()]
    return differences


def compare_cases(result: Recomputation, found: Iterable[Mapping[str, Any]]) -> list[Difference]:
    """Reversal cases as Avro datums, in the order published; the highest revision counts."""
    differences: list[Difference] = []
    latest: dict[str, Mapping[str, Any]] = {}
    for case in found:
        name = case["cashback_transaction_id"]
        if name not in latest or latest[name]["revision"] < case["revision"]:
            latest[name] = case
        else:
            differences.append(Doubled("case", f"{name} revision {case['revision']}"))
    for name, expected in result.cases.items():
        case_found = latest.pop(name, None)
        if case_found is None:
            differences.append(Missing("case", name, expected))
        else:
            differences += _fields("case", name, _case_fields(expected), case_found)
    differences += [Unexpected("case", name, dict(case)) for name, case in latest.items()]
    return differences


def _event_fields(cashback: Cashback, transition: str, at: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "timestamp": at,
        "cashback_transaction_id": cashback.cashback_transaction_id,
        "transaction_id": cashback.transaction_id,
        "transaction_ref": cashback.transaction_ref,
        "partner_id": cashback.partner_id,
        "member_id": cashback.member_id,
        "program_id": cashback.program_id,
        "program_version": cashback.program_version,
        "sequence": cashback.sequence,
        "livemode": cashback.livemode,
        "?merchant_id": cashback.merchant_id,
        "?type": f"cashback.{transition}",
        "silent" if cashback.silent else "?silent": cashback.silent,
    }
    if transition == "created":
        fields["amount"] = cashback.amount
        fields["currency"] = cashback.currency
        fields["source"] = dict(cashback.source)
        fields["?clear_at"] = cashback.clear_at
    elif transition == "reverted":
        fields["?reason"] = cashback.reason
        actor, second_actor, note = cashback.by or (None, None, None)
        fields |= {"?actor": actor, "?second_actor": second_actor, "?note": note}
    return fields


def _decision_fields(decision: Decision) -> dict[str, Any]:
    return {
        "partner_id": decision.partner_id,
        "member_id": decision.member_id,
        "merchant_id": decision.merchant_id,
        "transaction_ref": decision.transaction_ref,
        "livemode": decision.livemode,
        "?occurred_at": decision.occurred_at,
        "decision": decision.decision,
        "program_version": decision.program_version,
        "amount": decision.amount,
        "outranked_by": decision.outranked_by,
    }


def _case_fields(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in Case.__dataclass_fields__}


def _fields(
    subject: str, key: str, expected: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterator[Difference]:
    """Compare field by field; a name with `?` in front may be absent, a null is the same as absent."""
    for name, value in expected.items():
        field = name.removeprefix("?")
        actual = found.get(field, _ABSENT)
        if actual is _ABSENT:
            if name == field and value is not None:
                yield Differs(subject, key, field, value, None)
            continue
        if type(value) is int and isinstance(actual, str):
            actual = micros(actual)
        elif isinstance(actual, Mapping):
            actual = _source(actual)
        if type(actual) is not type(value) or actual != value:
            yield Differs(subject, key, field, value, actual)


def _source(found: Mapping[str, Any]) -> dict[str, Any]:
    """Without the fields of other types; Avro cannot write the hyphens of the wire."""
    parts = {part: content for part, content in found.items() if content is not None}
    if len(found) > len(parts) and parts.get("type") == "loyalty_program_redemption":
        parts["type"] = "loyalty-program-redemption"
    return parts


def _body(event_id: str, expected: Mapping[str, Any], body: bytes | str) -> Iterator[Difference]:
    try:
        fields = json.loads(body)
    except ValueError:
        yield Differs("webhook", event_id, "body", dict(expected), body)
        return
    if not isinstance(fields, dict) or list(fields.items()) != list(expected.items()):
        yield Differs("webhook", event_id, "body", dict(expected), fields)


def _words(line: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """One program's word a mapping, whichever the form.

    A datum repeats the words that stand beside the one that changes: its time is not theirs.
    """
    if "decisions" not in line:
        yield line
        return
    purchase = {name: value for name, value in line.items() if name not in ("decisions", "occurred_at")}
    for word in line["decisions"]:
        yield {**purchase, **word}


def _content(word: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(word.get(field) for field in ("decision", "program_version", "amount", "outranked_by"))


def _story(cashback: Cashback, transition: str) -> str:
    who = f"{cashback.partner_id}:{cashback.member_id} {cashback.transaction_ref}"
    program = f"{cashback.program_id} #{cashback.sequence}"
    return f"{transition} of {cashback.amount} {cashback.currency}, {program}, {who}"
