"""A graph's version, and the classes in its checkpoints, are the same however its file was loaded."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pointsman.check.place import place, placed

GRAPH = """
from decimal import Decimal
from langgraph.graph import END, START
from pydantic import BaseModel
from typing_extensions import TypedDict
from pointsman import Workflow

FACTOR = 2

class Order(BaseModel):
    price: Decimal

class State(TypedDict, total=False):
    order: Order
    orders: list[Order]

def double(state: State) -> State:
    return {"order": Order(price=state["order"].price * FACTOR)}

flow = Workflow(State, name="placed")
flow.add_node("double", double)
flow.add_edge(START, "double")
flow.add_edge("double", END)
graph = flow.compile()
"""


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    """A graph's file in a project."""
    (tmp_path / "langgraph.json").write_text("{}")
    path = tmp_path / "placed_graphs" / "orders.py"
    path.parent.mkdir()
    path.write_text(GRAPH)
    known = set(sys.modules)
    yield path
    for name in set(sys.modules) - known:
        del sys.modules[name]


def loaded(path: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_version_does_not_know_how_the_file_was_loaded(file: Path) -> None:
    plans = [loaded(file, name).graph.plan for name in ("placed_graphs.orders", "__placed_graphs__orders", "anything")]
    assert len({plan.rules.version for plan in plans}) == 1
    file.write_text(GRAPH.replace("FACTOR = 2", "FACTOR = 3"))
    assert loaded(file, "once_more").graph.plan.rules.version != plans[0].rules.version


def test_the_classes_of_a_state_go_by_their_place(file: Path) -> None:
    module = loaded(file, "__placed_graphs__orders")
    assert ("placed_graphs.orders", "Order") in module.graph.plan.classes
    assert module.Order.__module__ == "placed_graphs.orders"
    assert sys.modules["placed_graphs.orders"] is module


def test_a_name_that_is_taken_is_left_alone(file: Path) -> None:
    taken = sys.modules["placed_graphs.orders"] = type(sys)("placed_graphs.orders")
    module = loaded(file, "__placed_graphs__orders")
    assert module.Order.__module__ == "__placed_graphs__orders"
    assert sys.modules["placed_graphs.orders"] is taken


def test_what_comes_from_no_file_keeps_its_name() -> None:
    assert place("builtins") == "builtins"
    assert place("no.such.module") == "no.such.module"
    assert placed("list[builtins.int]", ["builtins"]) == "list[builtins.int]"
    assert placed("int", []) == "int"
