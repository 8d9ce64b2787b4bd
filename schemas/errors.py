"""What can be wrong with something that came from outside, divided by remedy.

    ValueError
    └── Rejected          its sender must change it: to the quarantine, or back to the caller
        └── Undecodable   not even readable as one of our records
"""


class Rejected(ValueError):
    """An input that cannot be accepted as it is.

    `field` names the place, `problem` what is wrong with the value, `remedy` what to do about it.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class Undecodable(Rejected):
    """Bytes that are not one of our records."""
