"""An input that contradicts what came first."""

from schemas.errors import Rejected


class Conflicting(Rejected):
    """Another content under a known identity, or another merchant or currency than the purchase's."""
