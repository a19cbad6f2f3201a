"""A model that decides the next step, inside its fence: each way it can end, and how it goes on after a stop."""

import asyncio
import math
from collections import Counter
from contextlib import aclosing
from typing import Any

import pytest
from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    PIIMiddleware,
    SummarizationMiddleware,
    TodoListMiddleware,
    ToolRetryMiddleware,
    wrap_model_call,
    wrap_tool_call,
)
from langchain_core.messages import AIMessage
from langgraph.types import RetryPolicy

from pointsman import Limits, Policy, allow, arg, ask, deny, tool
from pointsman.cli.page import page
from pointsman.cli.telling import tell
from pointsman.errors import BadInput, ModelBusy, ToolFailed
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.testing import Act, OpenAIServer, ScriptedModel, answer, calls, says
from tests.acceptance.fenced import FOUND, ended, fenced, seen, triage
from tests.acceptance.world import OpenRuns, World, approve_all, go, open_items, output, printed, told

pytestmark = pytest.mark.anyio


async def test_an_answer_after_tools(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel([calls(("look", {"x": 1}), ("peek", {"x": 2})), calls(("look", {"x": 3})), FOUND])
    ran = await ended(open_runs, fenced(model, tools=(t.look, t.peek)), {"text": "slow checkout", "end": "s3cret-4711"})
    assert (ran.exit, ran.by, ran.out["finding"]) == ("answered", "model", {"cause": "disk", "sure": True})
    assert "s3cret-4711" not in str(model.seen), "only the fields that it reads are sent"
    assert sorted(world.calls) == [("look", 1), ("look", 3), ("peek", 2)]
    assert len(model.seen) == 3


@pytest.mark.parametrize(("line", "exit", "why"), [
    (says(abstain="two causes fit"), "abstained", "two causes fit"),
    (says(needs_person="restart it"), "needs_person", "restart it"),
])  # fmt: skip
async def test_its_model_says_why_there_is_no_answer(open_runs: OpenRuns, line: AIMessage, exit: str, why: str) -> None:
    ran = await ended(open_runs, fenced(ScriptedModel([line])))
    assert (ran.exit, ran.reason, ran.by) == (exit, why, "model")


async def test_parallel_calls_that_ask_are_answered_each_for_itself(open_runs: OpenRuns, world: World) -> None:
    """Three calls ask, one of them twice: each decision goes to its own call, what is decided runs once, the model is not asked again."""
    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1}), ("look", {"x": 7}), ("pay", {"amount": 2}), ("pay", {"amount": 1})), FOUND])
    graph = fenced(model, policy=Policy(allow(), ask("pay")), tools=(t.look,), effects=(t.pay,))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert summary.state == "waiting"
        assert world.calls == [("look", 7)]
        items = await open_items(runs, run)
        assert sorted(item.card["arguments"]["amount"] for item in items) == [1, 1, 2]
        assert {item.card["node"] for item in items} == {"triage"}
        two = next(item for item in items if item.card["arguments"]["amount"] == 2)
        await runs.approve(two, by="dana")
        assert (await run.settled()).state == "waiting"
        assert world.asked("pay") == [2]
        one = (await open_items(runs, run))[0]
        await runs.reject(one, by="dana", note="no")
        assert (await run.settled()).state == "waiting"
        assert (await approve_all(runs, run)).state == "done"
        assert world.asked("pay") == [2, 1]
        assert world.asked("look") == [7]
        assert len(model.seen) == 2
        observed = [message for message in model.seen[1] if message.type == "tool"]
        assert [message.status for message in observed].count("error") == 1
        assert (await output(runs, run))["end"] == "answered"
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()
        assert (len(model.seen), world.asked("pay")) == (2, [2, 1])
        shown = printed(page(tell(await run.summary(), await runs.events(run), await runs.payloads(run))))
    assert "scripted asked for pay {amount: 1}, look {x: 7}, pay {amount: 2}, pay {amount: 1}" in shown
    assert "not finished" not in shown, "the turns of an agent have no end of their own"
    assert "tries" not in shown, "going on after an answer is no new try"


