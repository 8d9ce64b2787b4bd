"""Both codecs and bare fastavro on the same mutants: where fastavro is laxer than the two we know why.

python -m tests.schemas.codec_fuzz --mutants 1000000
"""

import argparse
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from enum import IntEnum, StrEnum
from io import BytesIO
from pathlib import Path
from typing import Any

from fastavro import schemaless_reader, schemaless_writer

from schemas.codec import CODECS, Codec
from schemas.compiled.layout import Layout, layout_of
from schemas.errors import Undecodable
from schemas.registry import latest, locked_schemas

GOLDEN = Path(__file__).parent / "golden"
PARSED = {schema.record: latest(schema.record).parsed() for schema in locked_schemas()}
LAYOUTS = {record: layout_of(parsed) for record, parsed in PARSED.items()}
HEADS = {record: b"\0" + latest(record).schema_id.to_bytes(4, "big") for record in PARSED}

LAXER_READING = {
    "longer than it needs": "a number spelt longer than it needs to be",
    "more than 64 bits": "a number of more than 64 bits, of which fastavro drops the rest",
    "no branch": "a negative branch of a union, counted from its end",
    "no symbol": "a negative symbol of an enum, counted from its end",
    "for a boolean": "another byte than 0 and 1 for a boolean, taken for true",
    "32-bit": "a number outside 32 bits for an int",
    "as it says": "an array block of another size than it says",
    "a block of": "an array block of an impossible size or count",
}
"""What bare fastavro takes and we refuse, by a part of our message."""

LAXER_WRITING = {
    "an integer is expected": "a boolean, or what converts to an integer, for a number",
    "a boolean is expected": "anything for a boolean, by its truth",
    "a list is expected": "another iterable for an array",
    "a string is expected": "another thing that has encode() for a string",
    "does not fit into": "a number outside 32 bits for an int",
}
"""What bare fastavro writes and we refuse, by a part of our message."""


class Word(StrEnum):
    SETTLED = "SETTLED"


class Number(IntEnum):
    SEVEN = 7


class Long(int):
    """An int that is not quite one."""


ODD: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, 2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**63 - 1, 2**63, -(2**63),
    -(2**63) - 1, 10**30, 1.0, 1.5, float("nan"), "", "x", "é" * 700, "\0", "\ud800", "clip", "REWARDED",
    Word.SETTLED, Number.SEVEN, Long(5), b"", b"x", bytearray(b"x"), [], [1], ["x"], [None], [[]], [{}], (),
    (1,), ("string", "x"), ("long", 1), ("null", None), {}, {"x": 1}, {"-type": "x"}, {1}, range(3), object(),
)  # fmt: skip


def a_datum(rng: random.Random, layout: Layout) -> Any:
    """Anything that fits the layout."""
    if layout.nullable and rng.random() < 0.4:
        return None
    match layout.kind:
        case "record":
            return {n: a_datum(rng, part) for n, part in zip(layout.names, layout.parts, strict=True)}
        case "array":
            return [a_datum(rng, layout.parts[0]) for _ in range(rng.choice((0, 1, 1, 2, 3, 9)))]
        case "enum":
            return rng.choice(layout.names)
        case "boolean":
            return rng.random() < 0.5
        case "string":
            alphabet = rng.choice(("ab_0", "aé", "日本", "a\0é", "🜚"))
            return "".join(rng.choices(alphabet, k=rng.choice((0, 1, 5, 20, 63, 64, 130))))
        case kind:
            bits = rng.randrange(1, 32 if kind == "int" else 64)
            return rng.randrange(-(2**bits), 2**bits)


def number(rng: random.Random, value: int, oddness: float) -> bytes:
    """A varint; now and then one that is spelt too long or is too large."""
    bits = (value << 1) ^ (value >> 63)
    out = bytearray()
    while bits > 127:
        out.append(bits & 127 | 128)
        bits >>= 7
    out.append(bits)
    if rng.random() < oddness:
        out[-1] |= 128
        out += rng.choice((b"\0", b"\x80\0", b"\x80" * rng.randrange(12) + b"\0", b"\x80" * 8 + b"\x02"))
    return bytes(out)


def spelt(rng: random.Random, layout: Layout, datum: Any, oddness: float) -> bytes:
    """The datum in one of the spellings that Avro or only fastavro takes."""
    before = b""
    odd = rng.random() < oddness
    if layout.nullable:
        branch = 0 if datum is None else 1
        before = number(rng, branch - 2 if odd and rng.random() < 0.3 else branch, oddness)
        if datum is None:
            return before
    match layout.kind:
        case "record":
            parts = zip(layout.names, layout.parts, strict=True)
            return before + b"".join(spelt(rng, part, datum[name], oddness) for name, part in parts)
        case "array":
            return before + array(rng, layout.parts[0], datum, oddness)
        case "enum":
            index = layout.names.index(datum)
            return before + number(rng, index - len(layout.names) if odd else index, oddness)
        case "boolean":
            return before + (bytes([rng.randrange(256)]) if odd else bytes([datum]))
        case "string":
            text: bytes = datum.encode()
            return before + number(rng, len(text), oddness) + text
        case "int" if odd:
            return before + number(rng, datum + rng.choice((2**31, 2**32, -(2**32), 2**62)), oddness)
        case _:
            return before + number(rng, datum, oddness)


