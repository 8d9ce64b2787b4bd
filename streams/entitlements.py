"""Stage: what a member may use: clips and airdrops, and which of them a purchase goes by.

A row holds all that was said of one clip or airdrop id; `shelves` what a member may still use of a program.
"""

from bisect import bisect_right

import msgspec

from schemas.entitlements import AIRDROPPED, CLIPPED, Entitlement
from schemas.errors import Rejected
from schemas.times import Micros
from streams.conflicts import Conflicting
from streams.program import Program
from streams.purchase import PurchaseId, Reason, member_part
from streams.rows import Rows
from streams.shelves import GRANTS_MAX, NEVER, Shelves, Usable

WORDS_MAX = 1_000
"""Grants and ends of one clip or airdrop id."""


class Grant(msgspec.Struct, array_like=True, gc=False):
    """From when, until when (0: no end) and of which program a clip or airdrop counts.

    `page` of the shelf it lies on, while nothing used it up.
    """

    granted_at: Micros
    expires_at: Micros
    program_id: str
    variant_id: str | None = None
    creative_id: str | None = None
    page: int = 0


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


class Entitlements:
    """The clips and airdrops of all members of a partition."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._shelves = Shelves(rows)

    def take(self, said: Entitlement) -> bool:
        """Keeps one entitlement, also of a program not known yet; False for a repetition.

        Raises `Rejected` when it contradicts what came first, or when there are too many.
        """
        member = member_part(said.partner_id, said.member_id, said.livemode)
        key = _title_key(member, said.is_clip, said.id)
        row = self._rows.get(key)
        title = Title() if row is None else _decode_title(row)
        if said.kind in (CLIPPED, AIRDROPPED):
            grant = _new_grant(title, said)
            if grant is None:
                return False
            self._check_room(member, title, said, grant)
            title.grants.append(grant)
            if not title.holder:
                self._shelve(member, said.is_clip, said.id, title, [grant])
        else:
            assert said.revoked_at is not None
            if said.revoked_at in title.ends:
                return False
            self._check_room(member, title, said, None)
            title.ends = sorted([*title.ends, said.revoked_at])
            self._end(member, title, said, said.revoked_at)
        self._rows.put(key, _encode(title))
        return True

    def _check_room(self, member: str, title: Title, said: Entitlement, grant: Grant | None) -> None:
        field = "clip_id" if said.is_clip else "airdrop_id"
        if len(title.grants) + len(title.ends) >= WORDS_MAX:
            raise Rejected(field, f"more than {WORDS_MAX} grants and ends of {said.id}", "use a new id")
        if grant is not None and self._shelves.is_full(_shelf(member, said.is_clip, grant.program_id)):
            problem = f"more than {GRANTS_MAX} that one member may use of one program"
            raise Rejected(field, problem, "use fewer")

    def _shelve(self, member: str, is_clip: bool, name: str, title: Title, grants: list[Grant]) -> None:
        """Lets purchases find these grants of a title."""
        for grant in grants:
            place = bisect_right(title.ends, grant.granted_at)
            ended_at = title.ends[place] if place < len(title.ends) else NEVER
            usable = Usable(name, grant.granted_at, grant.expires_at or NEVER, ended_at)
            grant.page = self._shelves.add(_shelf(member, is_clip, grant.program_id), usable)

    def _unshelve(self, member: str, is_clip: bool, name: str, title: Title) -> None:
        for program_id, page in {(grant.program_id, grant.page) for grant in title.grants}:
            self._shelves.remove(_shelf(member, is_clip, program_id), page, name)

    def _end(self, member: str, title: Title, said: Entitlement, at: Micros) -> None:
        if title.holder:
            return  # told when it is given back
        before = {(grant.program_id, grant.page) for grant in title.grants if grant.granted_at < at}
        for program_id, page in before:
            self._shelves.end(_shelf(member, said.is_clip, program_id), page, said.id, at)

    def find(self, who: PurchaseId, program: Program, at: Micros) -> Found | Reason:
        """The entitlement that a purchase at `at` goes by, the first to expire; or why there is none."""
        best: Usable | None = None
        expired = False
        for grant in self._shelves.usable(_shelf(who.member, program.by_clip, program.program_id)):
            if grant.granted_at > at:
                continue
            if at < grant.expires_at and at < grant.ended_at:
                if best is None or _rank(grant) < _rank(best):
                    best = grant
            elif grant.expires_at <= at and grant.expires_at < grant.ended_at:
                expired = True
        if best is None:
            return Reason.ENTITLEMENT_EXPIRED if expired else Reason.NOT_ENTITLED
        title = self._title(who.member, program.by_clip, best.id)
        told = next(grant for grant in title.grants if grant.granted_at == best.granted_at)
        return Found(best.id, told.variant_id, told.creative_id)

    def is_free(self, who: PurchaseId, program: Program, name: str) -> bool:
        """Whether no other purchase used the entitlement up."""
        return self._title(who.member, program.by_clip, name).holder in ("", who.external_id)

    def hold(self, who: PurchaseId, program: Program, name: str, *, holds: bool) -> None:
        """Notes that a purchase uses a clip up, or gives it back."""
        if not program.uses_up:
            return
        title = self._title(who.member, program.by_clip, name)
        was_held = bool(title.holder)
        title.pairs += 1 if holds else -1
        title.holder = who.external_id if title.pairs else ""
        if title.holder and not was_held:
            # Used up, also for a version by which it would not be.
            self._unshelve(who.member, program.by_clip, name, title)
        elif was_held and not title.holder:
            self._shelve(who.member, program.by_clip, name, title, title.grants)
        self._rows.put(_title_key(who.member, program.by_clip, name), _encode(title))

    def _title(self, member: str, is_clip: bool, name: str) -> Title:
        row = self._rows.get(_title_key(member, is_clip, name))
        return Title() if row is None else _decode_title(row)


def _title_key(member: str, is_clip: bool, name: str) -> bytes:
    return f"e{member}\x1f{'c' if is_clip else 'a'}\x1f{name}".encode()


def _shelf(member: str, is_clip: bool, program_id: str) -> str:
    return f"{member}\x1f{'c' if is_clip else 'a'}\x1f{program_id}"


def _rank(grant: Usable) -> tuple[Micros, Micros, str]:
    """Which of several a purchase goes by: the one that expires first, then the older."""
    return grant.expires_at, grant.granted_at, grant.id


def _new_grant(title: Title, said: Entitlement) -> Grant | None:
    """The grant an entitlement makes; None for a repetition. Raises `Conflicting`."""
    assert said.granted_at is not None
    assert said.program_id is not None
    grant = Grant(said.granted_at, said.expires_at or 0, said.program_id, said.variant_id, said.creative_id)
    for known in title.grants:
        if known.granted_at == grant.granted_at:
            if msgspec.structs.replace(known, page=0) == grant:
                return None
            problem = f"{said.id} was granted at that time with another content"
            raise Conflicting("granted_at", problem, "what came first stands; revoke it and grant anew")
    return grant
