"""README, ARCHITECTURE and `ops/docs` say what the code does: topics, commands, settings, links, stages."""

import re
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from ops.cli import COMMANDS, build
from ops.settings import Settings
from schemas.topics import TOPICS, Topic
from streams import judging, member_log
from streams.topology import STAGES
from tests.contract.pages import GUIDES, PAGES

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "ARCHITECTURE.md", *(f"ops/docs/{page.name}" for page in (*PAGES, *GUIDES)))
DOCUMENTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in NAMES}
each_document = pytest.mark.parametrize("name", DOCUMENTS)


def row(topic: Topic) -> str:
    """The line of the topic table in ARCHITECTURE.md."""
    partitions = "`partitions`" if topic.partitions is None else str(topic.partitions)
    days = topic.retention_ms // (24 * 60 * 60 * 1000)
    kept = (
        "compacted"
        if topic.cleanup == "compact"
        else "for ever"
        if topic.retention_ms < 0
        else f"{days} days"
    )
    key = f"`{topic.key}`" if topic.key.startswith("{") else topic.key
    return f"| {topic.name} | {key} | {', '.join(topic.records)} | {partitions} | {kept} | {topic.owner} |"


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_the_topic_table_is_the_registry(topic: Topic) -> None:
    assert row(topic).replace("|  |", "| |") in DOCUMENTS["ARCHITECTURE.md"]


@each_document
def test_every_command_that_is_named_exists(name: str) -> None:
    text = DOCUMENTS[name]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(makefile.partition(".PHONY:")[2].partition("\n")[0].split())
    named = set(re.findall(r"(?:`|bin/|^    )cashback ([a-z]+)", text, re.M))
    assert named <= set(COMMANDS)
    assert set(re.findall(r"(?:`|^    )make ([a-z]+)", text, re.M)) <= targets


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_on_the_page_of_commands_with_its_parts(name: str) -> None:
    root = get_command(build(name))
    assert isinstance(root, TyperGroup)
    command = root.commands[name]
    parts = set(command.commands) if isinstance(command, TyperGroup) else set()
    lines = [line for line in DOCUMENTS["ops/docs/commands.md"].splitlines() if f"`cashback {name}" in line]
    assert lines
    said = " ".join(re.findall(r"`([^`]+)`", lines[0])).split()
    assert parts - set(said) == set()


@each_document
def test_every_setting_that_is_named_exists(name: str) -> None:
    named = set(re.findall(r"CASHBACK_([A-Z_]+[A-Z])", DOCUMENTS[name]))
    assert {each.lower() for each in named} <= set(Settings.model_fields)


@each_document
def test_every_link_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", DOCUMENTS[name])
    headings = re.findall(r"^#+ (.+)$", DOCUMENTS[name], re.M)
    anchors = {"#" + re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    near = [link for link in links if not link.startswith("https://") and link not in anchors]
    assert [link for link in near if not ((ROOT / name).parent / link).exists()] == []


def test_the_stages_of_the_topology_are_the_ones_that_run() -> None:
    run = {
        module.__name__
        for owner in (member_log, judging)
        for module in vars(owner).values()
        if module in STAGES
    }
    assert run | {"streams.reward"} == {stage.__name__ for stage in STAGES}
    order = [stage.__name__.removeprefix("streams.") for stage in STAGES]
    assert "Dedup, matching, reward, pending and refunds" in DOCUMENTS["ARCHITECTURE.md"]
    assert order == ["dedup", "matching", "reward", "pending", "refunds"]
