"""Hostile models and hostile tools against every kind of node: no effect, every attempt on record, the run ends by a declared exit."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    ClearToolUsesEdit,
    ContextEditingMiddleware,
    LLMToolEmulator,
    LLMToolSelectorMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    ProviderToolSearchMiddleware,
    SummarizationMiddleware,
    ToolErrorMiddleware,
    ToolRetryMiddleware,
)
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.output_parsers import JsonOutputParser
from langgraph.graph import END, START
from typing_extensions import TypedDict

from pointsman import FAILED, Context, Limits, Policy, Workflow, agent, allow, ask, code, deny, effect, infer, question, tool
from pointsman.errors import Denied, PointsmanError, ToolFailed
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evidence import verify
from pointsman.model import controlled
from pointsman.testing import ScriptedModel, calls, hostile_models, hostile_tools, says
from tests.acceptance.fenced import ENDS, FOUND, State, ended, fenced, seen
from tests.acceptance.world import OpenRuns, World, approve_all, error_of, go, line, open_items, output, plain, told

pytestmark = pytest.mark.anyio

MODELS = list(hostile_models(("pay", "amount")))
TOOLS = list(hostile_tools())
OBEYED = {"instructions", "an exception", "a lie", "escapes"}
UNKNOWN = {
    "a slow drip", "an exception", "a cancellation", "a cancellation of its task", "an end of the process", "an end of everything",
    "an error without words", "an error of fifty megabytes",
}  # fmt: skip
"""Those after which, were they effects, nobody knows whether they happened: they gave no answer."""
SILENT = {"nothing", "a flood of words", "no answer", "an error", "calls in other places"}
"""Those that ask for no call."""

READS = Policy(allow(effect=("read", "model")), deny(effect=("submit", "send", "execute")))


def script(name: str) -> ScriptedModel:
    return ScriptedModel(hostile_models(("pay", "amount"), ("send", "text"))[name])


def attempts(ran: Any) -> tuple[int, int]:
    """How many calls of tools the model asked for, and at how many places the record says what became of one."""
    results = [
        ran.payloads[event.payloads["result"]]
        for event in ran.told("call.outcome")
        if "model" in event.position and "result" in event.payloads
    ]
    asked = sum(len(result.get("tool_calls", ())) + len(result.get("invalid_tool_calls", ())) for result in results)
    kinds = ("call.denied", "limit.reached", "ask.opened", "call.intent")
    return asked, len(
        {event.position for event in ran.events if event.kind in kinds and event.position.rpartition("/")[2].startswith("tools@")}
    )


# Models


POLICIES = {
    "nothing said": Policy(),
    "denied": READS,
    "asked": Policy(allow(effect=("read", "model")), ask(effect=("submit", "send"))),
}


@pytest.mark.parametrize("policy", POLICIES.values(), ids=list(POLICIES))
async def test_hostile_models_in_an_agent(open_runs: OpenRuns, world: World, policy: Policy) -> None:
    t = world.tools()
    graphs = [fenced(script(name), policy=policy, tools=(t.look,), effects=(t.pay, t.send), turns=4, name=name) for name in MODELS]
    async with open_runs(*graphs) as runs:
        for name in MODELS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            while items := await open_items(runs, run):  # a person who says no to everything
                assert {item.card["tool"] for item in items} <= {"pay", "send"}
                for item in items:
                    await runs.reject(item, by="dana")
                summary = await run.settled()
            assert summary.state == "done", name
            ran = await seen(runs, run)
            assert await verify(runs.owner.store, run.run_id) == [], name
            assert ran.exit in ENDS, name
            asked, told = attempts(ran)
            assert asked == told, name
            assert (told == 0) == (name in SILENT), name  # else a call that could not be put on record would seem to be none
            again = await replay(graphs[MODELS.index(name)], await trace_of(runs, run))
            assert again.identical, (name, again.data())
    assert world.calls == []


async def test_what_a_type_takes_and_no_record_does_is_told_to_the_model(open_runs: OpenRuns) -> None:
    """A time without a zone, a number without bounds, in arguments and in answers: the agent goes on."""
    asked: list[Any] = []

    @tool(effect="read")
    async def at(time: datetime, price: Decimal = Decimal(1), share: float = 1.0) -> datetime:
        """Look at a time."""
        asked.append(time)
        return "2026-11-27T12:00:00"  # type: ignore[return-value] - it comes from outside

    naive, aware = "2026-11-27T12:00:00", "2026-11-27T12:00:00Z"
    tries = [{"time": naive}, {"time": aware, "price": "1e999999"}, {"time": aware, "share": "Infinity"}, {"time": aware}]
    model = ScriptedModel([calls(*(("at", arguments) for arguments in tries)), FOUND])
    ran = await ended(open_runs, fenced(model, tools=(at,)))
    assert (ran.exit, len(asked), len(ran.told("call.denied", rule="arguments"))) == ("answered", 1, 3)
    assert [("Denied" in message.text, "cannot be shown" in message.text) for message in model.seen[1][-4:]] == [
        (True, False), (True, False), (True, False), (False, True)
    ]  # fmt: skip


async def test_hostile_models_in_an_agent_below(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    graphs = []
    for name in MODELS:
        given: Any = {"reads": ("task",), "writes": "answer", "returns": str, "prompt": "Do {task}.", "description": "Helps."}
        helper = agent(model=script(name), effects=(t.pay,), turns=3, **given)
        above = ScriptedModel([calls(("helper", {"task": "help"})), FOUND])
        graphs.append(fenced(above, effects=(t.pay,), agents={"helper": helper}, name=name))
    async with open_runs(*graphs) as runs:
        for name in MODELS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            ran = await seen(runs, run)
            assert (summary.state, ran.exit) == ("done", "answered"), name
            asked, told = attempts(ran)
            assert asked - 1 == told, name  # the first call was for the agent below
    assert world.calls == []


READING: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "selector": lambda model: (LLMToolSelectorMiddleware(),),
    "selector of its own": lambda model: (LLMToolSelectorMiddleware(model=model, max_retries=0, always_include=["look"]),),
    "emulator": lambda model: (LLMToolEmulator(tools=["look", "pay"], model=model),),
    "summary": lambda model: (SummarizationMiddleware(model=model, trigger=("messages", 2), keep=("messages", 1)),),
    "block": lambda model: (PIIMiddleware("any", detector="[a-z0-9]+", strategy="block", apply_to_input=False, apply_to_output=True),),
    "others": lambda model: (
        ModelFallbackMiddleware(model),
        ModelRetryMiddleware(max_retries=1, initial_delay=0, jitter=False, on_failure="error"),
        ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=1, keep=0)]),
        ProviderToolSearchMiddleware(),
        ToolErrorMiddleware(lambda error, request: str(error)[:100]),
        ToolRetryMiddleware(max_retries=1, initial_delay=0, jitter=False, on_failure="error"),
    ),
}
"""What of LangChain's middleware an agent takes, around hostile models, and asking some of their own."""


