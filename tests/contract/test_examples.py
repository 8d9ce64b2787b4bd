"""Every example in `ops/docs` is run: files, commands, cases, wrong values. The pages leave nothing out."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas import entitlements
from schemas.entitlements import from_json
from schemas.errors import Rejected
from schemas.programs import ProgramSpec, ProgramsRefused, parse_program
from schemas.transactions import FIELDS as PAYMENT_FIELDS
from streams.purchase import Reason
from tests.contract import pages
from tests.contract.cases import outcome
from tests.contract.pages import PAGES, PageWrong, Row, rows

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
ABOUT = [page for page in PAGES if page.stem != "README"]
TYPES = ("campaign", "deal", "airdrop", "loyalty_program")


def each_row(first: str) -> pytest.MarkDecorator:
    found = [
        pytest.param(page, row, id=f"{page.stem}:{row.line}") for page in PAGES for row in rows(page, first)
    ]
    return pytest.mark.parametrize(("page", "row"), found)


@each_page
def test_a_page_shows_exactly_what_comes_out(page: Path) -> None:
    ran = pages.run(page)
    assert ran.commands, "a page without an example"
    for shown in ran.shown:
        assert shown.block.text.splitlines() == shown.text.splitlines(), f"{page.name}:{shown.block.line}"


@each_row("case")
def test_a_case_leads_to_what_its_row_says(page: Path, row: Row) -> None:
    programs = pages.programs(pages.run(page), row.spans("program"))
    assert outcome(programs, row.spans("what happens")) == row.spans("what comes out")


@each_row("field")
def test_a_wrong_value_is_told_what_its_row_says(page: Path, row: Row) -> None:
    [wrong], [told] = row.spans("wrong"), row.spans("told")
    form = pages.programs(pages.run(page), [])[0]
    parse_program(form)
    with pytest.raises(ProgramsRefused) as refused:
        parse_program(pages.changed(form, wrong))
    assert str(refused.value) == told


@each_row("wrong line")
def test_a_wrong_entitlement_is_told_what_its_row_says(page: Path, row: Row) -> None:
    [line], [told] = row.spans("wrong line"), row.spans("told")
    with pytest.raises(Rejected) as refused:
        from_json(json.loads(line))
    assert str(refused.value) == told


@pytest.mark.parametrize("page", ABOUT, ids=lambda page: page.stem)
def test_a_page_has_its_parts(page: Path) -> None:
    heads = re.findall(r"^#+ .*$", page.read_text(encoding="utf-8"), re.M)
    assert heads[1:4] == ["## Example", "## Why", "## Edge cases"]
    assert rows(page, "case")


def test_there_is_a_page_for_each_type_of_program_and_the_index_has_all() -> None:
    names = {page.stem for page in ABOUT}
    assert {name.replace("_", "-") for name in TYPES} <= names
    assert get_args(ProgramSpec.model_fields["type"].annotation) == TYPES
    index = PAGES[[page.stem for page in PAGES].index("README")].read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[[^]]+\]\(([a-z-]+)\.md\) \|", index, re.M)) == names


def test_every_field_of_a_program_is_on_one_page_with_its_default() -> None:
    documented = [
        (row.spans("field")[0], row.cells["default"].strip("`"))
        for page in PAGES
        for row in rows(page, "field")
    ]
    expected = dict(fields(ProgramSpec)) | {"effective_from": "valid_from"}
    assert sorted(documented) == sorted(expected.items())


def fields(form: type[BaseModel], inside: str = "") -> Iterator[tuple[str, str]]:
    """Every field of a form and of what is inside it, by the path a file has it under, with its default."""
    for name, about in form.model_fields.items():
        path = inside + (about.alias or name)
        yield path, default(about)
        if path == "reward.brackets.reward":
            continue  # it has the fields of a reward, which are there already
        for part in forms_in(about.annotation):
            yield from fields(part, f"{path}.")


def default(about: FieldInfo) -> str:
    if about.is_required():
        return "required"
    if about.default is None:
        return "none"
    return str(about.default).lower()


def forms_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from forms_in(part)


def test_every_decision_is_explained() -> None:
    assert [row.spans("decision")[0] for page in PAGES for row in rows(page, "decision")] == [
        reason.name for reason in Reason
    ]


def test_every_kind_of_entitlement_is_explained_with_its_fields() -> None:
    said = {
        row.spans("kind")[0]: {
            *row.spans("required beside `kind`, `partner_id` and `member_id`"),
            *row.spans("may have"),
        }
        for page in PAGES
        for row in rows(page, "kind")
    }
    assert set(said) == set(entitlements.KINDS)
    assert set().union(*said.values()) == set(entitlements.FIELDS) - {"kind", "partner_id", "member_id"}


def test_every_field_of_a_payment_is_explained() -> None:
    said = [row.spans("payment field")[0] for page in PAGES for row in rows(page, "payment field")]
    assert sorted(said) == sorted(PAYMENT_FIELDS)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("```yaml\na: 1\n```\n", "a block is a file"),
        ("`a.yaml`:\n\n```yaml\na: 1\n", "has no end"),
        ("`a.yaml`:\n\n```yaml\na: 1\n```\n", "no command reads"),
        ("```console\ncashback simulate\n```\n", "without a command"),
        ("```console\n$ rm -r x\n```\n", "only .*simulate.* are run"),
        (
            "`p`:\n```yaml\n[]\n```\n`t`:\n```jsonl\n```\n```console\n"
            "$ cashback simulate --programs p --transactions t --events e\n```\n",
            "does not show",
        ),
    ],
)
def test_an_example_that_nothing_runs_or_that_hides_something_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(PageWrong, match=problem):
        pages.run(page)
