"""Each row of the comparison names a test that there is, and each test has its row."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_rows_and_tests_are_the_same() -> None:
    page = (ROOT / "docs" / "beside-langgraph.md").read_text(encoding="utf-8")
    rows = {(name, path) for name, path in re.findall(r"\[`(test_\w+)`\]\(\.\./([\w/.]+)\)", page)}
    files = sorted((ROOT / "tests" / "acceptance" / "beside").glob("test_*.py"))
    shown = {
        (name, str(file.relative_to(ROOT)))
        for file in files
        for name in re.findall(r"^async def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert rows == shown
    assert len(rows) > 10


def test_it_names_the_versions_that_are_locked() -> None:
    page = (ROOT / "docs" / "beside-langgraph.md").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for product, package in (("LangGraph", "langgraph"), ("LangChain", "langchain")):
        [version] = re.findall(rf"^{package}==(\S+)", lock, re.MULTILINE)
        assert f"{product} {version}" in page
