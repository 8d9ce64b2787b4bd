"""The worked examples of the contract, through the command: given programs, when payments, then events."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from ops.cli import build
from tests.oracle.phrases import Line, campaign, feb, flat, percent, said, tiers


@dataclass(frozen=True)
class Example:
    """`then` has one line an event: time, transition, sequence and, if created, amount and currency."""

    name: str
    given: list[Line]
    when: list[Line]
    then: list[str]
    until: str | None = None


def bought(amount: int) -> list[Line]:
    return [said("01 10:00", "SETTLED", amount)]


def pending(amount: int, currency: str = "EUR") -> list[str]:
    return [f"2024-02-01T10:00:00Z created #1 {amount} {currency}"]


STEPS_DOWN = [
    "2024-02-01T10:00:00Z created #1 49 EUR",
    "2024-02-01T11:00:00Z reverted #1",
    "2024-02-01T11:00:00Z created #2 33 EUR",
    "2024-02-01T12:00:00Z reverted #2",
    "2024-02-01T12:00:00Z created #3 16 EUR",
    "2024-02-01T13:00:00Z reverted #3",
]
GROCER = campaign(percent(100), min_spend_minor=1001, hold_days=14)

EXAMPLES = [
    Example("1999 at 100 bps earn 19", [campaign(percent(100))], bought(1999), pending(19)),
    Example("28950 at 400 bps earn 1158", [campaign(percent(400))], bought(28950), pending(1158)),
    Example("14999 at 1000 bps earn 1499", [campaign(percent(1000))], bought(14999), pending(1499)),
    Example("99 at 100 bps earn nothing", [campaign(percent(100))], bought(99), []),
    Example("2000 lie in the first bracket", [campaign(tiers(50, 2000, 200))], bought(2000), pending(50)),
    Example("2001 lie in the second bracket", [campaign(tiers(50, 2000, 200))], bought(2001), pending(200)),
    Example("points are an asset", [campaign(flat(50) | {"unit": "points"})], bought(1), pending(50, "XXX")),
    Example("ten euros are not above ten euros", [GROCER], bought(1000), []),
    Example("one cent more is", [GROCER], bought(1001), pending(10)),
    Example(
        "three refunds take 3333 at 150 bps from 49 to 33 to 16 to nothing",
        [campaign(percent(150))],
        [*bought(3333), *(said(f"01 1{n}:00", "REFUNDED", 1111, f"r{n}") for n in (1, 2, 3))],
        STEPS_DOWN,
        until="28 00:00",
    ),
    Example(
        "the order of the refunds and their repetition change nothing",
        [campaign(percent(150))],
        [*bought(3333), *(said("01 11:00", "REFUNDED", 1111, f"r{n}") for n in (2, 1, 1, 2))],
        [
            "2024-02-01T10:00:00Z created #1 49 EUR",
            "2024-02-01T11:00:00Z reverted #1",
            "2024-02-01T11:00:00Z created #2 33 EUR",
            "2024-02-01T11:00:00Z reverted #2",
            "2024-02-01T11:00:00Z created #3 16 EUR",
        ],
    ),
    Example(
        "the seed's grocer pays after fourteen days of 24 hours",
        [GROCER],
        bought(2500),
        [*pending(25), "2024-02-15T10:00:00Z cleared #1"],
        until="15 10:00",
    ),
    Example("and not a minute before", [GROCER], bought(2500), pending(25), until="15 09:59"),
    Example(
        "without a hold a settled purchase is created and cleared at once",
        [campaign(flat(5), hold_days=0)],
        bought(100),
        [*pending(5), "2024-02-01T10:00:00Z cleared #1"],
    ),
    Example(
        "without a hold an authorization waits for its capture",
        [campaign(flat(5), hold_days=0)],
        [said("01 10:00", "AUTHORIZED", 100), said("02 10:00", "SETTLED", 100)],
        [*pending(5), "2024-02-02T10:00:00Z cleared #1"],
    ),
    Example(
        "an authorization runs out at its deadline, whenever that is noticed",
        [campaign(flat(5), auth_expiry_days=3)],
        [said("01 10:00", "AUTHORIZED", 100), said("20 10:00", "SETTLED", 100)],
        [
            *pending(5),
            "2024-02-04T10:00:00Z reverted #1",
            "2024-02-20T10:00:00Z created #2 5 EUR",
            "2024-02-20T10:00:00Z cleared #2",
        ],
    ),
    Example(
        "a split shipment brings a further cashback",
        [campaign(percent(1000))],
        [said("01 10:00", "SETTLED", 1000, "1"), said("04 10:00", "SETTLED", 500, "2")],
        [
            *pending(100),
            "2024-02-03T10:00:00Z cleared #1",
            "2024-02-04T10:00:00Z created #2 50 EUR",
            "2024-02-04T10:00:00Z cleared #2",
        ],
    ),
    Example(
        "a refund after clearing changes nothing by itself",
        [campaign(percent(1000))],
        [*bought(1000), said("04 10:00", "REFUNDED", 1000)],
        [*pending(100), "2024-02-03T10:00:00Z cleared #1"],
    ),
    Example(
        "a refund may come before its purchase",
        [campaign(percent(1000))],
        [said("01 12:00", "REFUNDED", 400), *bought(1000)],
        pending(60),
    ),
    Example(
        "a void is for good",
        [campaign(percent(1000))],
        [*bought(1000), said("01 11:00", "VOIDED"), said("01 12:00", "SETTLED", 700, "again")],
        [*pending(100), "2024-02-01T11:00:00Z reverted #1"],
        until="28 00:00",
    ),
    Example(
        "fractions of a second have no trailing zeros",
        [campaign(flat(5), hold_days=0)],
        [{**bought(100)[0], "occurred_at": "2024-02-01T10:00:00.120000Z"}],
        ["2024-02-01T10:00:00.12Z created #1 5 EUR", "2024-02-01T10:00:00.12Z cleared #1"],
    ),
    Example(
        "another zone is written in UTC",
        [campaign(flat(5))],
        [{**bought(100)[0], "occurred_at": "2024-02-01T11:00:00+01:00"}],
        pending(5),
    ),
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
def test_worked_example(example: Example, tmp_path: Path) -> None:
    events, _ = simulated(tmp_path, example.given, example.when, example.until)

    assert [_told(event) for event in events] == example.then


@pytest.mark.parametrize(
    ("given", "said_of_each"),
    [
        ([campaign(flat(5), merchant_ids=["other"])], {None: "NO_PROGRAM"}),
        ([campaign(flat(5), store_ids=["s1"], mccs=["5411"])], {"p": "STORE_MISMATCH"}),
        ([campaign(flat(5), currency="USD")], {"p": "CURRENCY_MISMATCH"}),
        ([campaign(flat(5), valid_to=feb("01", "10:00"))], {"p": "OUTSIDE_VALIDITY"}),
        ([campaign(percent(9))], {"p": "REWARD_ZERO"}),
        ([campaign(flat(5), min_spend_minor=1001)], {"p": "BELOW_MIN_SPEND"}),
        (
            [campaign(flat(5), "a"), campaign(flat(6), "b"), campaign(flat(1), "c", stackable=True)],
            {"a": "OUTRANKED by b", "b": "REWARDED 6", "c": "REWARDED 1"},
        ),
    ],
)
def test_the_first_reason_is_the_decision(
    given: list[Line], said_of_each: dict[str | None, str], tmp_path: Path
) -> None:
    _, decisions = simulated(tmp_path, given, bought(1000))

    assert {line["program_id"]: _word(line) for line in decisions} == said_of_each
    for line in decisions:
        assert (line["occurred_at"], line["merchant_id"]) == ("2024-02-01T10:00:00Z", "shop")
        assert (line["transaction_id"], line["transaction_ref"]) == ("tx_faa927d3d7b4f2807add8339", "x")


def test_the_lines_have_the_ids_and_fields_of_the_contract(tmp_path: Path) -> None:
    events, _ = simulated(tmp_path, [campaign(flat(5), hold_days=0)], bought(100))

    assert [list(event.items()) for event in events] == [
        [
            ("event_id", "evt_2f79188fcf65c59bc39f71f7"),
            ("timestamp", "2024-02-01T10:00:00Z"),
            ("type", "cashback.created"),
            ("cashback_transaction_id", "cbtx_3e8643cd56f17094ce0fe636"),
            ("amount", 5),
            ("currency", "EUR"),
            ("transaction_id", "tx_faa927d3d7b4f2807add8339"),
            ("transaction_ref", "x"),
            ("source", {"type": "campaign", "campaign_id": "p"}),
            *_added(),
        ],
        [
            ("event_id", "evt_d052df282f3de8ba0e1e5fc0"),
            ("timestamp", "2024-02-01T10:00:00Z"),
            ("type", "cashback.cleared"),
            ("cashback_transaction_id", "cbtx_3e8643cd56f17094ce0fe636"),
            ("transaction_id", "tx_faa927d3d7b4f2807add8339"),
            ("transaction_ref", "x"),
            *_added(),
        ],
    ]


def test_the_installed_command_names_bad_lines_and_goes_on(tmp_path: Path) -> None:
    lines = [said("01 10:00", "SETTLED", -1), *bought(1000)]
    arguments = _files(tmp_path, [campaign(flat(5))], lines)
    command = Path(sys.executable).with_name("cashback")

    done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 3
    assert f"{tmp_path / 'transactions.jsonl'}:1: " in done.stderr
    assert "amount_minor" in done.stderr
    assert [_told(event) for event in _read(tmp_path / "events.jsonl")] == pending(5)


def simulated(
    room: Path, programs: list[Line], lines: list[Line], until: str | None = None
) -> tuple[list[Line], list[Line]]:
    """Events and decisions that `cashback simulate` writes; no bad line expected."""
    arguments = _files(room, programs, lines)
    if until is not None:
        arguments += ["--until", feb(*until.split())]

    done = CliRunner().invoke(build("simulate"), arguments)

    assert done.exit_code == 0, done.output
    return _read(room / "events.jsonl"), _read(room / "decisions.jsonl")


def _files(room: Path, programs: list[Line], lines: list[Line]) -> list[str]:
    (room / "programs.yaml").write_text(yaml.safe_dump(programs))
    (room / "transactions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    names = {"programs": "programs.yaml", "transactions": "transactions.jsonl"}
    names |= {"events": "events.jsonl", "decisions": "decisions.jsonl"}
    return ["simulate", *(word for name, file in names.items() for word in (f"--{name}", str(room / file)))]


def _read(path: Path) -> list[Line]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _told(event: Line) -> str:
    transition = event["type"].removeprefix("cashback.")
    amount = f" {event['amount']} {event['currency']}" if transition == "created" else ""
    return f"{event['timestamp']} {transition} #{event['sequence']}{amount}"


def _word(line: Line) -> str:
    extra = f" {line['amount']}" if "amount" in line else ""
    return str(line["decision"]) + extra + (f" by {line['outranked_by']}" if "outranked_by" in line else "")


def _added() -> list[tuple[str, object]]:
    return [
        ("partner_id", "bank"),
        ("member_id", "ann"),
        ("program_id", "p"),
        ("program_version", 1),
        ("sequence", 1),
        ("livemode", True),
    ]
