"""The graphs that are killed: workers run them, tests know what they should come to."""

from __future__ import annotations

import asyncio
import os
from operator import add
from typing import Annotated, Any, Literal

from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.messages import AIMessage, RemoveMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import RetryPolicy
from typing_extensions import TypedDict

from pointsman import FAILED, Command, Context, Limits, Policy, Send, Workflow, agent, allow, arg, ask, code, effect, infer, question, tool
from pointsman.breaker import Breaker
from pointsman.model import controlled
from pointsman.sandbox import Change, Sandbox
from pointsman.testing import ScriptedModel, call, calls, happened, says

EVERYTHING = Policy(allow(), version="all")
NEVER = Breaker(failures=0)
"""For what fails at first under each key: many such runs in one process would otherwise look like an outage."""

RETRY = RetryPolicy(initial_interval=0.001, backoff_factor=1.0, max_attempts=4, jitter=False)


def outside() -> str:
    return os.environ["OUTSIDE"]


@tool(effect="send", sinks=("to",), key="key")
def deliver(to: str, key: str = "") -> list[str]:
    """Deliver something, once per key."""
    return [call(outside(), "deliver", to, key)["body"]]


@tool(effect="send", sinks=("to",), key="key", timeout=2)
def hurry(to: str, key: str = "") -> list[str]:
    """Deliver something, and give up soon."""
    return [call(outside(), "hurry", to, key)["body"]]


@tool(effect="send", sinks=("to",), key="key", breaker=NEVER)
def fragile(to: str, key: str = "") -> list[str]:
    """Deliver something by a way of its own."""
    return [call(outside(), "fragile", to, key)["body"]]


@tool(effect="read", key="key")
def look(what: str, key: str = "") -> str:
    """Look something up."""
    return str(call(outside(), "look", what, key)["body"])


@tool(effect="read", key="key", breaker=NEVER)
def glance(what: str, key: str = "") -> str:
    """Look something up where it often fails."""
    return str(call(outside(), "glance", what, key)["body"])


@tool(effect="send", sinks=("to",))
def post(to: str) -> list[str]:
    """Post something where no key is kept and nobody can be asked."""
    return [call(outside(), "post", to)["body"]]


@tool(effect="send", key="key")
def take_back(to: str, result: list[str], key: str = "") -> list[str]:
    """Take back what was lent."""
    return [call(outside(), "take_back", f"{to} {result}", key)["body"]]


@tool(effect="send", sinks=("to",), key="key", compensate=take_back)
def lend(to: str, key: str = "") -> list[str]:
    """Lend something, once per key."""
    return [call(outside(), "lend", to, key)["body"]]


async def find_wired(to: str) -> list[str] | None:
    found = await asyncio.to_thread(happened, outside(), "wire", to)
    return None if found is None else [found["body"]]


@tool(effect="send", sinks=("to",), reconcile=find_wired)
def wire(to: str) -> list[str]:
    """Wire something where no key is kept, but one can ask."""
    return [call(outside(), "wire", to)["body"]]


class State(TypedDict, total=False):
    items: list[str]
    to: str
    n: int
    note: str
    seen: Annotated[list[str], add]
    receipts: Annotated[list[str], add]


def nothing(state: State) -> State:
    return {}


# fan: three Sends, two of them equal, an effect each, joined


def each(state: State) -> list[Send]:
    return [Send("deliver", {"to": item}) for item in state["items"]]


def joined(state: State) -> State:
    return {"n": len(state["receipts"])}


def _fan() -> Any:
    flow = Workflow(State, name="fan", policy=EVERYTHING)
    flow.add_node("split", nothing)
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_node("join", joined)
    flow.add_edge(START, "split")
    flow.add_conditional_edges("split", each, ["deliver"], max_items=3)
    flow.add_exits("deliver", default="join")
    flow.add_edge("join", END)
    return flow.compile()


# loop: a read and an effect, three times


async def look_next(state: State, ctx: Context) -> State:
    n = state.get("n", 0) + 1
    return {"n": n, "to": await ctx.call(look, what=f"item {n}")}


def again(state: State) -> Literal["look", "__end__"]:
    return "look" if state["n"] < 2 else "__end__"


def _loop() -> Any:
    flow = Workflow(State, name="loop", policy=EVERYTHING)
    flow.add_node("look", code(look_next, tools=(look,)), max_visits=5)
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_node("more", nothing)
    flow.add_edge(START, "look")
    flow.add_edge("look", "deliver")
    flow.add_exits("look", limit=END)
    flow.add_exits("deliver", default="more")
    flow.add_conditional_edges("more", again, ["look", END])
    return flow.compile()


# lending: two effects, one after the other, each of which can be undone


