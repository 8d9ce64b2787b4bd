"""Stage: what a member may use: clips and airdrops, and which of them a purchase goes by.

A row holds all that was said of one clip or airdrop id; another lists the ids a member has of one program.
"""

import msgspec

from schemas.entitlements import AIRDROPPED, CLIPPED, Entitlement
from schemas.errors import Rejected
from schemas.times import Micros
from streams.conflicts import Conflicting
from streams.program import Program
from streams.purchase import PurchaseId, Reason
from streams.rows import Rows

IDS_MAX = 10_000
"""Clips or airdrops one member holds of one program."""
WORDS_MAX = 1_000
"""Grants and ends of one clip or airdrop id."""

_NEVER: Micros = 2**62


class Grant(msgspec.Struct, array_like=True, gc=False):
    """From when, until when (0: no end) and of which program a clip or airdrop counts."""

    granted_at: Micros
    expires_at: Micros
    program_id: str
    variant_id: str | None = None
    creative_id: str | None = None


class Title(msgspec.Struct, array_like=True, gc=False):
    """All that was said of one clip or airdrop.

    `holder` is the purchase that used a clip up, or empty; `pairs` of it go by the clip.
    """

    grants: list[Grant] = []
    ends: list[Micros] = []
    holder: str = ""
    pairs: int = 0


class Found(msgspec.Struct, frozen=True):
    """The entitlement a purchase goes by."""

    id: str
    variant_id: str | None
    creative_id: str | None


_encode = msgspec.msgpack.Encoder().encode
_decode_title = msgspec.msgpack.Decoder(Title).decode
_decode_ids = msgspec.msgpack.Decoder(list[str]).decode


class Entitlements:
    """The clips and airdrops of all members of a partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def take(self, said: Entitlement) -> bool:
        """Keeps one entitlement, also of a program not known yet; False for a repetition.

        Raises `Rejected` when it contradicts what came first, or when there are too many.
        """
        member = _member(said.partner_id, said.member_id, said.livemode)
        key = _title_key(member, said.is_clip, said.id)
        row = self._rows.get(key)
        title = Title() if row is None else _decode_title(row)
        if said.kind in (CLIPPED, AIRDROPPED):
            is_news = self._grant(member, title, said)
        else:
            assert said.revoked_at is not None
            is_news = said.revoked_at not in title.ends
            title.ends = sorted({*title.ends, said.revoked_at})
        if not is_news:
            return False
        if len(title.grants) + len(title.ends) > WORDS_MAX:
            problem = f"more than {WORDS_MAX} grants and ends of {said.id}"
            raise Rejected("clip_id" if said.is_clip else "airdrop_id", problem, "use a new id")
        self._rows.put(key, _encode(title))
        return True

    def _grant(self, member: str, title: Title, said: Entitlement) -> bool:
        assert said.granted_at is not None
        assert said.program_id is not None
        grant = Grant(
            said.granted_at, said.expires_at or 0, said.program_id, said.variant_id, said.creative_id
        )
        for known in title.grants:
            if known.granted_at == grant.granted_at:
                if known == grant:
                    return False
                problem = f"{said.id} was granted at that time with another content"
                raise Conflicting("granted_at", problem, "what came first stands; revoke it and grant anew")
        key = _program_key(member, said.is_clip, said.program_id)
        row = self._rows.get(key)
        ids = [] if row is None else _decode_ids(row)
        if said.id not in ids:
            if len(ids) >= IDS_MAX:
                problem = f"more than {IDS_MAX} of one member and program"
                raise Rejected("clip_id" if said.is_clip else "airdrop_id", problem, "use fewer")
            self._rows.put(key, _encode([*ids, said.id]))
        title.grants.append(grant)
        return True

    def find(self, who: PurchaseId, program: Program, at: Micros) -> Found | Reason:
        """The entitlement that a purchase at `at` goes by, the first to expire; or why there is none."""
        best: tuple[tuple[Micros, Micros, str], Grant] | None = None
        expired = False
        for name in self._ids(who.member, program):
            title = self._title(who.member, program.by_clip, name)
            if title.holder:
                continue  # used up, also for a version by which it would not be
            for grant in title.grants:
                if grant.program_id != program.program_id or grant.granted_at > at:
                    continue
                expires_at = grant.expires_at or _NEVER
                ended_at = min((end for end in title.ends if end > grant.granted_at), default=_NEVER)
                if at < expires_at and at < ended_at:
                    rank = (expires_at, grant.granted_at, name)
                    if best is None or rank < best[0]:
                        best = rank, grant
                elif expires_at <= at and expires_at < ended_at:
                    expired = True
        if best is None:
            return Reason.ENTITLEMENT_EXPIRED if expired else Reason.NOT_ENTITLED
        return Found(best[0][2], best[1].variant_id, best[1].creative_id)

    def is_free(self, who: PurchaseId, program: Program, name: str) -> bool:
        """Whether no other purchase used the entitlement up."""
        return self._title(who.member, program.by_clip, name).holder in ("", who.external_id)

    def hold(self, who: PurchaseId, program: Program, name: str, *, holds: bool) -> None:
        """Notes that a purchase uses a clip up, or gives it back."""
        if not program.uses_up:
            return
        title = self._title(who.member, program.by_clip, name)
        title.pairs += 1 if holds else -1
        title.holder = who.external_id if title.pairs else ""
        self._rows.put(_title_key(who.member, program.by_clip, name), _encode(title))

    def _ids(self, member: str, program: Program) -> list[str]:
        row = self._rows.get(_program_key(member, program.by_clip, program.program_id))
        return [] if row is None else _decode_ids(row)

    def _title(self, member: str, is_clip: bool, name: str) -> Title:
        row = self._rows.get(_title_key(member, is_clip, name))
        return Title() if row is None else _decode_title(row)


def _member(partner_id: str, member_id: str, livemode: bool) -> str:
    return f"{partner_id}\x1f{member_id}\x1f{'1' if livemode else '0'}"


def _title_key(member: str, is_clip: bool, name: str) -> bytes:
    return f"e{member}\x1f{'c' if is_clip else 'a'}\x1f{name}".encode()


def _program_key(member: str, is_clip: bool, program_id: str) -> bytes:
    return f"i{member}\x1f{'c' if is_clip else 'a'}\x1f{program_id}".encode()
