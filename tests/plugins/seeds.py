"""One seed for everything random in a test run, to be chosen for a replay."""

import pytest

DEFAULT = 1


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--seed`."""
    parser.addoption(
        "--seed", type=int, default=DEFAULT, help="seed of the end-to-end storm (default: %(default)s)"
    )


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of this run."""
    chosen: int = request.config.getoption("--seed")
    return chosen
