"""What can be wrong with something that came from outside, divided by remedy.

ValueError
└── Rejected          its sender must change it: to the quarantine, or back to the caller
    └── Undecodable   not even readable as one of our records
"""

_FIELD_LENGTH_MAX = 128
_PROBLEM_LENGTH_MAX = 512


class Rejected(ValueError):
    """An input that cannot be accepted as it is.

    `field` names the place, `problem` what is wrong with the value, `remedy` what to do about it. Long ones
    are cut: problems quote the value, and travel in headers beside a record that may be as large as allowed.
    """

    def __init__(self, field: str, problem: str, remedy: str) -> None:
        field, problem = _cut(field, _FIELD_LENGTH_MAX), _cut(problem, _PROBLEM_LENGTH_MAX)
        super().__init__(f"{field}: {problem}; {remedy}")
        self.field = field
        self.problem = problem
        self.remedy = remedy


class Undecodable(Rejected):
    """Bytes that are not one of our records."""


def _cut(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