async def test_a_yes_that_comes_while_a_sibling_works_is_not_missed(open_runs: OpenRuns, world: World) -> None:
    """The step that asked has stopped by then, and nobody will say anything more: the run goes on all the same."""
    t = world.tools()

    @tool(effect="submit")
    async def slow(x: int) -> str:
        """Takes so long that somebody decides on the other call meanwhile."""
        await asyncio.sleep(0.3)  # the other call's step stops within it
        await runs.approve(second, by="dana")
        return "done"

    model = ScriptedModel([calls(("slow", {"x": 1}), ("pay", {"amount": 2})), FOUND])
    async with open_runs(fenced(model, policy=Policy(allow(), ask("pay"), ask("slow")), effects=(slow, t.pay))) as runs:
        run, _ = await go(runs, {"text": "x"})
        first, second = sorted(await open_items(runs, run), key=lambda item: str(item.card["tool"]), reverse=True)
        await runs.approve(first, by="dana")
        assert ((await run.settled()).state, world.asked("pay")) == ("done", [2])


async def test_studio_sees_the_inside(world: World) -> None:
    graph = fenced(ScriptedModel([FOUND]), tools=(world.tools().look,)).get_graph(xray=True)
    assert {"triage:model", "triage:tools"} <= set(graph.nodes)


async def test_tokens_arrive_while_the_model_speaks(open_runs: OpenRuns, world: World) -> None:
    model = ScriptedModel([calls(("look", {"x": 1}), text="let me look"), FOUND])
    graph = fenced(model, tools=(world.tools().look,))
    async with open_runs(graph):
        config = {"configurable": {"thread_id": "t"}}
        parts = [part async for part in graph.astream({"text": "x"}, config, stream_mode="messages", subgraphs=True)]
    texts = [message.text for _, (message, about) in parts if about["langgraph_node"] == "model"]
    assert "".join(texts).startswith("let me look ")
    assert len(texts) > 3


# The exits that rules decide


