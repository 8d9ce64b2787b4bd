"""What is said of members beside their payments: clips, airdrops, and revocations."""

from collections.abc import Sequence
from random import Random
from zlib import crc32

from ops.simulation.arrivals import Draw, Item, Line, Version
from ops.simulation.grants import entitlements
from schemas import entitlements as forms
from schemas.codec import encode
from schemas.times import DAY, MINUTE, Micros, to_datetime


def grants(
    draw: Draw, start: Micros, versions: Sequence[Version], payments: Sequence[Item], partitions: int
) -> list[Item]:
    """Clips and airdrops of the members who pay, most before their purchases, some after."""
    programs = [version.form for version in versions]
    if not any(program["type"] in ("deal", "airdrop") for program in programs):
        return []
    lines = [payment.line for payment in payments if payment.line is not None]
    members = sorted({(line["partner_id"], line["member_id"]) for line in lines})
    times = sorted({line["occurred_at"] for line in lines})[:8]
    made = entitlements(Random(int(draw() * 2**32)), programs, members, [to_datetime(each) for each in times])
    items = []
    for line in made:
        said = forms.from_json(line)
        at = start - DAY if draw() < 0.7 else start + int(draw() * 5 * DAY)
        value = encode("Entitlement", forms.to_datum(said))
        items.append(Item(at, crc32(said.key) % partitions, "entitlement", said.key, value, line))
    return items


def revocations(
    draw: Draw, versions: Sequence[Version], payments: Sequence[Item], partitions: int
) -> list[Item]:
    """Now and then an operator takes a cashback back, also one that is not pending or was never there."""
    items: list[Item] = []
    for _ in range(1 + int(draw() * 3) if draw() < 0.2 else 0):
        payment = payments[int(draw() * len(payments))]
        paid: Line = payment.line or {}
        at = payment.at + int(draw() * 3 * 24 * 60) * MINUTE
        line: Line = {
            **{name: paid[name] for name in ("partner_id", "member_id", "external_id", "livemode")},
            "program_id": versions[int(draw() * len(versions))].terms.program_id,
            "sequence": 1 + int(draw() * 1.4),
            "actor": "eve",
            "reason": "a mistake",
            "revoked_at": at,
        }
        value = encode("Revocation", line)
        partition = crc32(payment.key) % partitions
        items += [Item(at, partition, "revocation", payment.key, value, line)] * (2 if draw() < 0.2 else 1)
    return items
