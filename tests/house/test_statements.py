"""Every SQL statement has a name; each name that is asked for exists, and each that exists is asked for."""

from __future__ import annotations

import ast
import re

from tests.house.tree import ROOT, modules


def declared() -> list[str]:
    text = (ROOT / "pointsman" / "store" / "queries.sql").read_text(encoding="utf-8")
    return re.findall(r"^-- name: (\w+)$", text, re.MULTILINE)


def strings() -> set[str]:
    """Every string constant of the runtime, since a statement may also be handed on by name."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in modules("pointsman")]
    return {node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def asked() -> set[str]:
    """The names with which statements are asked for directly: `store.fetch("…")`, `tx.one("…")`, `QUERIES["…"]`."""
    found = set()
    for path in modules("pointsman"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            first: ast.expr | None = None
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("fetch", "one") and node.args:
                first = node.args[0]
            elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id == "QUERIES":
                first = node.slice
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                found.add(first.value)
    return found


def test_names_are_unique() -> None:
    assert len(declared()) == len(set(declared()))


def test_every_statement_is_used() -> None:
    assert set(declared()) - strings() == set()


def test_every_statement_that_is_asked_for_exists() -> None:
    assert asked() - set(declared()) == set()
    assert len(asked()) >= 15, "the test no longer sees how statements are asked for"


def test_sql_is_spoken_in_sql_files() -> None:
    """Outside of the store no Python file holds a statement; what plays an outside system in tests has storage of its own."""
    spoken = re.compile(r"\b(SELECT\s.+\sFROM|INSERT\s+INTO|UPDATE\s+\w+(\.\w+)?\s+SET|DELETE\s+FROM)\b", re.DOTALL)
    speakers = [ROOT / "pointsman" / name for name in ("store", "testing")]
    faults = []
    for path in modules("pointsman"):
        if not any(path.is_relative_to(folder) for folder in speakers):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
            faults += [f"{path.relative_to(ROOT)}: {text[:60]}" for text in texts if spoken.search(text)]
    assert faults == []
