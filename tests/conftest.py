"""Fixtures live in plug-ins, one room each."""

pytest_plugins = [
    "tests.plugins.services",
    "tests.plugins.servers",
]
