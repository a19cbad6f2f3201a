"""What LangChain's limits and approvals let happen, shown with the installed `create_agent` and its middleware, and the same scenario here.

Each test has two halves: first it happens there (if a release mends it, the test fails and the row in `docs/beside-langgraph.md` goes),
then it does not happen here, with the same script, the same middleware where there is one, and tools that count.
"""

import itertools
import operator
from typing import Annotated, Any

import pytest
from langchain.agents import AgentState, create_agent
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    ToolCallLimitMiddleware,
    ToolRetryMiddleware,
    hook_config,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command
from typing_extensions import TypedDict

from pointsman import Limits, Policy, Workflow, agent, allow, ask, effect
from pointsman.errors import Conflict
from pointsman.testing import ScriptedModel, calls, says
from tests.acceptance.world import OpenRuns, World, approve_all, flow, go, open_items, output

pytestmark = pytest.mark.anyio

THREAD: Any = {"configurable": {"thread_id": "1"}}
ASKED = {"messages": [("user", "go on")]}
YES, NO = {"type": "approve"}, {"type": "reject"}
EXITS = ("answered", "abstained", "needs_person", "limit", "loop", "tool_failure", "denied", "unavailable")


def for_ever(name: str, argument: str) -> Any:
    """A script that calls a tool in every turn, each time with another number."""
    numbers = itertools.count(1)
    return lambda messages, offered: calls((name, {argument: next(numbers)}))


def theirs(world: World) -> tuple[Any, Any]:
    """`pay` and `look` as LangChain's own tools."""

    @tool
    async def pay(amount: int) -> str:
        """Pay an amount."""
        world.calls.append(("pay", amount))
        return f"paid {amount}"

    @tool
    async def look(x: int) -> str:
        """Read one thing."""
        world.calls.append(("look", x))
        if ("look", x) in world.broken:
            raise OSError("planted")
        return f"saw {x}"

    return pay, look


class State(TypedDict, total=False):
    """The state of the workflows here."""

    text: str
    amount: int
    receipt: str
    answer: str
    other: str
    ends: Annotated[list[str], operator.add]


def fenced(model: Any, *, policy: Policy | None = None, limits: Limits | None = None, **options: Any) -> Any:
    """A workflow of one agent, which writes down how it ended."""
    graph = Workflow(State, name="flow", policy=policy or Policy(allow()))
    options = {"reads": ("text",), "writes": "answer", "returns": str, "prompt": "Do it: {text}", "turns": 30, **options}
    graph.add_node("agent", agent(model=model, limits=limits, **options))
    graph.add_edge(START, "agent")
    for exit in EXITS:
        graph.add_node(exit, lambda state, name=exit: {"ends": [name]})
    return graph.add_exits("agent", **{exit: exit for exit in EXITS}).compile()


async def test_a_limit_is_not_reset_by_the_answers_of_people(open_runs: OpenRuns, world: World) -> None:
    pay, _ = theirs(world)
    model = ScriptedModel(for_ever("pay", "amount"))
    guards: Any = [HumanInTheLoopMiddleware({"pay": True}), ModelCallLimitMiddleware(run_limit=3)]
    there = create_agent(model, [pay], middleware=guards, checkpointer=InMemorySaver())
    await there.ainvoke(ASKED, THREAD)
    for _ in range(12):
        await there.ainvoke(Command(resume={"decisions": [YES]}), THREAD)
    assert len(model.seen) == 13, "a limit of 3 in LangChain, and no end to it"

    world.calls.clear()
    model = ScriptedModel(for_ever("pay", "amount"))
    policy = Policy(allow(), ask("pay"))
    async with open_runs(fenced(model, policy=policy, limits=Limits(model_calls=3), effects=(world.tools().pay,))) as runs:
        run, _ = await go(runs, {"text": "pay"})
        assert (await approve_all(runs, run)).state == "done"
        assert (len(model.seen), (await output(runs, run))["ends"]) == (3, ["limit"])


