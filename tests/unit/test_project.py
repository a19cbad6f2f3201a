"""A project as files: its graphs are found, or it is said what is wrong with them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pointsman.errors import BadInput, NotFound, UnsafeGraph
from pointsman.project import Project

GRAPH = """
from pointsman import Workflow
from typing_extensions import TypedDict

class State(TypedDict, total=False):
    n: int

def one(state: State) -> State:
    return {"n": 1}

flow = Workflow(State, name="{name}")
flow.add_node("one", one)
flow.set_entry_point("one")
graph = flow.compile()
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """An empty project; what is imported from it is forgotten again."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def declare(root: Path, **graphs: object) -> Project:
    (root / "langgraph.json").write_text(json.dumps({"graphs": graphs}))
    return Project(root)


def test_a_graph_is_found_by_its_key_its_name_and_its_place(root: Path) -> None:
    (root / "flows").mkdir()
    (root / "flows" / "first.py").write_text(GRAPH.replace("{name}", "invoices"))
    project = declare(root, key="./flows/first.py:graph", other={"path": "./flows/first.py:graph"})
    assert project.graphs == {"key": "./flows/first.py:graph", "other": "./flows/first.py:graph"}
    found = project.graph("key")
    assert (found.plan.name, project.graph("invoices") is found, project.graph("key") is found) == ("invoices", True, True)
    assert Project(root).graph("flows/first.py:graph").plan.name == "invoices"


def test_a_graph_in_a_package_is_imported_as_its_module(root: Path) -> None:
    (root / "rooms_here").mkdir()
    (root / "rooms_here" / "__init__.py").write_text("")
    (root / "rooms_here" / "parts.py").write_text("NAME = 'from a neighbour'")
    text = "from rooms_here.parts import NAME\n" + GRAPH.replace('"{name}"', "NAME")
    (root / "rooms_here" / "second.py").write_text(text)
    assert declare(root, g="./rooms_here/second.py:graph").graph("g").plan.name == "from a neighbour"


def test_where_no_project_is_it_says_how_to_come_to_one(root: Path) -> None:
    project = Project(root)
    assert project.graphs == {}
    with pytest.raises(NotFound, match="there is no graph 'invoice'") as refused:
        project.graph("invoice")
    assert str(root) in refused.value.remedy and "pointsman new NAME" in refused.value.remedy


def test_a_graph_that_is_not_declared_is_told_from_those_that_are(root: Path) -> None:
    with pytest.raises(NotFound, match="there is no graph 'invoice'") as refused:
        declare(root, other="./other.py:graph").graph("invoice")
    assert str(root / "langgraph.json") in refused.value.remedy and "other" in refused.value.remedy


@pytest.mark.parametrize(
    ("text", "why"), [("{", "Expecting"), *((text, "it declares no graphs") for text in ("{}", '{"nodes": {}}', '{"graphs": null}', "[]"))]
)
def test_a_declaration_that_cannot_be_read_is_refused(root: Path, text: str, why: str) -> None:
    (root / "langgraph.json").write_text(text)
    with pytest.raises(BadInput, match=rf"langgraph\.json cannot be read: {why}"):
        _ = Project(root).graphs


@pytest.mark.parametrize(
    ("content", "error", "why"),
    [
        (None, NotFound, "there is no file"),
        ("graph = 1 / 0", BadInput, "cannot be loaded: ZeroDivisionError"),
        ("from no_such_package import x", BadInput, "cannot be loaded: ModuleNotFoundError"),
        ("graph = 7", BadInput, "is no compiled workflow"),
        ("other = 7", BadInput, "is no compiled workflow"),
        (GRAPH.replace('flow.set_entry_point("one")', 'flow.set_entry_point("one"); flow.add_node("stray", one)'), UnsafeGraph, "stray"),
    ],
)
def test_a_file_that_holds_no_workflow_is_refused_with_the_reason(
    root: Path, content: str | None, error: type[Exception], why: str
) -> None:
    if content is not None:
        (root / "broken.py").write_text(content)
    with pytest.raises(error, match=why):
        declare(root, g="./broken.py:graph").graph("g")


def test_a_value_is_found_by_module_and_name(root: Path) -> None:
    (root / "guards_here.py").write_text("policy = 'mine'")
    project = Project(root)
    assert project.value("guards_here:policy") == "mine"
    for place, error in (
        ("guards_here", BadInput),
        ("a b:c", BadInput),
        ("guards_here:nothing", NotFound),
        ("no_such_module_here:x", NotFound),
    ):
        with pytest.raises(error):
            project.value(place)


def test_the_projects_own_modules_come_before_installed_ones(root: Path) -> None:
    (root / "colorsys.py").write_text("whose = 'the project'")
    sys.modules.pop("colorsys", None)
    try:
        assert Project(root).value("colorsys:whose") == "the project"
    finally:
        sys.modules.pop("colorsys", None)


def test_a_file_is_meant_from_where_one_stands_and_else_from_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "flows").mkdir()
    (root / "flows" / "mine.py").write_text(GRAPH.replace("{name}", "mine"))
    (root / "other.py").write_text(GRAPH.replace("{name}", "other"))
    project = declare(root)
    monkeypatch.chdir(root / "flows")
    assert [project.graph(name).plan.name for name in ("mine.py:graph", "flows/mine.py:graph", "../other.py:graph", "other.py:graph")] == [
        "mine", "mine", "other", "other",
    ]  # fmt: skip
    with pytest.raises(NotFound, match="no file") as refused:
        project.graph("none.py:graph")
    assert "give FILE:VAR" in (refused.value.remedy or "")


def test_a_prompt_is_read_from_the_root_that_was_opened(root: Path) -> None:
    (root / "asking.md").write_text("Say what {text} means.")
    (root / "asks.py").write_text(
        GRAPH.replace("{name}", "asks")
        .replace("n: int", "text: str\n    n: int")
        .replace("import Workflow", "import Workflow, infer")
        .replace('"one", one)', '"one", infer(reads=("text",), writes="n", returns=int, prompt="asking.md"))')
        .replace("graph = ", 'flow.add_exits("one", default="__end__")\ngraph = ')
    )
    assert declare(root, asks="./asks.py:graph").graph("asks").plan.name == "asks"