async def test_without_a_model_it_is_unavailable(open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, why in ((None, "POINTSMAN_MODEL"), ("some model", "names no model")):
        if name is not None:
            monkeypatch.setenv("POINTSMAN_MODEL", name)
        ran = await ended(open_runs, fenced(None))
        assert (ran.exit, ran.told("call.intent"), why in ran.reason) == ("unavailable", [], True)


async def test_a_busy_provider_is_asked_once_more_and_then_it_is_unavailable(open_runs: OpenRuns) -> None:
    busy = ModelBusy("too many")
    busy.retry_after = 0.0
    model = ScriptedModel([busy])
    ran = await ended(open_runs, fenced(model))
    assert (ran.exit, len(model.seen)) == ("unavailable", 2)
    # A second later it answers.
    tries = iter([busy, FOUND])
    ran = await ended(open_runs, fenced(ScriptedModel(lambda *_: next(tries))))
    assert ran.exit == "answered"


async def test_an_answer_that_does_not_fit_is_repaired_once(open_runs: OpenRuns) -> None:
    """(c) Typed, one repair, then an exit."""
    good = ScriptedModel([AIMessage("the disk"), FOUND])
    ran = await ended(open_runs, fenced(good))
    assert (ran.exit, len(good.seen)) == ("answered", 2)
    assert "That does not fit" in good.seen[1][-1].text
    bad = ScriptedModel([AIMessage("the disk")])
    ran = await ended(open_runs, fenced(bad))
    assert (ran.exit, len(bad.seen)) == ("unavailable", 2)


async def test_a_refusal_of_the_model_is_an_abstention(open_runs: OpenRuns) -> None:
    ran = await ended(open_runs, fenced(ScriptedModel([AIMessage("", additional_kwargs={"refusal": "I cannot help"})])))
    assert (ran.exit, ran.reason) == ("abstained", "the model refused: I cannot help")


async def test_its_model_must_be_allowed(open_runs: OpenRuns) -> None:
    model = ScriptedModel([FOUND])
    ran = await ended(open_runs, fenced(model, policy=Policy(deny(effect=("model",)))))
    assert (ran.exit, model.seen) == ("denied", [])


async def test_three_turns_that_are_only_denied_end_it_as_denied(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel(lambda messages, _: calls(("pay", {"amount": len(messages)})))
    ran = await ended(open_runs, fenced(model, effects=(t.pay,)))
    assert (ran.exit, ran.by, world.calls) == ("denied", "rule", [])
    assert len(ran.told("call.denied", rule="default-effect")) == 3


async def test_three_turns_that_only_fail_end_it_as_tool_failure(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    world.broken = {("look", x) for x in range(20)}
    model = ScriptedModel(lambda messages, _: calls(("look", {"x": len(messages)})))
    ran = await ended(open_runs, fenced(model, tools=(t.look,)))
    assert (ran.exit, len(ran.told("call.outcome", outcome="failed"))) == ("tool_failure", 3)
    assert "planted" in str(model.seen[1][-1].content)


# It goes on where it was


async def test_a_paused_agent_goes_on_with_its_last_turn(open_runs: OpenRuns, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """(h) What an approval interrupts is continued: the turns before are not asked again, and count as what they cost, not as what they could have cost."""
    t = world.tools()
    with OpenAIServer(
        [*(Act(tool_calls=(call,)) for call in (("look", '{"x": 1}'), ("pay", '{"amount": 5}'))), answer({"cause": "disk"})]
    ) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        options = {"policy": Policy(allow(), ask("pay")), "tools": (t.look,), "effects": (t.pay,), "limits": Limits(tokens=9_000)}
        graph = fenced("openai:acted", **options)
        async with open_runs(graph) as runs:
            run, summary = await go(runs, {"text": "x"})
            assert (summary.state, len(server.seen)) == ("waiting", 2)
        async with open_runs(graph) as runs:  # another process would do the same
            run = await runs.get(run.run_id)
            assert (await approve_all(runs, run)).state == "done"
            turns = await told(runs, run, "call.intent", effect="model")
            assert (await output(runs, run))["end"] == "answered"
    assert [event.position for event in turns] == ["triage@1/model@1", "triage@1/model@2", "triage@1/model@3"]
    assert sum(event.fields["reserve"]["tokens"] for event in turns) > 9_000
    assert (world.calls, len(server.seen)) == ([("look", 1), ("pay", 5)], 3)


async def test_visits_that_called_nothing_count_on_after_a_pause(open_runs: OpenRuns, world: World) -> None:
    """Else what a middleware does stands at another position than without the pause, and a rerun, which makes none, would do it again."""
    t = world.tools()

    class Late(AgentMiddleware):
        async def abefore_model(self, state: Any, runtime: Any) -> None:
            if len(state["messages"]) > 3:  # at the third visit
                await t.pay.ainvoke({"amount": 7})

    model = ScriptedModel([calls(("look", {"x": 1})), calls(("pay", {"amount": 5})), FOUND])
    policy = Policy(allow(), ask("pay", when=arg("amount") == 5))
    async with open_runs(fenced(model, policy=policy, tools=(t.look,), effects=(t.pay,), middleware=(Late(),))) as runs:
        run, _ = await go(runs, {"text": "x"})
        assert (await approve_all(runs, run)).state == "done"
        assert (await told(runs, run, "call.intent"))[-2].position == "triage@1/Late.before_model@3"
        await runs.rerun(run, node="triage", by="lee", reason="once more")
        assert ((await run.settled()).state, world.asked("pay")) == ("done", [5, 7])


async def test_a_node_that_is_tried_again_does_not_ask_again_what_it_knows(open_runs: OpenRuns, world: World) -> None:
    class Stumble(AgentMiddleware):
        stumbled = False

        async def abefore_model(self, state: Any, runtime: Any) -> None:
            if len(state["messages"]) > 1 and not Stumble.stumbled:
                Stumble.stumbled = True
                raise ValueError("planted")

    model = ScriptedModel([calls(("look", {"x": 1})), FOUND])
    graph = fenced(
        model,
        tools=(world.tools().look,),
        middleware=(Stumble(),),
        retry=RetryPolicy(max_attempts=2, initial_interval=0.0, retry_on=ValueError),
    )
    ran = await ended(open_runs, graph)
    assert (ran.exit, world.calls, len(model.seen)) == ("answered", [("look", 1)], 2)


async def test_a_rerun_gives_its_calls_again(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel([calls(("look", {"x": 1}), ("pay", {"amount": 3})), FOUND])
    graph = fenced(model, policy=Policy(allow()), tools=(t.look,), effects=(t.pay,))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        await runs.rerun(run, node="triage", by="lee", reason="once more")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["end"] == "answered"
        shown = printed(page(tell(await run.summary(), await runs.events(run), await runs.payloads(run))))
    assert (world.calls, len(model.seen)) == ([("look", 1), ("pay", 3)], 2)
    assert shown.count("given again, not repeated") == 4
    assert "messages:" not in shown, "what a model was not sent is not told"


# LangChain's middleware inside the fence


async def test_retries_of_middleware_count(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    world.broken = {("look", 1)}
    retry = ToolRetryMiddleware(max_retries=9, initial_delay=0, jitter=False, on_failure="error")
    model = ScriptedModel([calls(("look", {"x": 1})), FOUND])
    ran = await ended(open_runs, fenced(model, tools=(t.look,), middleware=(retry,), limits=Limits(tool_calls=3)))
    assert (ran.exit, world.count("look"), len(ran.told("limit.reached"))) == ("answered", 3, 7)


async def test_retries_of_the_model_count(open_runs: OpenRuns) -> None:
    retry = ModelRetryMiddleware(max_retries=9, initial_delay=0, jitter=False)
    terms: Any = {"limits": Limits(model_calls=3)}, {"turns": 2, "retries": 0}  # else (turns + 1) × (retries + 1) in one execution
    for options in terms:
        model = ScriptedModel([ValueError("planted")])
        ran = await ended(open_runs, fenced(model, middleware=(retry,), **options))
        assert (ran.exit, len(model.seen)) == ("limit", 3)


async def test_parallel_calls_keep_their_places(open_runs: OpenRuns, world: World) -> None:
    """What comes back is told in the order of the calls, each under its own id, whoever is slow, fails or is refused."""
    world.delay = lambda x: 0.2 if x == 1 else 0.0
    world.broken = {("look", 2)}
    asked = [("look", {"x": 1}), ("look", {"x": 2}), ("wire", {}), ("look", {"x": 3}), ("look", "{")]
    model = ScriptedModel([calls(*asked), FOUND])
    ran = await ended(open_runs, fenced(model, tools=(world.tools().look,)))
    observed = [message for message in model.seen[1] if message.type == "tool"]
    assert [message.tool_call_id for message in observed] == [call["id"] for call in model.seen[1][2].tool_calls]
    assert [
        next(word for word in ("saw 1", "planted", "not in the list", "saw 3", "no JSON") if word in message.text) for message in observed
    ] == ["saw 1", "planted", "not in the list", "saw 3", "no JSON"]
    assert (ran.exit, len({event.fields["call"] for event in ran.told("call.intent")})) == ("answered", 5)


async def test_a_fallback_model_is_behind_the_gateway_too(open_runs: OpenRuns) -> None:
    second = ScriptedModel([FOUND], name_="second")
    ran = await ended(open_runs, fenced(ScriptedModel([ValueError("planted")]), middleware=(ModelFallbackMiddleware(second),)))
    assert ran.exit == "answered"
    assert [event.fields["target"] for event in ran.told("call.intent")] == ["scripted:scripted", "scripted:second"]


async def test_a_summary_is_a_call_that_counts(open_runs: OpenRuns, world: World) -> None:
    short = ScriptedModel([AIMessage("they looked")], name_="short")
    turns = ScriptedModel(lambda messages, _: FOUND if "summary" in str(messages) else calls(("look", {"x": len(messages)})))
    summary = SummarizationMiddleware(model=short, trigger=("messages", 4), keep=("messages", 1))
    ran = await ended(open_runs, fenced(turns, tools=(world.tools().look,), middleware=(summary,)))
    assert "scripted:short" in {event.fields["target"] for event in ran.told("call.intent")}
    assert ran.exit == "answered"


async def test_what_is_kept_from_the_model_is_kept_from_it(open_runs: OpenRuns) -> None:
    model = ScriptedModel([FOUND])
    ran = await ended(open_runs, fenced(model, middleware=(PIIMiddleware("email", strategy="redact"),)), {"text": "ask dana@example.org"})
    assert ran.exit == "answered"
    assert "dana@example.org" not in str(model.seen)


async def test_a_jump_to_the_tools_meets_the_same_gate(open_runs: OpenRuns, world: World) -> None:
    """langchain#40492: a middleware that jumps to the tools executed calls that a person had rejected."""
    from langchain.agents.middleware import hook_config

    class Jump(AgentMiddleware):
        @hook_config(can_jump_to=["tools"])
        async def aafter_model(self, state: Any, runtime: Any) -> Any:
            return {"jump_to": "tools"} if state["messages"][-1].tool_calls else None

    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1}), ("pay", {"amount": 2})), FOUND])
    graph = fenced(model, policy=Policy(allow(), ask("pay")), effects=(t.pay,), middleware=(Jump(),))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, world.calls) == ("waiting", [])
        while items := await open_items(runs, run):
            await runs.reject(items[0], by="dana")
            await run.settled()
        ran = await seen(runs, run)
    assert (ran.exit, world.calls, len(ran.told("call.denied", outcome="rejected"))) == ("answered", [], 2)
    told = str(model.seen)
    assert ("Rejected by a person. the call was not made" in told, "dana" in told) == (True, False), "a model hears no person's name"


