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
    assert {f"{kind}{number:02}" for kind in ("ASI", "LLM") for number in range(1, 11)} <= set(re.findall(r"(?:ASI|LLM)\d\d", page))


EVALUATES = {"eval", "exec", "compile", "system", "popen", "__import__"}
"""Functions that make code or a command of text, called by name or on a module (`re.compile` aside)."""

REVIVES = {"pickle", "marshal", "shelve", "yaml", "dill", "cloudpickle"}


def test_nothing_of_the_runtime_evaluates_text() -> None:
    for file in (ROOT / "pointsman").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            where = f"{file}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in EVALUATES, where
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
                assert node.func.value.id not in ("os", "builtins") or node.func.attr not in EVALUATES, where
            if isinstance(node, ast.Import):
                assert not {alias.name.partition(".")[0] for alias in node.names} & REVIVES, where
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").partition(".")[0] not in REVIVES, where
            if isinstance(node, ast.keyword) and node.arg == "shell":
                assert isinstance(node.value, ast.Constant) and node.value.value is False, where