async def test_a_limit_counts_retries_of_the_model(open_runs: OpenRuns) -> None:
    def flaky() -> ScriptedModel:
        lines = iter([OSError("planted")] * 3 + [says(answer="at last")] * 2)
        return ScriptedModel(lambda messages, offered: next(lines))

    retry: Any = ModelRetryMiddleware(max_retries=3, initial_delay=0, jitter=False)
    model = flaky()
    there: Any = create_agent(model, [], middleware=[ModelCallLimitMiddleware(run_limit=2), retry])
    await there.ainvoke(ASKED)
    assert len(model.seen) == 4, "a limit of 2 in LangChain, and the provider was called and paid 4 times"

    model = flaky()
    async with open_runs(fenced(model, limits=Limits(model_calls=2), middleware=(retry,), retries=0)) as runs:
        _, summary = await go(runs, {"text": "x"})
        assert (summary.state, len(model.seen)) == ("done", 2)


async def test_a_limit_counts_retries_of_a_tool(open_runs: OpenRuns, world: World) -> None:
    _, look = theirs(world)
    world.broken.add(("look", 1))
    script = [calls(("look", {"x": 1})), says(answer="no use")]
    retry: Any = ToolRetryMiddleware(max_retries=4, initial_delay=0, jitter=False)
    there: Any = create_agent(ScriptedModel(script), [look], middleware=[ToolCallLimitMiddleware(run_limit=1), retry])
    await there.ainvoke(ASKED)
    assert world.count("look") == 5, "a limit of 1 in LangChain, and the tool ran 5 times"

    world.calls.clear()
    graph = fenced(ScriptedModel(script), limits=Limits(tool_calls=1), tools=(world.tools().look,), middleware=(retry,))
    async with open_runs(graph) as runs:
        _, summary = await go(runs, {"text": "x"})
        assert (summary.state, world.count("look")) == ("done", 1)


async def test_a_limit_counts_summaries(open_runs: OpenRuns, world: World) -> None:
    def middlewares(short: ScriptedModel) -> Any:
        return SummarizationMiddleware(model=short, trigger=("messages", 4), keep=("messages", 1))

    _, look = theirs(world)
    model, short = ScriptedModel(for_ever("look", "x")), ScriptedModel([AIMessage("they looked")], name_="short")
    limit: Any = ModelCallLimitMiddleware(run_limit=4)
    await create_agent(model, [look], middleware=[limit, middlewares(short)]).ainvoke(ASKED)
    assert len(model.seen) + len(short.seen) > 4, "a limit of 4 in LangChain, and the calls that write summaries beside it"

    model, short = ScriptedModel(for_ever("look", "x")), ScriptedModel([AIMessage("they looked")], name_="short")
    graph = fenced(model, limits=Limits(model_calls=4), tools=(world.tools().look,), middleware=(middlewares(short),))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, (await output(runs, run))["ends"]) == ("done", ["limit"])
        assert len(model.seen) + len(short.seen) == 4
        assert len(short.seen) > 0


async def test_a_tool_that_is_new_is_not_approved_by_silence(open_runs: OpenRuns, world: World) -> None:
    pay, look = theirs(world)
    guard: Any = HumanInTheLoopMiddleware({"look": True})  # `pay` was added to the tools since
    model = ScriptedModel([calls(("pay", {"amount": 5})), says(answer="paid")])
    await create_agent(model, [pay, look], middleware=[guard], checkpointer=InMemorySaver()).ainvoke(ASKED, THREAD)
    assert world.calls == [("pay", 5)], "nobody was asked in LangChain: what is not listed is approved"

    world.calls.clear()
    model = ScriptedModel([calls(("pay", {"amount": 5})), says(answer="paid")])
    graph = fenced(model, policy=Policy(ask("look")), tools=(world.tools().look,), effects=(world.tools().pay,))
    async with open_runs(graph) as runs:
        _, summary = await go(runs, {"text": "x"})
        assert (summary.state, world.calls) == ("done", [])