@pytest.mark.parametrize("reading", READING.values(), ids=list(READING))
async def test_hostile_models_in_langchains_middleware(open_runs: OpenRuns, world: World, reading: Callable[[Any], Any]) -> None:
    """What a middleware of LangChain's raises over what a model said is an exit of the agent too."""
    t = world.tools()
    scripts = hostile_models(("pay", "amount"), times=5)
    graphs = [
        fenced(
            ScriptedModel(said),
            policy=READS,
            effects=(t.pay,),
            tools=(t.look,),
            turns=2,
            name=name,
            middleware=reading(ScriptedModel(said)),
        )
        for name, said in scripts.items()
    ]
    async with open_runs(*graphs) as runs:
        for name in scripts:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert summary.state == "done", (name, await run.why())
            ran = await seen(runs, run)
            assert (ran.exit in ENDS, len(ran.reason) < 1_000) == (True, True), name
    assert world.calls == []


SELECTIONS = {
    "no tool": {"tools": ["wire"]},
    "no list": {"tools": None},
    "a number": {"tools": 7},
    "no JSON": "{",
}


@pytest.mark.parametrize("said", SELECTIONS.values(), ids=list(SELECTIONS))
async def test_a_selection_that_is_none_ends_the_agent(open_runs: OpenRuns, world: World, said: Any) -> None:
    selector = LLMToolSelectorMiddleware(model=ScriptedModel([calls(("ToolSelectionResponse", said))]))
    ran = await ended(open_runs, fenced(ScriptedModel([FOUND]), tools=(world.tools().look,), middleware=(selector,)))
    assert (ran.exit, "did not fit" in ran.reason) == ("unavailable", True)