def array(rng: random.Random, item: Layout, data: list[Any], oddness: float) -> bytes:
    """In one block or several, with and without its size, which now and then is wrong."""
    out, rest = b"", list(data)
    while rest:
        count = rng.randrange(1, len(rest) + 1)
        block = b"".join(spelt(rng, item, each, oddness) for each in rest[:count])
        rest = rest[count:]
        if rng.random() < 0.5:
            wrong = rng.choice((1, -1, 2**40, -(2**40))) if rng.random() < oddness else 0
            out += number(rng, -count, oddness) + number(rng, len(block) + wrong, oddness) + block
        else:
            out += number(rng, count, oddness) + block
    if rng.random() < oddness / 4:
        out += number(rng, -(2**63), 0) + number(rng, rng.randrange(3), 0)
    return out + number(rng, 0, oddness)


def mutated(rng: random.Random, value: bytes) -> bytes:
    """One to three changes anywhere after the head."""
    body = bytearray(value[5:])
    for _ in range(rng.randrange(1, 4)):
        body = body or bytearray(1)
        place = rng.randrange(len(body) + 1)
        match rng.randrange(6):
            case 0:
                body[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                body[place : place + 1] = rng.choice((b"\0", b"\1", b"\2", b"\3", b"\x7f", b"\x80", b"\xff"))
            case 2:
                del body[place : place + rng.randrange(1, 5)]
            case 3:
                body[place:place] = rng.randbytes(rng.randrange(1, 4))
            case 4:
                body[place:place] = body[rng.randrange(len(body) + 1) :][: rng.randrange(40)]
            case _:
                place = min(place, len(body) - 1)
                body[place:] = bytes([body[place] ^ 1 << rng.randrange(8)]) + body[place + 1 :]
    return value[:5] + bytes(body)


def odd_datum(rng: random.Random, datum: Any) -> Any:
    """The datum with one value, at any depth, that may not belong there, left out, or added."""
    if isinstance(datum, dict) and datum and rng.random() < 0.95:
        name = rng.choice([*datum])
        changed = {**datum, name: odd_datum(rng, datum[name])}
        if rng.random() < 0.15:
            del changed[name]
        if rng.random() < 0.1:
            changed[rng.choice(("more", "-type", "amount"))] = rng.choice(ODD)
        return changed
    if isinstance(datum, list) and datum and rng.random() < 0.8:
        place = rng.randrange(len(datum))
        items = [*datum[:place], odd_datum(rng, datum[place]), *datum[place + 1 :]]
        return tuple(items) if rng.random() < 0.2 else items
    return rng.choice(ODD)


Outcome = tuple[str, Any]


def reading(decode: Callable[[bytes], Any], value: bytes) -> Outcome:
    try:
        return "taken", repr(decode(value))
    except Undecodable as refusal:
        return "refused", str(refusal)


def in_fields(codec: Codec, value: bytes) -> tuple[str, dict[str, Any]]:
    """What `decode_fields` read, as `decode` gives it."""
    record, fields, plain = codec.decode_fields(value)
    if plain:
        assert all(is_plain(field) for field in fields), fields
    return record, dict(zip(LAYOUTS[record].names, fields, strict=True))


def is_plain(field: Any) -> bool:
    """Whether every string in it is 1 to 128 printable ASCII characters."""
    if isinstance(field, dict):
        return all(is_plain(each) for each in field.values())
    if isinstance(field, list):
        return all(is_plain(each) for each in field)
    return not isinstance(field, str) or (0 < len(field) <= 128 and field.isascii() and field.isprintable())


def bare_reading(value: bytes) -> Outcome:
    record = next(record for record, head in HEADS.items() if value.startswith(head))
    body = BytesIO(value[5:])
    try:
        datum = schemaless_reader(body, PARSED[record], None)
    except Exception as error:  # noqa: BLE001  # fastavro raises what it stumbles over
        return "refused", type(error).__name__
    return ("refused", "surplus") if body.read() else ("taken", repr((record, datum)))


def writing(encode: Callable[[str, Any], bytes], record: str, datum: Any) -> Outcome:
    try:
        return "taken", encode(record, datum)
    except (TypeError, ValueError) as refusal:
        return "refused", str(refusal)


def bare_writing(record: str, datum: Any, *, pairs: bool) -> Outcome:
    """With `pairs`, fastavro's default, it takes a tuple in a union for (type, value)."""
    out = BytesIO(HEADS[record])
    out.seek(5)
    try:
        schemaless_writer(out, PARSED[record], datum, disable_tuple_notation=not pairs)
    except Exception as error:  # noqa: BLE001
        return "refused", type(error).__name__
    return "taken", out.getvalue()


class Fuzz:
    """Counts what came of the mutants; `unexplained` holds those that should not be."""

    def __init__(self, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.unexplained: list[str] = []
        self._rng = random.Random(seed)
        self._golden = [
            bytes.fromhex(case["hex"])
            for path in sorted(GOLDEN.iterdir())
            if latest(path.stem.partition(".")[0]).version == int(path.stem.partition(".")[2])
            for case in json.loads(path.read_text())
        ]
        self._codecs: tuple[Codec, Codec] = (CODECS["compiled"], CODECS["fastavro"])

    def run(self, mutants: int) -> None:
        """Three of four mutants are read, one is written."""
        for index in range(mutants):
            if index % 4:
                self._read(self._value())
            else:
                record = self._rng.choice([*LAYOUTS])
                datum = a_datum(self._rng, LAYOUTS[record])
                self._write(record, odd_datum(self._rng, datum) if self._rng.random() < 0.9 else datum)

    def _value(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.3:
            return mutated(rng, rng.choice(self._golden))
        if rng.random() < 0.03:
            return HEADS[rng.choice([*HEADS])] + rng.randbytes(rng.randrange(100))
        record = rng.choice([*LAYOUTS])
        layout = LAYOUTS[record]
        value = HEADS[record] + spelt(rng, layout, a_datum(rng, layout), rng.choice((0, 0.02, 0.1)))
        return mutated(rng, value) if rng.random() < 0.3 else value

    def _read(self, value: bytes) -> None:
        compiled, fallback = (reading(codec.decode, value) for codec in self._codecs)
        for codec, whole in zip(self._codecs, (compiled, fallback), strict=True):
            if reading(lambda value, codec=codec: in_fields(codec, value), value) != whole:  # type: ignore[misc]
                self.unexplained.append(f"decode_fields differs from decode: {value.hex()}")
        self._judge("read", compiled, fallback, bare_reading(value), LAXER_READING, value.hex())

    def _write(self, record: str, datum: Any) -> None:
        compiled, fallback = (writing(codec.encode, record, datum) for codec in self._codecs)
        said = f"{record} {datum!r}"
        bare = bare_writing(record, datum, pairs=False)
        if bare_writing(record, datum, pairs=True) != bare:
            self.counts["written: a tuple, which bare fastavro by default takes for (type, value)"] += 1
        self._judge("written", compiled, fallback, bare, LAXER_WRITING, said)
        if compiled[0] == "taken":
            # What was written is read back by both, to the same.
            self._read(compiled[1])

    def _judge(
        self, done: str, compiled: Outcome, fallback: Outcome, bare: Outcome, laxer: dict[str, str], said: str
    ) -> None:
        """`laxer` explains what bare fastavro takes and we refuse; nothing explains any other difference."""
        if compiled[0] != fallback[0] or (compiled[0] == "taken" and compiled[1] != fallback[1]):
            self._note(f"{done} by one codec otherwise than by the other", said)
        elif compiled[0] == bare[0] == "refused":
            self.counts[f"{done}: refused by all"] += 1
        elif compiled == bare:
            self.counts[f"{done}: the same by all"] += 1
        elif compiled[0] == "refused":
            why = next((why for part, why in laxer.items() if re.search(part, compiled[1])), None)
            if why is None:
                self._note(f"{done} only by bare fastavro: {compiled[1]}", said)
            else:
                self.counts[f"{done} only by bare fastavro: {why}"] += 1
        elif done == "written" and bare[0] == "refused" and "'-type':" in said:
            self.counts["written only by us: a key -type, which bare fastavro takes for a hint"] += 1
        else:
            self._note(f"{done} by us otherwise than by bare fastavro", said)

    def _note(self, difference: str, said: str) -> None:
        self.counts[f"UNEXPLAINED {difference[:100]}"] += 1
        if len(self.unexplained) < 20:
            self.unexplained.append(f"{difference}\n    {said}")


def main() -> int:
    """Exit code 1 if a difference is unexplained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mutants", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if "compiled" not in CODECS:
        print("the codec is not compiled here: there is nothing to compare", file=sys.stderr)
        return 1
    fuzz = Fuzz(arguments.seed)
    fuzz.run(arguments.mutants)
    for outcome, count in sorted(fuzz.counts.items()):
        print(f"{count:>9} {outcome}")
    print(*fuzz.unexplained, sep="\n")
    return 1 if fuzz.unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