async def test_a_limit_spans_all_executions_of_an_agent(open_runs: OpenRuns, world: World) -> None:
    class Passes(MessagesState):
        passes: Annotated[int, operator.add]

    _, look = theirs(world)
    model = ScriptedModel(for_ever("look", "x"))
    parent = StateGraph(Passes)
    parent.add_node("agent", create_agent(model, [look], middleware=[ModelCallLimitMiddleware(thread_limit=2)]))
    parent.add_node("count", lambda state: {"passes": 1})
    parent.add_edge(START, "agent").add_edge("agent", "count")
    parent.add_conditional_edges("count", lambda state: "agent" if state["passes"] < 3 else END, ["agent", END])
    await parent.compile(checkpointer=InMemorySaver()).ainvoke(ASKED, THREAD)  # type: ignore[arg-type]
    assert len(model.seen) == 6, "a limit of 2 for the thread in LangChain, and 2 more with every pass"

    model = ScriptedModel(for_ever("look", "x"))
    graph = Workflow(State, name="flow", policy=Policy(allow()))
    node = agent(
        model=model, limits=Limits(model_calls=2), reads=("text",), writes="answer", returns=str, prompt="{text}", turns=30,
        tools=(world.tools().look,),
    )  # fmt: skip
    graph.add_node("agent", node).add_node("count", lambda state: {"ends": ["pass"]}, max_visits=3)
    graph.add_edge(START, "agent").add_exits("agent", default="count").add_exits("count", limit=END)
    graph.add_conditional_edges("count", lambda state: "agent" if len(state["ends"]) < 3 else END, ["agent", END])
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"text": "x", "ends": []})
        assert (summary.state, len(model.seen)) == ("done", 2)
        assert (await output(runs, run))["ends"] == ["pass"] * 3


async def test_a_limit_spans_parallel_agents(open_runs: OpenRuns, world: World) -> None:
    _, look = theirs(world)
    models = [ScriptedModel(for_ever("look", "x")) for _ in range(2)]
    shared = ModelCallLimitMiddleware(run_limit=2)
    parent = StateGraph(MessagesState)
    for name, model in zip("ab", models, strict=True):
        parent.add_node(name, create_agent(model, [look], middleware=[shared])).add_edge(START, name)
    await parent.compile().ainvoke(ASKED)  # type: ignore[arg-type]
    assert sum(len(model.seen) for model in models) == 4, "one limit of 2 in LangChain, given to both"

    models = [ScriptedModel(for_ever("look", "x")) for _ in range(2)]
    graph = Workflow(State, name="flow", policy=Policy(allow()), limits=Limits(model_calls=2))
    for name, model, field in zip("ab", models, ("answer", "other"), strict=True):
        node = agent(model=model, reads=("text",), writes=field, returns=str, prompt="{text}", turns=30, tools=(world.tools().look,))
        graph.add_node(name, node).add_edge(START, name).add_exits(name, default=END)
    async with open_runs(graph.compile()) as runs:
        _, summary = await go(runs, {"text": "x"})
        assert (summary.state, sum(len(model.seen) for model in models)) == ("done", 2)


