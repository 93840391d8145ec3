"""What the documents name exists: links, files, commands, services, topics; and generated pages are current."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import pytest

from inspection_cell.cli.main import parser
from inspection_cell.core.reasons import Code

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
MESSAGES = runpy.run_path(str(ROOT / "tools" / "write_message_docs.py"))
FIELDS = runpy.run_path(str(ROOT / "tools" / "write_schema_docs.py"))
PLC_SERVICES = (
    "start_inspection", "get_result", "acknowledge_result", "inspect_part", "select_recipe", "abort", "reset",
)  # fmt: skip
CODE_SPAN = re.compile(r"`([^`\n]+)`")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def command_lines(page: Path) -> list[list[str]]:
    """Every `inspection-cell ...` line of a page's code blocks, and every one between backticks, as arguments."""
    lines = [line.strip() for _, block in FENCE.findall(text_of(page)) for line in block.splitlines()]
    lines += CODE_SPAN.findall(FENCE.sub("", text_of(page)))
    return [
        words[1:]
        for words in (shlex.split(line.replace("'", "")) for line in lines if '"""' not in line and "cell " in line)
        if words and Path(words[0]).name == "inspection-cell"
    ]


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        linked = page if not file else (page.parent / file).resolve()
        assert linked.exists(), f"{page.name}: {target} does not exist"
        if anchor:
            assert anchor in anchors(linked), f"{page.name}: {target} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_named_file_exists(page: Path) -> None:
    folders = "|".join(sorted(p.name for p in ROOT.iterdir() if p.is_dir() and p.name not in ("data", "log")))
    for span in CODE_SPAN.findall(FENCE.sub("", text_of(page))):
        # What lies in a data folder is written with its variable parts in capitals, e.g. models/RECIPE/TIME.
        named = re.fullmatch(rf"(?:{folders})/[\w./-]*", span)
        if named and not re.search(r"/[A-Z_]+/", span):
            assert (ROOT / span).exists(), f"{page.name} names {span}, which is not there"


def test_every_command_is_accepted_by_the_command_line() -> None:
    found = [(page.name, words) for page in PAGES for words in command_lines(page)]
    assert len(found) > 10, "no commands were recognised in the documents"
    bare = set()
    for page, words in found:
        if len(words) == 1:
            bare.add(words[0])
            continue
        try:
            parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{page}: 'inspection-cell {' '.join(words)}' is not accepted")
    assert bare <= commands(), f"the documents name unknown commands: {bare - commands()}"


def commands() -> set[str]:
    """The names of all commands."""
    actions: Any = parser()._subparsers
    return set(actions._group_actions[0].choices)


def test_every_command_is_documented() -> None:
    everything = "\n".join(map(text_of, PAGES))
    missing = {name for name in commands() if name not in everything}
    assert not missing


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    named = {name for page in PAGES for name in re.findall(r"(?:`|^)make ([a-z-]+)", text_of(page), re.MULTILINE)}
    assert named, "no make targets were recognised"
    assert named <= targets


def test_messages_page_is_current() -> None:
    current = "docs/messages.md is old: run python tools/write_message_docs.py"
    assert text_of(DOCS / "messages.md") == MESSAGES["page"](), current


@pytest.mark.parametrize("page", sorted({page for _, page in FIELDS["BLOCKS"].values()}))
def test_field_tables_are_current(page: str) -> None:
    current = f"docs/{page} is old: run python tools/write_schema_docs.py"
    assert text_of(DOCS / page) == FIELDS["updated"](page), current


def test_a_definition_that_is_not_understood_is_named(tmp_path: Path) -> None:
    wrong = tmp_path / "Wrong.msg"
    wrong.write_text("uint8 GOOD=1  # fine\nuint8\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"Wrong\.msg:2"):
        MESSAGES["read_definition"](wrong)


def test_every_reason_code_is_listed() -> None:
    page = text_of(DOCS / "reasons.md")
    assert not [code for code in Code if code is not Code.NONE and f"| {int(code)} | {code.name} |" not in page]


def test_codes_and_names_agree_with_the_software() -> None:
    """Where a page names a code's number in parentheses after its name, both are the same code."""
    for page in PAGES:
        for name, number in re.findall(r"\b([A-Z]+_[A-Z_]+) \((\d{3})\)", text_of(page)):
            assert Code[name] == int(number), f"{page.name}: {name} is not {number}"


def test_plc_page_has_every_service_with_every_field() -> None:
    table = text_of(DOCS / "plc.md").split("## Services")[1].split("\n## ")[0]
    rows = {row.split("`")[1]: row for row in table.splitlines() if row.startswith("| `")}
    assert set(rows) == set(PLC_SERVICES)
    for definition in MESSAGES["definitions"]("srv"):
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", definition.name).lower()
        if name in PLC_SERVICES:
            fields = {row.name for section in definition.sections for row in section.rows if not row.value}
            missing = fields - set(re.findall(r"\w+", rows[name]))
            assert not missing, f"docs/plc.md: {name} lacks {missing}"


def test_architecture_page_has_every_topic_with_its_type() -> None:
    source = "\n".join(map(text_of, sorted((ROOT / "inspection_cell" / "nodes").glob("*.py"))))
    published = re.findall(r"create_publisher\((?:\w+\.)?(\w+), \"([^\"]+)\"", source)
    rows = [line for line in text_of(DOCS / "architecture.md").splitlines() if line.startswith("| `")]
    assert len(published) > 10
    for kind, topic in published:
        name = topic.removeprefix("~")
        assert any(f"{name}`" in row for row in rows), f"docs/architecture.md lacks topic {topic} ({kind})"
        if not topic.startswith("~"):
            assert any(f"`{name}`" in row and kind in row for row in rows), f"{topic} carries {kind}"
