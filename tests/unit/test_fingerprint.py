"""The version of code: comments and layout do not change it, everything that changes what a run does has to."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from pointsman.check import code_digest

Load = Callable[..., ModuleType]
_numbers = itertools.count()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """`load(code, name=code, …)`: a module of a project as it stands in one version of its files."""
    loaded: list[str] = []

    def load(code: str, **others: str) -> ModuleType:
        folder = tmp_path / str(next(_numbers))
        folder.mkdir()
        for name, text in {"paper": code, **others}.items():
            (folder / f"{name}.py").write_text(textwrap.dedent(text))
            sys.modules.pop(name, None)
            loaded.append(name)
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(folder))
            importlib.invalidate_caches()
            return importlib.import_module("paper")

    yield load
    for name in loaded:
        sys.modules.pop(name, None)


PLAIN = """
def node(state):
    return {"total": state["net"] * 2}
"""


def digest(load: Load, code: str, **others: str) -> str:
    return code_digest(load(code, **others).node)


@pytest.mark.parametrize(
    "code",
    [
        '\n# Why it is doubled.\ndef node(state):\n    # twice\n    return {"total": state["net"] * 2}  # done\n',
        '\n\n\n\ndef node(state):\n\n    return {\n        "total":\n            state["net"] * 2,\n    }\n',
        '\nOTHER = 3\ndef another(state):\n    return 7\n\n\ndef node(state):\n    return {"total": state["net"] * 2}\n',
    ],
    ids=["comments", "layout", "code it does not reach"],
)
def test_what_does_not_matter_keeps_it(load: Load, code: str) -> None:
    assert digest(load, code) == digest(load, PLAIN)


def test_a_docstring_that_is_reworded_keeps_it(load: Load) -> None:
    one = 'def node(state):\n    """Double it."""\n    return {"total": 2}\n'
    assert digest(load, one) == digest(load, one.replace("Double it.", "Make it twice."))


@pytest.mark.parametrize(
    "changed", [("* 2", "* 3"), ("net", "gross"), ("return", "yield"), ("(state)", "(state, n=1)"), ("def", "async def")], ids=repr
)
def test_every_change_of_code_changes_it(load: Load, changed: tuple[str, str]) -> None:
    assert digest(load, PLAIN.replace(*changed)) != digest(load, PLAIN)


HELPED = """
{more}
def rate(n):
    return n * 2

def node(state):
    return {{"total": rate(state["net"])}}
