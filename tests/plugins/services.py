"""A test whose service is missing: skipped with its reason on a laptop, a failure in CI."""

import os
from collections.abc import Generator
from typing import NoReturn

import pytest
from _pytest.outcomes import Skipped

IN_CI = os.environ.get("CI") == "true"


class ServiceMissing(Skipped):
    """Skips like any skip, but is told apart from skips by choice."""


def missing_service(reason: str) -> NoReturn:
    """Give up the running test because a service it needs is not there."""
    raise ServiceMissing(f"service missing: {reason}", allow_module_level=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI nobody reads skips: a missing service must be seen."""
    report = yield
    if IN_CI and call.excinfo is not None and call.excinfo.errisinstance(ServiceMissing):
        report.outcome = "failed"
        report.longrepr = f"{call.excinfo.value} (a skip for want of a service is a failure in CI)"
    return report
