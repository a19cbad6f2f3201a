"""Each attack on the page names tests that there are; and a claim about the code as a whole is looked up in it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_each_row_names_tests_that_there_are() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    there = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert named - there == set()
    rows = [line for line in page.splitlines() if re.match(r"\| (ASI|LLM)\d", line)]
    assert all("`test_" in row for row in rows)
    assert {f"ASI{number:02}" for number in range(1, 11)} <= set(re.findall(r"ASI\d\d", page))


def test_nothing_of_the_runtime_evaluates_text() -> None:
    for file in (ROOT / "pointsman").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("eval", "exec", "compile"), f"{file}:{node.lineno}"
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"pickle", "marshal", "shelve"}, f"{file}:{node.lineno}"
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, f"{file}:{node.lineno}"
