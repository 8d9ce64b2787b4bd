"""Inputs that are readable and well formed, and still cannot be accepted."""

from schemas.errors import Rejected


class Conflicting(Rejected):
    """Another content under a known identity, or another merchant or currency than the purchase's."""


class NotPending(Rejected):
    """A revocation of a cashback that is not pending: an operator's error, not a sender's."""


class NotDecidable(Rejected):
    """A decision on a reversal case that is not open, or not as it was looked at: not a sender's error."""


class NotParked(Rejected):
    """A decision on an event that does not wait for its purchase any more: not a sender's error."""


class Untimely(Rejected):
    """An event from too long ago or from the future."""