def _lending() -> Any:
    flow = Workflow(State, name="lending", policy=EVERYTHING)
    flow.add_node("first", effect(lend, reads=("to",), writes="receipts"))
    flow.add_node("other", lambda state: {"to": f"{state['to']} as well"})
    flow.add_node("second", effect(lend, reads=("to",), writes="receipts"))
    flow.add_edge(START, "first")
    flow.add_exits("first", default="other")
    flow.add_edge("other", "second")
    flow.add_exits("second", default=END)
    return flow.compile()


# nest: a subgraph as two nodes, and called twice in one body


class Inner(TypedDict, total=False):
    to: str
    receipts: Annotated[list[str], add]


async def look_up(state: Inner, ctx: Context) -> Inner:
    return {"to": await ctx.call(look, what=state["to"])}


def _inner() -> Any:
    flow = Workflow(Inner, name="inner", policy=EVERYTHING)
    flow.add_node("look", code(look_up, tools=(look,)))
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_edge(START, "look")
    flow.add_edge("look", "deliver")
    flow.add_exits("deliver", default=END)
    return flow.compile()


inner = _inner()


class Outer(TypedDict, total=False):
    to: str
    receipts: list[str]


async def twice(state: Outer) -> Outer:
    first = await inner.ainvoke({"to": "first"})
    second = await inner.ainvoke({"to": "second"})
    return {"receipts": [*state["receipts"], *first["receipts"], *second["receipts"]]}


def _nest() -> Any:
    flow = Workflow(Outer, name="nest", policy=EVERYTHING)
    flow.add_node("left", inner)
    flow.add_node("right", inner)
    flow.add_node("twice", twice)
    for start, end in ((START, "left"), ("left", "right"), ("right", "twice"), ("twice", END)):
        flow.add_edge(start, end)
    return flow.compile()


# sibling: one of two parallel effects fails until the outside system is mended


def _sibling() -> Any:
    flow = Workflow(State, name="sibling", policy=EVERYTHING)
    flow.add_node("fragile", effect(fragile, reads=("to",), writes="receipts"))
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_node("join", joined)
    for name in ("fragile", "deliver"):
        flow.add_edge(START, name)
        flow.add_exits(name, default="join")
    flow.add_edge("join", END)
    return flow.compile()


# flaky: a read and a keyed effect that fail at first, each with a RetryPolicy


async def look_hard(state: State, ctx: Context) -> State:
    return {"seen": [await ctx.call(look, what="before"), await ctx.call(glance, what="x")]}


def _flaky() -> Any:
    flow = Workflow(State, name="flaky", policy=EVERYTHING)
    flow.add_node("look", code(look_hard, tools=(look, glance)), retry_policy=RETRY)
    flow.add_node("fragile", effect(fragile, reads=("to",), writes="receipts"), retry_policy=RETRY)
    flow.add_edge(START, "look")
    flow.add_edge("look", "fragile")
    flow.add_exits("fragile", default=END)
    return flow.compile()


# chains: two chains of calls gathered in one body, their pace another in every process


async def chains(state: State, ctx: Context) -> State:
    async def chain(name: str, pause: float) -> list[str]:
        first = await ctx.call(look, what=f"{name}1")
        await asyncio.sleep(pause)
        return [first, await ctx.call(look, what=f"{name}2 after {first}")]

    pace = float(os.environ["PACE"])
    one, other = await asyncio.gather(chain("a", 0.02 * pace), chain("b", 0.02 * (1 - pace)))
    return {"seen": [*one, *other], "to": other[-1]}


def _chains() -> Any:
    flow = Workflow(State, name="chains", policy=EVERYTHING)
    flow.add_node("chains", code(chains, tools=(look,)))
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_edge(START, "chains")
    flow.add_edge("chains", "deliver")
    flow.add_exits("deliver", default=END)
    return flow.compile()


# tight: two reads gathered in one body where one is allowed; which comes first depends on the process


async def both(state: State, ctx: Context) -> State:
    async def one(name: str, pause: float) -> str:
        await asyncio.sleep(pause)
        return str(await ctx.call(look, what=name))

    pace = float(os.environ["PACE"])
    return {"seen": await asyncio.gather(one("a", 0.05 * pace), one("b", 0.05 * (1 - pace)))}


def _tight() -> Any:
    flow = Workflow(State, name="tight", policy=EVERYTHING, limits=Limits(tool_calls=1))
    flow.add_node("both", code(both, tools=(look,)))
    flow.add_edge(START, "both")
    flow.add_exits("both", limit=END)
    return flow.compile()


# chance: what is sent depends on the clock and on chance, in the step itself and in the next one


async def draw(state: State, ctx: Context) -> State:
    token = f"{ctx.now().isoformat()} {ctx.uuid()} {ctx.random()}"
    seen = await ctx.call(look, what=token)
    return {"seen": [seen], "to": f"{token} {ctx.uuid()}"}