@pytest.mark.parametrize(("options", "what"), [
    ({"middleware": (HumanInTheLoopMiddleware(interrupt_on={"pay": True}),)}, "HumanInTheLoopMiddleware"),
    ({"middleware": (ModelCallLimitMiddleware(run_limit=1),)}, "ModelCallLimitMiddleware"),
    ({"middleware": (TodoListMiddleware(),)}, "write_todos"),
    ({"middleware": ("x",)}, "no middleware"),
    ({"middleware": (ModelRetryMiddleware(), ModelRetryMiddleware())}, "two middlewares are called ModelRetryMiddleware"),
    ({"middleware": (wrap_tool_call(lambda request, handler: handler(request)),)}, "write it async: awrap_tool_call"),
    ({"middleware": (wrap_model_call(lambda request, handler: handler(request)),)}, "write it async: awrap_model_call"),
    ({"turns": 0}, "turns"),
    ({"turns": math.inf}, "whole numbers"),
    ({"agents": {"helper@1/x": triage(None)}}, "no position can hold"),
    ({"reads": "text"}, "name fields"),
    ({"tools": (len,)}, "no contract"),
    ({"agents": {"x": triage(None)}}, "give a task to"),
])  # fmt: skip
def test_a_declaration_that_cannot_hold_is_refused(options: Any, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        triage(None, **options)


def test_an_effect_is_a_deliberate_act(world: World) -> None:
    """(b) No write class by default, and none by mistake."""
    t = world.tools()
    with pytest.raises(BadInput, match="effects="):
        triage(None, tools=(t.pay,))
    with pytest.raises(BadInput, match="only reads"):
        triage(None, effects=(t.look,))
    with pytest.raises(BadInput, match="twice"):
        triage(None, tools=(t.look, t.look))


async def test_what_was_said_is_whole_after_a_stop(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel([calls(("look", {"x": 1})), calls(("pay", {"amount": 5})), FOUND])
    graph = fenced(model, policy=Policy(allow(), ask("pay")), tools=(t.look,), effects=(t.pay,))
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        await approve_all(runs, run)
    assert [message.type for message in model.seen[-1]] == ["system", "human", "ai", "tool", "ai", "tool"]
    assert model.seen[-1][:4] == model.seen[1]


async def test_a_middleware_that_swallows_its_end_does_not_change_it(open_runs: OpenRuns, world: World) -> None:
    """LangChain's retries of a model catch everything, and go on with the error as an answer."""
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False)
    model = ScriptedModel([calls(("look", {"x": 1}))])
    ran = await ended(open_runs, fenced(model, tools=(world.tools().look,), middleware=(retry,)))
    assert (ran.exit, world.count("look"), len(model.seen)) == ("loop", 2, 3)


async def test_a_middleware_that_goes_round_without_the_model_comes_to_an_end(open_runs: OpenRuns) -> None:
    from langchain.agents.middleware import hook_config

    class Entry(AgentMiddleware):
        async def abefore_model(self, state: Any, runtime: Any) -> None:
            return None

    class Round(AgentMiddleware):
        @hook_config(can_jump_to=["model"])
        async def abefore_model(self, state: Any, runtime: Any) -> Any:
            return {"jump_to": "model"}

    model = ScriptedModel([FOUND])
    ran = await ended(open_runs, fenced(model, middleware=(Entry(), Round()), turns=2))
    assert (ran.exit, model.seen) == ("limit", [])
    assert "supersteps" in ran.reason


async def test_a_question_of_one_call_comes_before_the_end_that_another_brings(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1}), *[("look", {"x": 1})] * 3), FOUND])
    graph = fenced(model, policy=Policy(allow(), ask("pay")), tools=(t.look,), effects=(t.pay,))
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "x"})
        assert (summary.state, world.count("look")) == ("waiting", 2)
        assert (await approve_all(runs, run)).state == "done"
        ran = await seen(runs, run)
    assert (ran.exit, world.count("pay"), world.count("look"), len(model.seen)) == ("loop", 1, 2, 1)