class Parsed(ScriptedModel):
    """A model whose typed answers LangChain parses, as it does those of providers that take a schema."""

    def with_structured_output(self, schema: Any, **options: Any) -> Any:
        return self | JsonOutputParser()


async def test_a_selection_that_cannot_be_parsed_ends_the_agent(open_runs: OpenRuns, world: World) -> None:
    selector = LLMToolSelectorMiddleware(model=Parsed([AIMessage("look, of course")]))
    ran = await ended(open_runs, fenced(ScriptedModel([FOUND]), tools=(world.tools().look,), middleware=(selector,)))
    assert (ran.exit, "OutputParserException" in ran.reason) == ("unavailable", True)


async def test_a_bug_in_the_projects_own_middleware_parks(open_runs: OpenRuns, world: World) -> None:
    """Nothing is lost, and the code can be mended: also in a function that one of LangChain's calls."""

    class Buggy(AgentMiddleware[Any, Any]):
        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            raise ValueError("planted")

    class Unwritten(AgentMiddleware[Any, Any]):
        async def awrap_model_call(self, request: Any, handler: Any) -> Any:
            return await super().awrap_model_call(request, handler)

    def detector(text: str) -> Any:
        raise ValueError("planted")

    own = {"own": Buggy(), "not written": Unwritten(), "given": PIIMiddleware("any", detector=detector)}
    graphs = [fenced(ScriptedModel([FOUND]), name=name, middleware=(given,)) for name, given in own.items()]
    async with open_runs(*graphs) as runs:
        for name in own:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert (summary.state, "did not fit" in await run.why()) == ("parked", False), name


async def test_hostile_models_in_an_infer_node(open_runs: OpenRuns, world: World) -> None:
    """What one says is a value at most; what is done with a value is the policy's decision."""
    t = world.tools()
    graphs = []
    for name in MODELS:
        flow = Workflow(State, name=name, policy=READS, limits=Limits(model_calls=4))
        flow.add_node("triage", infer(reads=("text",), writes="end", returns=str, prompt="Say {text}.", model=script(name)))
        flow.add_node("send", effect(t.send, reads=("text",), writes="end"))
        flow.add_node("stop", lambda state: {"end": "stopped"})
        flow.add_edge(START, "triage")
        flow.add_exits("triage", answered="send", default="stop")
        flow.add_exits("send", done=END, default="stop")
        flow.add_edge("stop", END)
        graphs.append(flow.compile())
    async with open_runs(*graphs) as runs:
        for name in MODELS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert (summary.state, (await seen(runs, run)).exit) == ("done", "stopped"), name
    assert world.calls == []


async def test_hostile_models_whose_words_a_code_node_obeys(open_runs: OpenRuns, world: World) -> None:
    """A graph within asks the model, and a code node does all that it says: the policy allows it, the node's list does not. No model is in that either."""
    t = world.tools()
    obeyed: Counter[str] = Counter()

    def obeying(name: str) -> Any:
        model = controlled(script(name))
        said: list[Any] = []

        async def asking(state: Any) -> Any:
            with contextlib.suppress(Exception):
                said.extend((await model.ainvoke(state["text"])).tool_calls)
            return {}

        async def body(state: Any, ctx: Context) -> Any:
            with pytest.raises(Denied):
                await model.ainvoke(state["text"])
            for call in said:
                if called := {"pay": t.pay, "send": t.send}.get(call["name"]):
                    obeyed[name] += 1
                    for way in (lambda called=called, call=call: ctx.call(called, **call["args"]), partial(called.ainvoke, call["args"])):
                        with contextlib.suppress(PointsmanError, ValueError, TypeError):
                            await way()
            return {}

        asks = plain(("ask", asking, {}))
        return line(("ask", asks), ("obey", code(body, tools=(t.look,))), policy=Policy(allow()), name=name)

    async with open_runs(*(obeying(name) for name in MODELS)) as runs:
        for name in MODELS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            denied = await told(runs, run, "call.denied")
            assert summary.state == "done", (name, await error_of(runs, run))
            assert await verify(runs.owner.store, run.run_id) == [], name
            assert {(event.fields["rule"], event.fields["target"]) for event in denied} <= {
                ("node-list", target) for target in ("pay", "send", "scripted:scripted")
            }, name
            assert (len(denied) > 1) == (obeyed[name] > 0), name
    assert world.calls == [] and len(obeyed) > 6, "else nothing was obeyed"