async def test_a_yes_to_one_amount_pays_no_other(open_runs: OpenRuns, world: World) -> None:
    pay, _ = theirs(world)
    script = [calls(("pay", {"amount": 1})), says(answer="paid")]
    there = create_agent(ScriptedModel(script), [pay], middleware=[HumanInTheLoopMiddleware({"pay": True})], checkpointer=InMemorySaver())
    shown = (await there.ainvoke(ASKED, THREAD))["__interrupt__"][0].value["action_requests"][0]
    assert shown["args"] == {"amount": 1}
    last = (await there.aget_state(THREAD)).values["messages"][-1]
    other = AIMessage("", id=last.id, tool_calls=[{**last.tool_calls[0], "args": {"amount": 999999}}])
    await there.aupdate_state(THREAD, {"messages": [other]}, as_node="model")
    await there.ainvoke(Command(resume={"decisions": [YES]}), THREAD)
    assert world.asked("pay") == [999999], "what LangChain showed was pay(1)"

    world.calls.clear()
    graph = flow(policy=Policy(ask("pay")))
    graph.add_node("pay", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    compiled = graph.add_edge(START, "pay").add_exits("pay", done=END, default=END).compile()
    async with open_runs(compiled) as runs:
        run, _ = await go(runs, {"amount": 1})
        [item] = await open_items(runs, run)
        with pytest.raises(Conflict):
            await compiled.aupdate_state({"configurable": {"thread_id": run.run_id}}, {"amount": 999999})
        await runs.rerun(run, node="pay", patch={"amount": 999999}, by="lee", reason="a repair")
        await run.settled()
        with pytest.raises(Conflict):
            await runs.approve(item, by="dana")
        assert world.calls == []
        [new] = await open_items(runs, run)
        assert new.card["arguments"] == {"amount": 999999}, "it is asked about as what it is"


async def test_too_few_decisions_do_not_poison_the_run(open_runs: OpenRuns, world: World) -> None:
    pay, _ = theirs(world)
    script = [calls(("pay", {"amount": 1}), ("pay", {"amount": 2})), says(answer="paid")]
    there = create_agent(ScriptedModel(script), [pay], middleware=[HumanInTheLoopMiddleware({"pay": True})], checkpointer=InMemorySaver())
    await there.ainvoke(ASKED, THREAD)
    for decisions in ([YES], [YES, YES], [YES, YES]):  # for ever: the first answer is what is replayed
        with pytest.raises(ValueError, match=r"[Nn]umber of human decisions \(1\)"):
            await there.ainvoke(Command(resume={"decisions": decisions}), THREAD)
    assert world.calls == []

    graph = fenced(ScriptedModel(script), policy=Policy(ask("pay")), effects=(world.tools().pay,))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "pay"})
        await graph.ainvoke(Command(resume={"decisions": [YES]}), {"configurable": {"thread_id": run.run_id}})
        one, two = sorted(await open_items(runs, run), key=lambda item: item.card["arguments"]["amount"])
        await runs.approve(one, by="dana")
        assert ((await run.settled()).state, world.asked("pay")) == ("waiting", [1])
        await runs.approve(two, by="dana")
        assert ((await run.settled()).state, world.asked("pay")) == ("done", [1, 2])


class Jumps(AgentMiddleware[Any, Any]):
    """A middleware that sends the agent to its tools after each answer that names some."""

    @hook_config(can_jump_to=["tools"])
    def after_model(self, state: AgentState[Any], runtime: Any) -> dict[str, Any] | None:
        """On to the tools."""
        named = next(message for message in reversed(state["messages"]) if isinstance(message, AIMessage))
        return {"jump_to": "tools"} if named.tool_calls else None


async def test_a_no_holds_whatever_a_middleware_jumps_to(open_runs: OpenRuns, world: World) -> None:
    def script(messages: list[BaseMessage], offered: list[str]) -> AIMessage:
        said = any(isinstance(message, AIMessage) for message in messages)
        return says(answer="over") if said else calls(("pay", {"amount": 1}), ("pay", {"amount": 2}))

    pay, _ = theirs(world)
    guards: Any = [Jumps(), HumanInTheLoopMiddleware({"pay": True})]
    there = create_agent(ScriptedModel(script), [pay], middleware=guards, checkpointer=InMemorySaver())
    await there.ainvoke(ASKED, THREAD)
    await there.ainvoke(Command(resume={"decisions": [NO, NO]}), THREAD)
    assert sorted(world.asked("pay")) == [1, 2], "LangChain made both calls that were rejected"

    world.calls.clear()
    graph = fenced(ScriptedModel(script), policy=Policy(ask("pay")), effects=(world.tools().pay,), middleware=(Jumps(),))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "pay"})
        while items := await open_items(runs, run):
            await runs.reject(items[0], by="dana")
            await run.settled()
        assert ((await run.summary()).state, world.calls) == ("done", [])
