"""How large a part may be, and what none may be called."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.tree import ROOMS, ROOT, modules

MODULE_LINES = 300
FUNCTION_LINES = 50
SAY_NOTHING = {
    "base",
    "common",
    "constants",
    "core",
    "data",
    "handler",
    "handlers",
    "helper",
    "helpers",
    "info",
    "manager",
    "misc",
    "process",
    "types",
    "util",
    "utils",
}

FILES = modules(*ROOMS)
NAMES = [str(path.relative_to(ROOT)) for path in FILES]


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_short(name: str) -> None:
    lines = len((ROOT / name).read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES, f"{name} has {lines} lines, {MODULE_LINES} are allowed: which idea in it is a second one?"


@pytest.mark.parametrize("name", NAMES)
def test_a_function_is_short(name: str) -> None:
    tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
    long = [f"{function.name} has {lines}" for function, lines in functions(tree) if lines > FUNCTION_LINES]
    assert not long, f"{name}: {', '.join(long)} lines, {FUNCTION_LINES} are allowed"


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, int]]:
    """Every function, with the lines of its body: signature and docstring do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            last = node.end_lineno or node.lineno
            yield node, last - body[0].lineno + 1 if body else 0


def test_no_file_has_a_name_that_says_nothing() -> None:
    vague = [
        name for path, name in zip(FILES, NAMES, strict=True) if path.stem.strip("_") in SAY_NOTHING or path.parent.name in SAY_NOTHING
    ]
    assert not vague, f"name the idea instead: {', '.join(vague)}"


def test_every_room_says_what_it_is() -> None:
    silent = [
        room for room in ROOMS if (ROOT / room).is_dir() and not ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))
    ]
    assert not silent, f"no docstring in the __init__.py of {', '.join(silent)}"
