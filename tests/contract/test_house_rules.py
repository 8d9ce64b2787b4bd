"""Rules of the house that no linter knows."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "streams", "connectors", "sinks", "ops")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
EMPTY_WORDS = {
    word
    for name in ("utils", "helpers", "helper", "manager", "processor", "handler", "common")
    for word in (name, name.capitalize())
}
SHELL = {"fold", "quarantine", "telemetry", "topology", "worker"}
"""Modules of the stream that are not pure."""


def test_no_test_sleeps() -> None:
    slept = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in TESTS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sleep"
    ]
    assert slept == [], "wait for a condition instead: tests.eventually"


def test_names_say_something() -> None:
    empty = [
        f"{path.relative_to(ROOT)}: {name}" for path in SOURCES for name in _names(path) if _is_empty(name)
    ]
    assert empty == []


def test_the_import_law_knows_every_module_of_the_stream() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    law = {contract["name"].partition(":")[0]: contract for contract in contracts}
    modules = {path.stem for path in (ROOT / "streams").glob("*.py")} - {"__init__"}
    assert set(law["Stages are pure"]["source_modules"]) == {f"streams.{name}" for name in modules - SHELL}
    forbidden = set(law["The engine knows nothing of cashback"]["forbidden_modules"])
    assert {f"streams.{name}" for name in modules} - forbidden == set()


def _names(path: Path) -> list[str]:
    defined = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    inside = [node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, defined)]
    return [path.stem, *inside]


def _is_empty(name: str) -> bool:
    return bool(set(re.findall(r"[A-Z]?[a-z]+", name)) & EMPTY_WORDS)