async def test_two_equal_calls_in_one_turn_are_two_calls(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1}), ("pay", {"amount": 1})), FOUND])
    ran = await ended(open_runs, fenced(model, policy=Policy(allow()), effects=(t.pay,)))
    assert (ran.exit, world.calls, len(world.keys)) == ("answered", [("pay", 1), ("pay", 1)], 2)


async def test_a_node_that_is_tried_again_makes_its_failed_call_again(open_runs: OpenRuns, world: World) -> None:
    class Strict(AgentMiddleware):
        async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
            try:
                return await handler(request)
            except ToolFailed as error:
                world.broken = set()
                raise ValueError("strict") from error

    world.broken = {("look", 1)}
    model = ScriptedModel([calls(("look", {"x": 1})), FOUND])
    retry = RetryPolicy(max_attempts=2, initial_interval=0.0, retry_on=ValueError)
    ran = await ended(open_runs, fenced(model, tools=(world.tools().look,), middleware=(Strict(),), retry=retry))
    assert (ran.exit, world.count("look"), len(model.seen)) == ("answered", 2, 2)


async def test_a_stream_without_end_is_left_and_closed(open_runs: OpenRuns) -> None:
    closed: list[bool] = []

    class Endless(ScriptedModel):
        async def _astream(self, *given: Any, **options: Any) -> Any:
            try:
                async with aclosing(super()._astream(*given, **options)) as parts:
                    async for part in parts:
                        yield part
            finally:
                await asyncio.sleep(0.5)  # as a client may that gives its connection back
                closed.append(True)

    graph = fenced(Endless([AIMessage(" ".join(["x" * 100_000] * 200))]))
    async with open_runs(graph) as runs:
        stream = graph.astream({"text": "x"}, {"configurable": {"thread_id": "t"}}, stream_mode="messages", subgraphs=True)
        arrived = [message.text for _, (message, about) in [part async for part in stream] if about["langgraph_node"] == "model"]
        assert closed == [True], "by the call itself, not by a garbage collector some time later"
        (summary,) = await runs.list()
        ran = await seen(runs, await runs.get(summary.run_id))
    assert (ran.exit, sum(map(len, arrived)) < 2_000_000) == ("unavailable", True)


