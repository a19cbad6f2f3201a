"""What bodies of nodes, tools and models do to whoever runs them: nothing. They fail, they are given up, and the process goes on and can end."""

import asyncio
import functools
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langgraph.graph import END, START
from langgraph.types import Send

from pointsman import Context, code, effect, infer, tool
from pointsman.model import controlled
from pointsman.testing import ScriptedModel, says
from tests.acceptance.fenced import FOUND, fenced
from tests.acceptance.world import ALL, OpenRuns, State, error_of, flow, go, line, outcomes, output, plain, told

pytestmark = pytest.mark.anyio


def _next() -> None:
    next(iter(()))


def _exit() -> None:
    sys.exit(3)


def _interrupt() -> None:
    raise KeyboardInterrupt  # in a thread nobody's Ctrl-C


def _cancel() -> None:
    raise asyncio.CancelledError


def _generator() -> None:
    raise GeneratorExit


PLAIN = {
    "StopIteration": _next,
    "SystemExit": _exit,
    "KeyboardInterrupt": _interrupt,
    "CancelledError": _cancel,
    "GeneratorExit": _generator,
}
ASYNC = {name: body for name, body in PLAIN.items() if name not in ("StopIteration", "KeyboardInterrupt")}


@pytest.mark.parametrize("way", ["node", "tool", "async node", "async tool"])
async def test_a_body_that_raises_what_is_no_error_fails(open_runs: OpenRuns, way: str) -> None:
    bodies = ASYNC if "async" in way else PLAIN

    def graph(name: str, body: Any) -> Any:
        @tool(effect="read")
        def look(x: int) -> str:
            """Looks at one thing."""
            return str(body())

        @tool(effect="read")
        async def gaze(x: int) -> str:
            """Looks at one thing."""
            return str(body())

        def node(state: State) -> State:
            body()
            return {}

        async def slow(state: State) -> State:
            body()
            return {}

        async def calling(state: State, ctx: Context) -> State:
            return {"text": await ctx.call(gaze if "async" in way else look, x=1)}

        return line(("node", {"node": node, "async node": slow}.get(way) or code(calling, tools=(look, gaze))), name=name)

    async with open_runs(*(graph(name, body) for name, body in bodies.items())) as runs, asyncio.timeout(30):
        for name in bodies:
            run, summary = await go(runs, graph=name)
            assert (summary.state, (await error_of(runs, run))["type"]) == ("parked", "ToolFailed" if "tool" in way else "RuntimeError"), (
                name
            )


async def test_as_many_plain_nodes_as_you_like_call_plain_tools(open_runs: OpenRuns) -> None:
    """A thread that waits for a tool does not keep the tool from a thread."""

    @tool(effect="read", timeout=10)
    def look(x: int) -> str:
        """Looks at one thing."""
        time.sleep(0.01)
        return f"saw {x}"

    def each(state: State, ctx: Context) -> State:
        return {"seen": [ctx.call(look, x=state["item"])]}

    graph = flow(policy=ALL)
    graph.add_node("split", lambda state: {})
    graph.add_node("each", code(each, tools=(look,)))
    graph.add_edge(START, "split")
    graph.add_conditional_edges("split", lambda state: [Send("each", {"item": n}) for n in range(70)], ["each"], max_items=70)
    graph.add_edge("each", END)
    async with open_runs(graph.compile()) as runs, asyncio.timeout(60):
        run, summary = await go(runs)
        assert summary.state == "done"
        assert (await output(runs, run))["seen"] == [f"saw {n}" for n in range(70)]


async def test_an_async_body_behind_a_plain_wrapper_is_executed(open_runs: OpenRuns) -> None:
    sent = []

    async def body(text: str) -> str:
        """Send a text."""
        sent.append(text)
        return f"sent {text}"

    @functools.wraps(body)
    def traced(*args: Any, **given: Any) -> Any:
        return body(*args, **given)

    send = tool(effect="send")(traced)
    graph = flow(policy=ALL)
    graph.add_node("send", effect(send, reads=("text",), writes="receipt"))
    graph.add_edge(START, "send").add_exits("send", done=END, default=END)
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"text": "hi"})
        assert (summary.state, (await output(runs, run))["receipt"], sent) == ("done", "sent hi", ["hi"])