"""


def test_a_function_it_calls_counts(load: Load) -> None:
    one = HELPED.format(more="")
    assert digest(load, one.replace("n * 2", "n * 3")) != digest(load, one)
    assert digest(load, one.replace("n * 2", "n * 2  # twice")) == digest(load, one)


def test_a_function_that_is_called_by_one_it_calls_counts(load: Load) -> None:
    code = "def deep(n):\n    return n * 2\ndef rate(n):\n    return deep(n)\ndef node(state):\n    return rate(1)\n"
    assert digest(load, code.replace("n * 2", "n * 3")) != digest(load, code)


def test_a_function_of_another_module_counts(load: Load) -> None:
    code = "from rates import rate\ndef node(state):\n    return rate(1)\n"
    rates = "def rate(n):\n    return n * 2\n"
    assert digest(load, code, rates=rates) != digest(load, code, rates=rates.replace("2", "3"))
    assert digest(load, code, rates=rates) == digest(load, code, rates=rates + "# a remark\n")


def test_a_function_reached_through_its_module_counts(load: Load) -> None:
    code = "import rates\ndef node(state):\n    return rates.rate(1)\n"
    rates = "def rate(n):\n    return n * 2\n"
    assert digest(load, code, rates=rates) != digest(load, code, rates=rates.replace("2", "3"))


def test_a_constant_of_its_module_counts(load: Load) -> None:
    code = 'RATE = 2\ndef node(state):\n    return {"total": state["net"] * RATE}\n'
    assert digest(load, code) != digest(load, code.replace("RATE = 2", "RATE = 3"))


def test_functions_that_call_each_other_are_no_endless_search(load: Load) -> None:
    code = "def even(n):\n    return n == 0 or odd(n - 1)\ndef odd(n):\n    return n != 0 and even(n - 1)\ndef node(state):\n    return even(4)\n"
    assert digest(load, code) != digest(load, code.replace("n != 0", "n != 1"))


def test_a_class_it_uses_counts(load: Load) -> None:
    code = "class Rate:\n    def of(self, n):\n        return n * 2\ndef node(state):\n    return Rate().of(1)\n"
    assert digest(load, code) != digest(load, code.replace("n * 2", "n * 3"))


def test_a_class_that_its_class_stands_on_counts(load: Load) -> None:
    code = (
        "class Base:\n    def of(self, n):\n        return n * 2\nclass Rate(Base):\n    pass\ndef node(state):\n    return Rate().of(1)\n"
    )
    assert digest(load, code) != digest(load, code.replace("n * 2", "n * 3"))


def test_what_it_closes_over_counts(load: Load) -> None:
    code = "def made(rate):\n    def node(state):\n        return state['net'] * rate\n    return node\nnode = made(2)\n"
    assert digest(load, code) != digest(load, code.replace("made(2)", "made(3)"))


def test_a_function_it_closes_over_counts(load: Load) -> None:
    code = "def twice(n):\n    return n * 2\ndef made(rate):\n    def node(state):\n        return rate(1)\n    return node\nnode = made(twice)\n"
    assert digest(load, code) != digest(load, code.replace("n * 2", "n * 3"))


def test_a_method_counts(load: Load) -> None:
    code = "class Nodes:\n    def run(self, state):\n        return state['net'] * 2\nnode = Nodes().run\n"
    assert digest(load, code) != digest(load, code.replace("* 2", "* 3"))


def test_an_object_that_is_called_counts(load: Load) -> None:
    code = "class Node:\n    def __call__(self, state):\n        return state['net'] * 2\nnode = Node()\n"
    assert digest(load, code) != digest(load, code.replace("* 2", "* 3"))


def test_a_partial_counts_with_what_it_holds(load: Load) -> None:
    code = "import functools\ndef times(rate, state):\n    return state['net'] * rate\nnode = functools.partial(times, 2)\n"
    assert digest(load, code) != digest(load, code.replace("* rate", "+ rate"))
    assert digest(load, code) != digest(load, code.replace("times, 2", "times, 3"))


def test_a_decorator_counts(load: Load) -> None:
    code = (
        "import functools\ndef doubled(f):\n    @functools.wraps(f)\n    def run(state):\n        return f(state) * 2\n    return run\n"
        "@doubled\ndef node(state):\n    return state['net']\n"
    )
    assert digest(load, code) != digest(load, code.replace("f(state) * 2", "f(state) * 3"))


def test_a_lambda_counts(load: Load) -> None:
    code = "node = lambda state: state['net'] * 2\n"
    assert digest(load, code) != digest(load, code.replace("* 2", "* 3"))


def test_a_lambda_in_the_middle_of_an_expression_counts(load: Load) -> None:
    code = "nodes = dict(\n    a=1, b=(lambda state:\n      state['net'] * 2), c=3)\nnode = nodes['b']\n"
    assert digest(load, code) != digest(load, code.replace("* 2", "* 3"))


def test_code_without_a_source_counts() -> None:
    def made(code: str) -> Callable[..., object]:
        space: dict[str, object] = {"__name__": __name__}
        exec(code, space)
        node = space["node"]
        assert callable(node)
        return node

    one = code_digest(made("def node(state):\n    return 2"))
    assert one == code_digest(made("def node(state):\n    return 2"))
    assert one != code_digest(made("def node(state):\n    return 3"))


def test_installed_packages_do_not_count() -> None:
    """They are pinned elsewhere; a security fix of one must not strand every open run."""

    def node(state: object) -> object:
        return functools.reduce(max, [1, 2])

    assert code_digest(functools.reduce) == code_digest(max)
    assert code_digest(node) != code_digest(max)


def test_a_constant_of_another_module_counts(load: Load) -> None:
    code = "from rates import RATE as rate\ndef node(state):\n    return rate\n"
    assert digest(load, code, rates="RATE = {'DE': 19}\n") != digest(load, code, rates="RATE = {'DE': 7}\n")
    assert digest(load, code, rates="RATE = {'DE': 19}\n") == digest(load, code, rates="RATE = {'DE': 19}\nOTHER = 1\n")


def test_a_constant_that_a_run_fills_keeps_it(load: Load) -> None:
    """Otherwise the version would depend on what the process has done before."""
    module = load("SEEN = {}\ndef node(state):\n    return SEEN\n")
    before = code_digest(module.node)
    module.SEEN["a"] = 1
    assert code_digest(module.node) == before


def test_a_project_counts_wherever_it_lies(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the interpreter's prefix too, as /usr/src/app is below /usr."""
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    assert digest(load, PLAIN) != digest(load, PLAIN.replace("* 2", "* 3"))


