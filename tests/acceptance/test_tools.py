"""Every way to call a tool is one passage through the gateway, and every way a call can end is told as declared."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import MessagesState
from langgraph.prebuilt import ToolNode
from langgraph.types import RetryPolicy

from pointsman import Policy, allow, arg, ask, code, deny, effect
from pointsman.errors import BadInput, Denied, ToolFailed
from tests.acceptance.world import OpenRuns, State, World, approve_all, flow, go, line, outcomes, output, told

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("how", ["ctx", "ainvoke", "retry", "fallback"])
async def test_each_way_of_calling_is_one_passage(open_runs: OpenRuns, world: World, how: str) -> None:
    t = world.tools()
    ways: dict[str, Any] = {
        "ctx": lambda ctx: ctx.call(t.look, x=1),
        "ainvoke": lambda ctx: t.look.ainvoke({"x": 1}),
        "retry": lambda ctx: t.look.with_retry().ainvoke({"x": 1}),
        "fallback": lambda ctx: t.look.with_fallbacks([t.peek]).ainvoke({"x": 1}),
    }

    async def work(state: State, ctx: Any) -> State:
        return {"log": [await ways[how](ctx)]}

    async with open_runs(line(("work", code(work, tools=(t.look, t.peek))))) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", ["saw 1"])
        assert (len(await told(runs, run, "call.intent")), await outcomes(runs, run), world.calls) == (1, ["done"], [("look", 1)])


@pytest.mark.parametrize("swallow", ["retry", "fallback"])
async def test_retries_and_fallbacks_do_not_swallow_a_question(open_runs: OpenRuns, world: World, swallow: str) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        way = t.look.with_retry(wait_exponential_jitter=False) if swallow == "retry" else t.look.with_fallbacks([t.peek])
        return {"log": [await way.ainvoke({"x": 1})]}

    async with open_runs(line(("work", code(work, tools=(t.look, t.peek))), policy=Policy(ask("look")))) as runs:
        run, summary = await go(runs)
        assert (summary.state, len(await told(runs, run, "ask.opened")), world.calls) == ("waiting", 1, [])
        assert (await approve_all(runs, run)).state == "done"
        assert world.calls == [("look", 1)]


async def test_langgraphs_tool_node_passes_the_gateway(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    calls = [("look", {"x": 1}, "1"), ("peek", {"x": 2}, "2"), ("look", {"x": 1}, "3")]
    message = AIMessage("", tool_calls=[{"name": name, "args": args, "id": id} for name, args, id in calls])

    class Talk(MessagesState):
        pass

    async def ask_for(state: Talk) -> dict[str, Any]:
        return {"messages": [message]}

    inner = StateGraph(Talk).add_node("tools", ToolNode([t.look, t.peek])).add_edge(START, "tools")

    async def body(state: State) -> State:
        result = await inner.compile().ainvoke({"messages": [message]})
        return {"log": [message.content for message in result["messages"][1:]]}

    async with open_runs(line(("body", body), policy=Policy(allow(), ask("peek")))) as runs:
        run, summary = await go(runs)
        assert summary.state == "waiting"
        assert (await approve_all(runs, run)).state == "done"
        assert (await output(runs, run))["log"] == ["saw 1", "peeked 2", "saw 1"]
        assert (world.count("look", 1), world.count("peek", 2)) == (2, 1)


async def test_what_is_not_in_the_nodes_list_is_denied(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State) -> State:
        said = []
        for wanted, given in ((t.peek, {"x": 1}), (t.pay, {"amount": 5}), (t.send, {"text": "hi"})):
            try:
                said.append(await wanted.ainvoke(given))
            except Denied as error:
                said.append(error.remedy)
        return {"log": said}

    async with open_runs(line(("work", code(work, tools=(t.look,))))) as runs:
        run, _ = await go(runs)
        assert (await output(runs, run))["log"] == ["see rule node-list"] * 3
        assert [event.fields["rule"] for event in await told(runs, run, "call.denied")] == ["node-list"] * 3
        assert world.calls == []


def test_an_effect_in_a_code_node_is_refused_when_it_is_declared(world: World) -> None:
    with pytest.raises(BadInput, match="effect"):
        code(lambda state: None, tools=(world.tools().pay,))
    with pytest.raises(BadInput, match="only reads"):
        effect(world.tools().look, reads=("x",))


async def test_arguments_that_do_not_fit_are_denied(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        said = []
        for given in ({"x": "many"}, {}, {"x": 1, "y": 2}):
            try:
                said.append(await ctx.call(t.look, **given))
            except Denied as error:
                said.append(error.remedy)
        return {"log": said}

    async with open_runs(line(("work", code(work, tools=(t.look,))))) as runs:
        run, _ = await go(runs)
        assert (await output(runs, run))["log"] == ["see rule arguments"] * 3
        assert world.calls == []


POLICY = Policy(
    allow("pay", when=arg("amount") <= 10, name="small"),
    ask("pay", when=arg("amount") > 10, name="large"),
    deny("pay", when=arg("amount") > 1000, name="never"),
    version="7",
)


@pytest.mark.parametrize(
    ("amount", "state", "rule", "paid"), [(10, "done", "small", [10]), (11, "waiting", "large", []), (1001, "done", "never", [])]
)
async def test_the_policy_decides_and_its_rule_is_named(
    open_runs: OpenRuns, world: World, amount: int, state: str, rule: str, paid: list[int]
) -> None:
    graph = flow(policy=POLICY)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt")).add_node("no", lambda state: {"log": ["no"]})
    graph.add_edge(START, "post").add_exits("post", done=END, default="no")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs, {"amount": amount})
        assert (summary.state, world.asked("pay")) == (state, paid)
        kinds = ("call.intent", "call.denied", "ask.opened")
        [decided] = [event for event in await runs.events(run) if event.kind in kinds]
        assert decided.fields["rule"] == rule


@pytest.mark.parametrize("policy", [Policy(), Policy(allow("look")), Policy(allow("pay", when=arg("nothing") > 1))])
async def test_an_effect_that_no_rule_allows_is_denied(open_runs: OpenRuns, world: World, policy: Policy) -> None:
    graph = flow(policy=policy)
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt")).add_node("no", lambda state: {"log": ["no"]})
    graph.add_edge(START, "post").add_exits("post", done=END, denied="no", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, {"amount": 5})
        assert ((await output(runs, run))["log"], world.calls) == (["no"], [])


async def test_a_graph_that_is_tried_again_makes_its_failed_call_again(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    world.broken = {("look", 1)}

    async def ask_inside(state: State) -> State:
        try:
            return {"log": [await t.look.ainvoke({"x": 1})]}
        finally:
            world.broken = set()

    inner = StateGraph(State).add_node("inner", ask_inside).add_edge(START, "inner").compile()
    graph = flow()
    graph.add_node("outer", inner, retry_policy=RetryPolicy(max_attempts=2, initial_interval=0.0, retry_on=ToolFailed))
    graph.add_edge(START, "outer")
    async with open_runs(graph.compile()) as runs:
        run, summary = await go(runs)
        assert (summary.state, await outcomes(runs, run), world.count("look")) == ("done", ["failed", "done"], 2)


async def test_a_body_may_call_a_tool_after_it_ran_a_graph(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    inner = StateGraph(State).add_node("inner", lambda state: {"log": ["inside"]}).add_edge(START, "inner").compile()

    async def work(state: State, ctx: Any) -> State:
        await inner.ainvoke({})
        return {"log": [await ctx.call(t.look, x=1)]}

    async with open_runs(line(("work", code(work, tools=(t.look,))))) as runs:
        run, summary = await go(runs)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", ["saw 1"])
