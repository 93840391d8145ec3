"""The page of reason codes is current and says every code."""

from __future__ import annotations

import runpy
from pathlib import Path

from inspection_cell.core.reasons import Code

ROOT = Path(__file__).parents[2]
TOOL = runpy.run_path(str(ROOT / "tools" / "write_reasons.py"))


def test_every_code_is_explained() -> None:
    assert set(TOOL["MEANINGS"]) == set(Code) - {Code.NONE}
    assert {code // 100 for code in TOOL["MEANINGS"]} == set(TOOL["GROUPS"])


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8") == TOOL["page"](), (
        "docs/reasons.md is old: run python tools/write_reasons.py"
    )