class Rude(ScriptedModel):
    """A model that raises what is no error. Its class calls itself, as many do."""

    raises: Any = None

    def _generate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        self.raises()
        return super()._generate(messages, **options)

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **options: Any) -> ChatResult:
        return self._generate(messages, **options)


@pytest.mark.parametrize("kind", ["infer", "agent"])
async def test_a_model_that_raises_what_is_no_error_fails(open_runs: OpenRuns, kind: str) -> None:
    def graph(name: str, raises: Any) -> Any:
        if kind == "agent":
            return fenced(Rude([FOUND], raises=raises), name=name)
        asked = infer(reads=("text",), writes="note", returns=str, prompt="Say {text}.", model=Rude([says(answer="yes")], raises=raises))
        made = flow(name=name)
        made.add_node("ask", asked).add_edge(START, "ask").add_exits("ask", default=END)
        return made.compile()

    bodies = {**ASYNC, "nothing": lambda: None}
    async with open_runs(*(graph(name, raises) for name, raises in bodies.items())) as runs, asyncio.timeout(30):
        for name in bodies:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert summary.state == "done", name
            assert await outcomes(runs, run) == (["done"] if name == "nothing" else ["failed"]), name


async def test_a_call_from_another_loop_is_made_on_the_gateways_own(open_runs: OpenRuns) -> None:
    loops = []

    @tool(effect="read")
    async def look(x: int) -> str:
        """Looks at one thing."""
        loops.append(asyncio.get_running_loop())
        return f"saw {x}"

    async def tools(ctx: Context) -> list[str]:
        return [await ctx.call(look, x=1), await look.ainvoke({"x": 2}), ctx.now().isoformat()[:2]]

    model = controlled(ScriptedModel([AIMessage("hi there")]))

    async def models() -> list[str]:
        return [(await model.ainvoke("x")).text, "".join([part.text async for part in model.astream("y")])]

    def first(state: State, ctx: Context) -> State:
        return {"log": asyncio.run(tools(ctx))}

    def second(state: State) -> State:
        return {"text": " ".join(asyncio.run(models()))}

    graph = line(("first", code(first, tools=(look,))), ("second", plain(("inner", second, {}))))
    async with open_runs(graph) as runs, asyncio.timeout(30):
        run, summary = await go(runs)
        out = await output(runs, run)
        assert (summary.state, out["log"][:3], out["text"]) == ("done", ["saw 1", "saw 2", "20"], "hi there hi there")
        assert len(await told(runs, run, "call.intent")) == 4
    assert loops == [asyncio.get_running_loop()] * 2


HANGS = """
import asyncio, threading
from langchain_core.language_models.chat_models import BaseChatModel
from langgraph.graph import END, START
from typing_extensions import TypedDict
from pointsman import Context, Policy, Workflow, allow, code, tool
from pointsman.errors import ToolFailed

class State(TypedDict, total=False):
    text: str

@tool(effect="read", timeout=0.2)
def sleeps(x: int) -> str:
    "Never comes back from a thread."
    threading.Event().wait()

@tool(effect="read", timeout=0.2)
async def lends(x: int) -> str:
    "Never comes back from a thread of asyncio's."
    await asyncio.to_thread(threading.Event().wait)

@tool(effect="read", timeout=0.2)
async def holds(x: int) -> str:
    "Does not let itself be cancelled."
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass

async def body(state: State, ctx: Context) -> State:
    said = []
    for one in (sleeps, lends, holds):
        try:
            await ctx.call(one, x=1)
        except ToolFailed as error:
            said.append(type(error).__name__)
    return {"text": " ".join(said)}

flow = Workflow(State, name="hangs", policy=Policy(allow()))
flow.add_node("node", code(body, tools=(sleeps, lends, holds)))
flow.add_edge(START, "node").add_edge("node", END)
graph = flow.compile()
"""


def test_a_process_ends_though_its_tools_never_do(url: str, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text(HANGS)
    (tmp_path / "langgraph.json").write_text('{"graphs": {"hangs": "./hangs.py:graph"}}')
    environment = os.environ | {"DATABASE_URL": url, "POINTSMAN_HOME": str(tmp_path / "home")}
    told = subprocess.run(
        [sys.executable, "-m", "pointsman.cli", "run", "hangs", "--input", "{}", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (told.returncode, "ToolFailed ToolFailed ToolFailed" in told.stdout) == (0, True), told