def _chance() -> Any:
    flow = Workflow(State, name="chance", policy=EVERYTHING)
    flow.add_node("draw", code(draw, tools=(look,)))
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_edge(START, "draw")
    flow.add_edge("draw", "deliver")
    flow.add_exits("deliver", default=END)
    return flow.compile()


# filing: a change of files, applied


class Filing(TypedDict, total=False):
    change: Change
    applied: int


def _filing() -> Any:
    flow = Workflow(Filing, name="filing", policy=EVERYTHING)
    flow.add_node("apply", effect(Sandbox("etc").apply_change, reads=("change",), writes="applied"))
    flow.add_edge(START, "apply")
    flow.add_exits("apply", done=END, default=FAILED)
    return flow.compile()


# giving_up: a run that a declared exit ends as failed, after an effect


async def judge(state: State) -> Command[Literal["failed"]]:
    return Command(update={"n": 1}, goto=FAILED)


def _giving_up() -> Any:
    flow = Workflow(State, name="giving_up", policy=EVERYTHING)
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_node("judge", judge)
    flow.add_edge(START, "deliver")
    flow.add_exits("deliver", default="judge")
    flow.add_exits("judge", limit=FAILED)
    return flow.compile()


# asking: one of two parallel effects waits for a person


def _asking() -> Any:
    flow = Workflow(State, name="asking", policy=Policy(ask(fragile), allow(deliver), version="asking"))
    flow.add_node("fragile", effect(fragile, reads=("to",), writes="receipts"))
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_node("join", joined)
    for name in ("fragile", "deliver"):
        flow.add_edge(START, name)
        flow.add_exits(name, default="join")
    flow.add_edge("join", END)
    return flow.compile()


# consenting: an effect that two people must approve; questioning: one whose argument a person gives


def _consenting() -> Any:
    return _single("consenting", deliver, Policy(ask(deliver, role="controller", quorum=2), version="consenting"))


def _questioning() -> Any:
    flow = Workflow(State, name="questioning", policy=EVERYTHING)
    flow.add_node("person", question("To whom?", shows=("to",), writes="to"))
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_edge(START, "person")
    flow.add_exits("person", answered="deliver", default=FAILED)
    flow.add_exits("deliver", default=END)
    return flow.compile()


# judging: a model says to whom, a person approves it


def _judging() -> Any:
    flow = Workflow(State, name="judging", model="openai:acted", policy=Policy(ask(deliver), version="judging"))
    flow.add_node("judge", infer(reads=("to",), writes="to", returns=str, prompt="To whom?"))
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_edge(START, "judge")
    flow.add_exits("judge", answered="deliver", default=FAILED)
    flow.add_exits("deliver", done=END, default=FAILED)
    return flow.compile()


# wayward: a router that fails after its node has written


async def way(state: State) -> Literal["join", "deliver"]:
    await asyncio.to_thread(call, outside(), "way", "x")
    return "join"


def _wayward() -> Any:
    flow = Workflow(State, name="wayward", policy=EVERYTHING)
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"), max_visits=2)
    flow.add_node("choose", joined)
    flow.add_node("join", joined)
    flow.add_edge(START, "deliver")
    flow.add_exits("deliver", limit="join", default="choose")
    flow.add_conditional_edges("choose", way, ["join", "deliver"])
    flow.add_edge("join", END)
    return flow.compile()


# single: one effect of each kind of tool


def _single(name: str, tool: Any, policy: Policy = EVERYTHING, limits: Limits | None = None) -> Any:
    flow = Workflow(State, name=name, policy=policy, limits=limits)
    flow.add_node("act", effect(tool, reads=("to",), writes="receipts"))
    flow.add_node("after", joined)
    flow.add_edge(START, "act")
    flow.add_exits("act", default="after")
    flow.add_edge("after", END)
    return flow.compile()


# capped: five Sends where three calls are allowed


def _capped() -> Any:
    flow = Workflow(State, name="capped", policy=EVERYTHING, limits=Limits(tool_calls=3))
    flow.add_node("split", nothing)
    flow.add_node("deliver", effect(deliver, reads=("to",), writes="receipts"))
    flow.add_node("join", joined)
    flow.add_edge(START, "split")
    flow.add_conditional_edges("split", each, ["deliver"], max_items=5)
    flow.add_exits("deliver", default="join")
    flow.add_edge("join", END)
    return flow.compile()


# crowd: three agents side by side that each want two deliveries and two turns, where limits leave four and five


