"""Made-up entitlements: clips and airdrops that begin and end where purchases are."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from ops.simulation.programs import Line, chance, iso

_INSTANT = timedelta(microseconds=1)


def entitlements(
    rng: Random, programs: Sequence[Line], members: Sequence[tuple[str, str]], times: Sequence[datetime]
) -> list[Line]:
    """What members (partner_id, member_id) may use of the deals and airdrops, in any order.

    `times`: when they buy; grants, expiries and ends lie on them and a microsecond beside them.
    """
    wanted = sorted({(p["program_id"], p["type"]) for p in programs if p["type"] in ("deal", "airdrop")})
    lines: list[Line] = []
    for program_id, kind in wanted:
        for number in range(rng.randint(1, 4) if chance(rng, 90) else 0):
            partner_id, member_id = rng.choice(members)
            holder = {"partner_id": partner_id, "member_id": member_id}
            # Now and then the id of another grant, of this program or of another one.
            name = f"{kind[0]}{number}" if chance(rng, 25) else f"{program_id}-{number}"
            lines += _granted(rng, {**holder, **_named(kind, name)}, program_id, times)
    for line in list(lines):
        if chance(rng, 6):
            lines.append(line if chance(rng, 50) else {**line, **_contradiction(rng, line)})
    rng.shuffle(lines)
    return lines


def _granted(rng: Random, named: Line, program_id: str, times: Sequence[datetime]) -> list[Line]:
    """One grant, and the ends of its id."""
    granted_at = _at(rng, times) if chance(rng, 35) else min(times) - timedelta(days=rng.choice((0, 1, 9)))
    is_clip = "clip_id" in named
    grant = {**named, "kind": "CLIPPED" if is_clip else "AIRDROPPED", "program_id": program_id}
    grant["granted_at"] = iso(granted_at)
    if not is_clip:
        grant |= {"variant_id": rng.choice(("v1", "v2")), "creative_id": "c1"}
    expires_at = _at(rng, times)
    if chance(rng, 40) and expires_at > granted_at:
        grant["expires_at"] = iso(expires_at)
    lines = [grant]
    for _ in range(rng.randint(1, 2) if chance(rng, 25) else 0):
        revoked_at = rng.choice((granted_at, granted_at + _INSTANT, expires_at, _at(rng, times)))
        end = {**named, "kind": "UNCLIPPED" if is_clip else "REVOKED", "revoked_at": iso(revoked_at)}
        lines.append(end | ({"program_id": program_id} if chance(rng, 20) else {}))
    return lines


def _named(kind: str, name: str) -> Line:
    return {"clip_id": name} if kind == "deal" else {"airdrop_id": name}


def _contradiction(rng: Random, line: Line) -> Line:
    """Another content of the same identity; of an end there is none."""
    if "granted_at" not in line:
        return {}
    return {"program_id": "elsewhere"} if chance(rng, 50) else {"expires_at": None}


def _at(rng: Random, times: Sequence[datetime]) -> datetime:
    return rng.choice(times) + rng.choice((0, 0, 1, -1)) * _INSTANT
