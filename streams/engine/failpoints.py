"""Places where tests let a worker die as by kill -9.

`before-produce`, `after-produce`, `before-commit`, `after-commit`, `before-offsets`, `after-offsets` (of the
group): at the n-th pass, written `before-commit@3`. `record@137`: in mid-batch, when the fold took the 137th
record. `raise@137`: the fold raises at it instead. Without a failpoint nothing of this runs.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum

from streams.engine.fold import Fold, InputRecord


class Place(StrEnum):
    BEFORE_PRODUCE = "before-produce"
    AFTER_PRODUCE = "after-produce"
    BEFORE_COMMIT = "before-commit"
    AFTER_COMMIT = "after-commit"
    BEFORE_OFFSETS = "before-offsets"
    AFTER_OFFSETS = "after-offsets"
    RECORD = "record"
    RAISE = "raise"


class Injected(Exception):
    """Raised by the failpoint `raise@n`."""


@dataclass(slots=True)
class Failpoint:
    place: Place
    countdown: int

    @classmethod
    def parse(cls, text: str) -> Failpoint:
        """Read `place@n`; `@1` may be left out. Raises ValueError."""
        place, _, count = text.partition("@")
        return cls(Place(place), int(count or 1))

    def reached(self, place: Place) -> None:
        if place is self.place:
            self.countdown -= 1
            if self.countdown == 0:
                if place is Place.RAISE:
                    raise Injected(f"failpoint {place.value}")
                os.kill(os.getpid(), signal.SIGKILL)

    def around(self, fold: Fold) -> Fold:
        """The fold, dying at its n-th record if this failpoint says so."""
        return _Dying(fold, self) if self.place in (Place.RECORD, Place.RAISE) else fold


class _Dying:
    def __init__(self, fold: Fold, failpoint: Failpoint) -> None:
        self._fold = fold
        self._failpoint = failpoint
        self.restored = fold.restored
        self.advance = fold.advance
        self.before_commit = fold.before_commit

    def apply(self, record: InputRecord) -> None:
        self._fold.apply(record)
        self._failpoint.reached(self._failpoint.place)