@pytest.mark.parametrize("mode", ["values", "messages"])
async def test_a_refusal_over_http_is_one_whole_or_streamed(open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    with OpenAIServer([Act(content=None, refusal="not that")]) as server:
        monkeypatch.setenv("POINTSMAN_MODEL", "openai:acted")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        graph = fenced(None)
        async with open_runs(graph) as runs:
            parts = graph.astream({"text": "x"}, {"configurable": {"thread_id": "t"}}, stream_mode=mode, subgraphs=True)
            assert [part async for part in parts]
            (summary,) = await runs.list()
            ran = await seen(runs, await runs.get(summary.run_id))
    assert (ran.exit, "not that" in ran.reason) == ("abstained", True)


@pytest.mark.parametrize("mode", ["values", "messages"])
async def test_over_http_whole_or_streamed(open_runs: OpenRuns, world: World, monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    acts = [
        Act(
            tool_calls=(
                ("look", '{"x": 1}'),
                ("look", '{"x": 2}'),
                ("look", '{"x": '),
                ("nowhere", "{}"),
                ("look", '{"x": NaN}'),
                ("look", "[1, 2]"),
                ("look", '"x"'),
                ("look", "7"),
                ("look", "true"),
            ),
            usage={"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10**30},
        ),
        answer({"cause": "disk", "sure": True}),
    ]
    with OpenAIServer(acts) as server:
        monkeypatch.setenv("POINTSMAN_MODEL", "openai:acted")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        graph = fenced(None, tools=(world.tools().look,))
        async with open_runs(graph) as runs:
            parts = graph.astream({"text": "x"}, {"configurable": {"thread_id": "t"}}, stream_mode=mode, subgraphs=True)
            assert [part async for part in parts]
            (summary,) = await runs.list()
            run = await runs.get(summary.run_id)
            ran = await seen(runs, run)
            assert (await replay(graph, await trace_of(runs, run))).identical
    assert (ran.exit, sorted(world.calls), len(server.seen)) == ("answered", [("look", 1), ("look", 2)], 2)
    assert Counter(event.fields["rule"] for event in ran.told("call.denied")) == {"arguments": 6, "node-list": 1}
    told = [message for message in server.seen[1].body["messages"] if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in told] == [f"c0001000{place}" for place in range(9)]
    assert "response_format" not in server.seen[0].body