def _crowd() -> Any:
    def spoken(messages: list[Any], offered: list[str]) -> Any:
        to = messages[1].text
        return says(answer=["done"]) if len(messages) > 2 else calls(("deliver", {"to": f"{to} 1"}), ("deliver", {"to": f"{to} 2"}))

    flow = Workflow(State, name="crowd", policy=EVERYTHING, limits=Limits(tool_calls=4, model_calls=5))
    part = agent(reads=("to",), writes="seen", returns=list[str], prompt="{to}", effects=(deliver,), model=ScriptedModel(spoken))
    flow.add_node("part", part)
    flow.add_conditional_edges(START, lambda state: [Send("part", {"to": to}) for to in "abc"], ["part"], max_items=3)
    flow.add_exits("part", default=END)
    return flow.compile()


# agent: parallel calls, one of which asks, an effect and an agent below beside it; then a summary and an answer to be repaired; limits that are just enough

AGENT_LIMITS: dict[str, int] = {"model_calls": 5, "tool_calls": 4, "approvals": 1}


@tool(effect="read", key="key")
def would(to: str, key: str = "") -> str:
    """Says what a delivery would do."""
    return str(call(outside(), "would", to, key)["body"])


@tool(effect="send", sinks=("to",), key="key", preview=would)
def hand(to: str, key: str = "") -> list[str]:
    """Deliver something by hand; who decides on it is shown what it would do."""
    return [call(outside(), "deliver", to, key)["body"]]


def acted(messages: list[Any], offered: list[str]) -> Any:
    """What the agent's model says: calls, then an answer that does not fit, then one that does."""
    if "That does not fit" in messages[-1].text:
        return says(answer="delivered")
    if len(messages) > 2:
        return AIMessage("it is delivered")
    return calls(("look", {"what": "a"}), ("hand", {"to": "x"}), ("hand", {"to": "y"}), ("helper", {"task": "help"}))


def _agent() -> Any:
    flow = Workflow(State, name="agent", policy=Policy(allow(), ask("hand", when=arg("to") == "y")), limits=Limits(**AGENT_LIMITS))
    helper = agent(
        reads=("task",), writes="answer", returns=str, prompt="Do {task}.", model=ScriptedModel([says(answer="helped")]), description="Helps.",
        limits=Limits(model_calls=1),
    )  # fmt: skip
    short = SummarizationMiddleware(
        model=ScriptedModel([AIMessage("they delivered")], name_="short"), trigger=("messages", 6), keep=("messages", 1)
    )
    work = agent(
        reads=("to",), writes="note", returns=str, prompt="Deliver to {to}.", tools=(look,), effects=(hand,), model=ScriptedModel(acted),
        agents={"helper": helper}, middleware=(short,),
    )  # fmt: skip
    flow.add_node("work", work)
    flow.add_node("after", nothing)
    flow.add_edge(START, "work")
    flow.add_exits("work", answered="after", default=FAILED)
    flow.add_edge("after", END)
    return flow.compile()


# talk: messages in every form that LangGraph takes, of code, of a plain graph, of a model and of an agent's reader; some are taken out again


class Talk(MessagesState, total=False):
    to: str
    note: str


async def plainly(state: Talk) -> dict[str, Any]:
    said = await controlled(ScriptedModel([says(text="certainly")])).ainvoke(state["messages"])
    return {"messages": [said, ("ai", "plain"), {"role": "user", "content": "and plainer"}]}


def _below() -> Any:
    return StateGraph(Talk).add_node("plainly", plainly).add_edge(START, "plainly").add_edge("plainly", END).compile()


def reply(state: Talk) -> dict[str, Any]:
    return {"messages": [AIMessage(f"{len(state['messages'])}"), RemoveMessage(id=state["messages"][0].id)]}


def _talk() -> Any:
    flow = Workflow(Talk, name="talk", policy=EVERYTHING)
    flow.add_node("left", lambda state: {"messages": "left"})
    flow.add_node("right", lambda state: Command(update={"messages": [AIMessage("right")]}))
    flow.add_node("below", _below())
    flow.add_node("reply", reply)
    given = {"reads": ("messages",), "writes": "note", "returns": str, "prompt": "What of {messages}?"}
    flow.add_node("tell", agent(model=ScriptedModel([says(answer="told")]), **given))
    flow.add_edge(START, "left").add_edge(START, "right").add_edge(["left", "right"], "below").add_edge("below", "reply").add_edge(
        "reply", "tell"
    )
    flow.add_exits("tell", answered=END, default=FAILED)
    return flow.compile()


GRAPHS = {
    graph.plan.name: graph
    for graph in (
        _agent(),
        _fan(),
        _loop(),
        _filing(),
        _lending(),
        _nest(),
        _sibling(),
        _flaky(),
        _chains(),
        _chance(),
        _giving_up(),
        _asking(),
        _consenting(),
        _questioning(),
        _judging(),
        _wayward(),
        _capped(),
        _crowd(),
        _tight(),
        _talk(),
        _single("keyed", deliver),
        _single("hasty", hurry),
        _single("probed", wire),
        _single("blind", post),
    )
}