ENTRIES = """
from langgraph.graph import END, START
from typing_extensions import TypedDict
from pointsman import Workflow

class State(TypedDict, total=False):
    n: int

KNOWN = {"one", "two", "three", "four"}

def work(state):
    return {"n": 1} if state.get("n") in {"a", "b", "c", "d"} or "one" in KNOWN else {}

flow = Workflow(State, name="entries")
for name in ("alpha", "beta", "gamma", "delta"):
    flow.add_node(name, work).add_edge(START, name).add_edge(name, END)
plan = flow.compile().plan
print(plan.rules.version, *plan.first)
"""


AGENT = """
    from typing import Any, TypedDict
    from langchain.agents.middleware import AgentMiddleware, SummarizationMiddleware, before_model
    from langgraph.graph import END, START
    from pydantic import AfterValidator, BaseModel, field_validator
    from pointsman import FAILED, Limits, Workflow, agent, code, tool
    from pointsman.testing import ScriptedModel

    class State(TypedDict, total=False):
        text: str
        found: Any

    class Found(BaseModel):
        cause: str

        @field_validator("cause")
        @classmethod
        def known(cls, cause: str) -> str:
            return cause.strip()

    @tool(effect="read")
    def look(x: int) -> str:
        "Looks."
        return "seen"

    async def found_out(x: int) -> Any:
        return None

    @tool(effect="send", reconcile=found_out, result_bytes=1000)
    async def send(x: int) -> str:
        "Sends."
        return "sent"

    async def glance(state: State) -> State:
        return {}

    class Watch(AgentMiddleware):
        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await handler(request.override(tools=request.tools))

    @before_model
    def hold(state: Any, runtime: Any) -> Any:
        return None

    short = SummarizationMiddleware(model=ScriptedModel([], name_="short"), trigger=("messages", 9))
    low = agent(reads=("task",), writes="answer", returns=str, prompt="Do {task}.", tools=(look,), description="low", middleware=(Watch(),), limits=Limits(usd=3))
    high = agent(reads=("task",), writes="answer", returns=str, prompt="Do {task}.", tools=(look,), description="high", agents={"low": low})
    work = agent(
        reads=("text",), writes="found", returns=Found, prompt="Find {text}.", tools=(look,), effects=(send,), middleware=(hold, short), agents={"high": high},
        limits=Limits(tool_calls=7), turns=6,
    )
    flow = Workflow(State, name="flow", model="openai:small")
    flow.add_node("work", work)
    flow.add_node("glance", code(glance, tools=(look,), calls=5))
    flow.add_edge(START, "work").add_edge("glance", END)
    flow.add_exits("work", answered="glance", default=FAILED)
    version = flow.compile().plan.rules.version
"""


@pytest.mark.parametrize(("old", "new"), [
    ("cause.strip()", "cause.lower()"),
    ('return "seen"', 'return "nothing"'),
    ("tools=request.tools", "tools=[]"),
    ("return None", "return {}"),
    ('name_="short"', 'name_="shorter"'),
    ("trigger=(\"messages\", 9)", "trigger=(\"messages\", 8)"),
    ('description="low"', 'description="lower"'),
    ("openai:small", "openai:large"),
    ("tool_calls=7", "tool_calls=70"),
    ("usd=3", "usd=300"),
    ("turns=6", "turns=7"),
    ("calls=5", "calls=6"),
    ("x: int) -> Any:\n        return None", "x: int) -> Any:\n        return x"),
    ("result_bytes=1000", "result_bytes=1001"),
])  # fmt: skip
def test_whatever_an_agent_is_made_of_counts(load: Load, old: str, new: str) -> None:
    assert old in AGENT
    assert load(AGENT).version != load(AGENT.replace(old, new)).version


def test_how_the_file_of_an_agent_is_loaded_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "shelf.py").write_text(textwrap.dedent(AGENT))
    versions = set()
    for name in ("shelf", "__graphs__shelf"):
        spec = importlib.util.spec_from_file_location(name, tmp_path / "shelf.py")
        assert spec is not None and spec.loader is not None
        monkeypatch.setitem(sys.modules, name, module := importlib.util.module_from_spec(spec))
        spec.loader.exec_module(module)
        versions.add(module.version)
    assert len(versions) == 1


def test_a_graph_has_one_version_in_every_process() -> None:
    """Sets have another order in each process: neither where a graph begins nor what a function names may depend on it."""
    told = {
        subprocess.run(
            [sys.executable, "-c", ENTRIES], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "3", "5")
    }
    assert len(told) == 1
    assert told.pop().split()[1:] == ["alpha", "beta", "gamma", "delta"]