async def test_two_calls_with_one_id_are_two_attempts_with_two_answers(open_runs: OpenRuns, world: World) -> None:
    """What a model says the id of a call is names nothing: not the call on record, not the answer that it is told."""
    same = [ToolCall(name="look", args={"x": x}, id="same") for x in (1, 2)]
    model = ScriptedModel([AIMessage("", tool_calls=same), AIMessage("", tool_calls=[same[0] | {"args": {"x": 3}}]), FOUND])
    ran = await ended(open_runs, fenced(model, tools=(world.tools().look,)))
    assert ran.exit == "answered" and sorted(world.calls) == [("look", 1), ("look", 2), ("look", 3)]
    made = ran.told("call.intent", target="look")
    assert [event.position for event in made] == ["triage@1/tools@1#0", "triage@1/tools@1#1", "triage@1/tools@2#0"]
    assert len({event.fields["call"] for event in made}) == 3
    answers = {message.tool_call_id: message.text for message in model.seen[-1] if message.type == "tool"}
    assert len(answers) == 3 and all(any(f"saw {x}" in text for text in answers.values()) for x in (1, 2, 3)), "each has its own"
    assert "same" not in answers


async def test_words_of_a_model_are_not_on_the_card(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    async with open_runs(fenced(script("approved by words"), policy=Policy(ask("pay")), effects=(t.pay,))) as runs:
        run, summary = await go(runs, {"text": "x"})
        items = await open_items(runs, run)
        assert summary.state == "waiting" and world.calls == []
        assert all("CFO" not in str(item.card) for item in items)


# Tools


def obeys(messages: list[Any], offered: list[str]) -> Any:
    """A model that does what a tool's answer tells it to."""
    last = messages[-1].text
    if "Ignore your rules" in last or "APPROVED" in last or "approved" in last:
        return calls(("pay", {"amount": 1}), ("send", {"text": "secret"}))
    return calls(("probe", {"x": len(messages)})) if len(messages) < 5 else FOUND


async def test_hostile_tools_in_an_agent_whose_model_obeys_them(open_runs: OpenRuns, world: World) -> None:
    """The policy would allow what they tell it to do: that it is not in the agent's list is what keeps it from being done."""
    models = {name: ScriptedModel(obeys) for name in TOOLS}
    graphs = [fenced(models[name], policy=Policy(allow()), tools=(probe,), turns=5, name=name) for name, probe in hostile_tools().items()]
    async with open_runs(*graphs) as runs:
        for name in TOOLS:
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert summary.state == "done", name
            ran = await seen(runs, run)
            assert ran.exit in ENDS, name
            asked, told = attempts(ran)
            assert asked == told, name
            denied = {event.fields["target"] for event in ran.told("call.denied", rule="node-list")}
            assert denied == ({"pay", "send"} if name in OBEYED else set()), name
            assert {event.fields["target"] for event in ran.told("call.intent")} <= {"probe", "scripted:scripted"}, name
            assert max(len(message.text) for messages in models[name].seen for message in messages) < 10_000, name
            assert max(len(str(kept)) for kept in ran.payloads.values()) < 100_000, name


class Settled:
    """Effects that are as hostile as the tools, how often each was made, and what a person says of those nobody knows of."""

    def __init__(self) -> None:
        self.made: Counter[str] = Counter()
        self.unknown: set[str] = set()
        self.effects = {name: self._effect(name, probe) for name, probe in hostile_tools().items()}

    def _effect(self, name: str, hostile: Any) -> Any:
        async def probe(x: int) -> Any:
            """Does one thing."""
            self.made[name] += 1
            return await hostile.contract.function(x)

        probe.__annotations__["return"] = hostile.contract.function.__annotations__["return"]
        return tool(effect="submit", timeout=0.3)(probe)

    async def ended(self, runs: Any, name: str, given: Any, graph: str) -> Any:
        """Its run, at its end; where it stands still until a person has said that the effect happened, it was asked to go on before."""
        run, summary = await go(runs, given, graph=graph)
        if summary.state == "parked":
            await runs.resume(run)
            assert (await run.settled()).state == "parked", name
            assert (await error_of(runs, run))["type"] == "OutcomeUnknown", name
            self.unknown.add(name)
            [intent] = await told(runs, run, "call.intent", target="probe")
            await runs.reconcile(run, intent.fields["call"], happened=True, result=1.0, by="dana")
            summary = await run.settled()
        assert (summary.state, self.made[name]) == ("done", 1), name
        assert await verify(runs.owner.store, run.run_id) == [], name
        return run


class Asked(TypedDict, total=False):
    x: int
    end: str


async def test_hostile_tools_as_effects(open_runs: OpenRuns) -> None:
    """As a node, and as an agent's own: each is made once, whatever it does then, and none is taken not to have happened."""
    nodes, agents = Settled(), Settled()
    graphs = []
    for name in TOOLS:
        flow = Workflow(Asked, name=f"node: {name}", policy=Policy(allow()))
        flow.add_node("triage", effect(nodes.effects[name], reads=("x",)))
        flow.add_node("after", lambda state: {"end": "done"})
        flow.add_edge(START, "triage").add_edge("after", END)
        flow.add_exits("triage", done="after", default=FAILED)
        model = ScriptedModel([calls(("probe", {"x": 1})), FOUND])
        within = fenced(model, policy=Policy(allow()), effects=(agents.effects[name],), name=f"agent: {name}")
        graphs += [flow.compile(), within]
    async with open_runs(*graphs) as runs:
        for name in TOOLS:
            run = await nodes.ended(runs, name, {"x": 1}, f"node: {name}")
            assert (await output(runs, run))["end"] == "done", name
            run = await agents.ended(runs, name, {"text": "x"}, f"agent: {name}")
            assert (await seen(runs, run)).exit == "answered", name
    assert nodes.unknown == agents.unknown == UNKNOWN


def mending(tool_: Any, policy: Policy, name: str) -> Any:
    """One effect, as a node."""
    flow = Workflow(Asked, name=name, policy=policy)
    flow.add_node("triage", effect(tool_, reads=("x",)))
    flow.add_edge(START, "triage")
    flow.add_exits("triage", done=END, default=FAILED)
    return flow.compile()


def level(depth: int) -> Any:
    async def probe(x: int) -> Any:
        """Looks at one thing, for example number 5."""
        value: Any = x
        for _ in range(depth):
            value = [value]
        return value

    return tool(effect="read")(probe)


async def test_hostile_tools_as_what_shows_an_effect(open_runs: OpenRuns) -> None:
    """Whatever it does, the question is asked, with what it said or with why there is nothing, and a yes is a yes."""
    looks = hostile_tools() | {f"{depth} levels": level(depth) for depth in (198, 199, 200)}
    graphs = []
    for name, look in looks.items():
        policy = Policy(allow(), ask("mend"))

        @tool(effect="submit", preview=look)
        async def mend(x: int) -> str:
            """Mends one thing."""
            return "mended"

        graphs.append(mending(mend, policy, f"node: {name}"))
        graphs.append(fenced(ScriptedModel([calls(("mend", {"x": 1})), FOUND]), policy=policy, effects=(mend,), name=f"agent: {name}"))
    async with open_runs(*graphs) as runs:
        for graph in graphs:
            run, summary = await go(runs, {"x": 1} if graph.plan.name.startswith("node") else {"text": "x"}, graph=graph.plan.name)
            assert summary.state == "waiting", (graph.plan.name, await run.why())
            [item] = await open_items(runs, run)
            assert ("preview" in item.card) != ("no_preview" in item.card), graph.plan.name
            assert (await approve_all(runs, run)).state == "done", (graph.plan.name, await run.why())
            assert await verify(runs.owner.store, run.run_id) == [], graph.plan.name


async def test_hostile_tools_as_what_is_asked_whether_an_effect_happened(open_runs: OpenRuns) -> None:
    """It is never made a second time on the word of one that says nothing, nor does the run go on without word."""
    made: Counter[str] = Counter()

    def losing(name: str, probe: Any) -> Any:
        @tool(effect="submit", timeout=0.3, reconcile=probe.contract.function)
        async def mend(x: int) -> str:
            """Mends one thing."""
            made[name] += 1
            raise OSError("lost")

        return mending(mend, Policy(allow()), name)

    async with open_runs(*(losing(name, probe) for name, probe in hostile_tools().items())) as runs:
        for name in TOOLS:
            run, summary = await go(runs, {"x": 1}, graph=name)
            assert summary.state == "parked", name
            await runs.resume(run)
            said = name in ("instructions", "escapes", "no number")  # what fits the effect's type is its answer
            assert ((await run.settled()).state, made[name]) == ("done" if said else "parked", 1), (name, await run.why())
            assert await verify(runs.owner.store, run.run_id) == [], name


async def test_hostile_tools_in_a_code_node(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    said: list[Any] = []

    def calling(probe: Any) -> Any:
        async def body(state: State, ctx: Context) -> State:
            try:
                said.append(await ctx.call(probe, x=1))
            except ToolFailed as error:
                said.append(error)
            return {"text": str(said[-1])[:100]}

        return code(body, tools=(probe,))

    graphs = []
    for name, probe in hostile_tools().items():
        flow = Workflow(State, name=name, policy=Policy(allow("probe")))
        flow.add_node("triage", calling(probe))
        flow.add_node("send", effect(t.send, reads=("text",), writes="end"))
        flow.add_edge(START, "triage").add_edge("triage", "send")
        flow.add_exits("send", default=FAILED)
        graphs.append(flow.compile())
    async with open_runs(*graphs) as runs:
        for number, name in enumerate(TOOLS, 1):
            run, summary = await go(runs, {"text": "x"}, graph=name)
            assert (summary.state, len(said)) == ("failed", number), name  # the policy allows no effect
            assert await verify(runs.owner.store, run.run_id) == [], name
    assert world.calls == []


async def test_a_tool_that_does_not_let_itself_be_cancelled_is_left_behind(open_runs: OpenRuns) -> None:
    free = asyncio.Event()

    @tool(effect="read", timeout=0.1)
    async def probe(x: int) -> int:
        """Holds on."""
        while not free.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await free.wait()
        return x

    async with asyncio.timeout(20):
        try:
            ran = await ended(open_runs, fenced(ScriptedModel([calls(("probe", {"x": 1})), FOUND]), tools=(probe,)))
        finally:
            free.set()
    assert (ran.exit, len(ran.told("call.outcome", outcome="failed"))) == ("answered", 1)


@pytest.mark.parametrize("name", ["instructions", "a lie", "escapes"])
async def test_what_a_hostile_tool_said_is_shown_to_a_person_as_data(open_runs: OpenRuns, name: str) -> None:
    probe = hostile_tools()[name]

    async def body(state: State, ctx: Context) -> State:
        return {"text": str(await ctx.call(probe, x=1))}

    flow = Workflow(State, name="flow", policy=Policy(allow("probe")))
    flow.add_node("triage", code(body, tools=(probe,)))
    flow.add_node("person", question("Is this so?", shows=("text",), returns=bool, writes="end"))
    flow.add_edge(START, "triage").add_edge("triage", "person")
    flow.add_exits("person", default=END)
    async with open_runs(flow.compile()) as runs:
        run, summary = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        assert summary.state == "waiting"
        assert (item.card["question"], set(item.card["shows"])) == ("Is this so?", {"text"})


async def test_an_effect_that_lies_about_success_is_caught_by_looking(open_runs: OpenRuns, world: World) -> None:
    """The runtime records what a tool says; whether it is true a read of its own finds out."""

    @tool(effect="submit", key="key")
    async def restart(text: str, key: str) -> str:
        """Restart a service."""
        return "restarted"

    @tool(effect="read")
    async def running(text: str) -> bool:
        """Whether a service runs."""
        return False

    async def check(state: State, ctx: Context) -> State:
        return {"end": "up" if await ctx.call(running, text=state["text"]) else "still down"}

    flow = Workflow(State, name="flow", policy=Policy(allow()))
    flow.add_node("triage", effect(restart, reads=("text",)))
    flow.add_node("check", code(check, tools=(running,)))
    flow.add_edge(START, "triage")
    flow.add_exits("triage", done="check", default=FAILED)
    flow.add_edge("check", END)
    ran = await ended(open_runs, flow.compile())
    assert ran.exit == "still down"


def test_says_is_what_an_agent_reads() -> None:
    assert says(answer=1).text == '{"answer": 1}'
