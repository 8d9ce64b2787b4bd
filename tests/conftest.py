"""Fixtures live in plug-ins, one room each."""

pytest_plugins = [
    "tests.laws.profiles",
    "tests.plugins.seeds",
    "tests.plugins.services",
    "tests.plugins.node",
    "tests.plugins.servers",
]
