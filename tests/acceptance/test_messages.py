"""What is said in a run: messages without an id get one that follows from the step that wrote them, and runs are compared without such ids."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import Command, Overwrite, Send
from pydantic import BaseModel

from pointsman import FAILED, code, question
from pointsman.errors import BadInput
from pointsman.evaluation.case import cut
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.evidence import record_digest
from pointsman.model import controlled
from pointsman.testing import ScriptedModel, says
from tests.acceptance.world import OpenRuns, World, flow, go, line, open_items, rerun, thread, told

pytestmark = pytest.mark.anyio


class Talk(MessagesState, total=False):
    """A conversation, and a note."""

    note: str
    amount: int


class Said(BaseModel):
    """An update as a model."""

    messages: list[Any]


CONSTANT = AIMessage("constant")
FORMS: dict[str, Any] = {
    "text": {"messages": "hi"},
    "pair": {"messages": ("ai", "hi")},
    "several": {"messages": [("ai", "hi"), AIMessage("ho"), {"role": "user", "content": "ha"}]},
    "command": Command(update={"messages": [AIMessage("hi")]}),
    "pairs": Command(update=[("messages", [AIMessage("hi")])]),
    "commands": [Command(update={"messages": [AIMessage("hi")]}), {"messages": [AIMessage("ho")]}],
    "model": Said(messages=["hi", "ho"]),
    "constant": {"messages": [CONSTANT]},
    "given": {"messages": [AIMessage("hi", id="mine")]},
}

SEVERAL = {"several": 3, "commands": 2, "model": 2}
"""How many messages a form says, where it says more than one."""


async def talked(runs: Any) -> tuple[Any, list[BaseMessage]]:
    """A run on a fresh thread, and the messages in its state."""
    graph = runs.graph("flow")
    name = f"t{len(await runs.list())}"
    found = await graph.ainvoke({"messages": ["hello"]}, thread(name))
    return await runs.get(name), found["messages"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_message_in_any_form_has_an_id_of_its_step(open_runs: OpenRuns, world: World, form: str) -> None:
    heard: list[str] = []
    t = world.tools()

    async def say(state: Talk) -> Any:
        return FORMS[form]

    async def hear(state: Talk, ctx: Any) -> Any:
        heard.append(" ".join(str(message.id) for message in state["messages"]))
        await ctx.call(t.look, x=sum(str(message.id).encode()[0] for message in state["messages"]))
        return {}

    graph = line(("say", say), ("again", say), ("hear", code(hear, tools=(t.look,))), state=Talk)
    async with open_runs(graph) as runs:
        run, messages = await talked(runs)
        ids = [message.id for message in messages]
        assert None not in ids
        assert len(set(ids)) == len(ids)
        assert len(ids) == (2 if form == "given" else 1 + 2 * SEVERAL.get(form, 1))
        assert CONSTANT.id is None, "what a node keeps for itself stays its own"
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()
        assert heard[0] == heard[1], "a call that names a message is the same call"
        await talked(runs)
        assert heard[2] != heard[0] or form == "given"


async def test_two_runs_on_one_thread_do_not_write_over_each_other(open_runs: OpenRuns) -> None:
    graph = line(("say", lambda state: {"messages": "hi"}), state=Talk)
    async with open_runs(graph) as runs:
        for times in (2, 4, 6):
            found = await graph.ainvoke({"messages": ["hello"]}, thread("one"))
            assert len(found["messages"]) == times
        first, second = [await runs.get(summary.run_id) for summary in reversed((await runs.list())[-2:])]
        assert (await replay(graph, await trace_of(runs, first))).identical
        trace = await trace_of(runs, second)
        for use in (lambda: replay(graph, trace), lambda: asyncio.to_thread(cut, trace)):
            with pytest.raises(BadInput, match="held the state of another run"):
                await use()
        assert [case.node for case in cut(trace, node="say")] == ["say"]


@pytest.mark.parametrize("mode", ["values", "messages"])
async def test_runs_have_one_canonical_record_whoever_gave_the_ids(open_runs: OpenRuns, mode: Any) -> None:
    """A plain graph's messages, a model's, and those that LangGraph names while it streams."""

    async def inner(state: Talk) -> Any:
        said = await controlled(ScriptedModel([says(text="certainly")])).ainvoke(state["messages"])
        return {"messages": [said, AIMessage("plain")]}

    below = StateGraph(Talk).add_node("inner", inner).add_edge(START, "inner").add_edge("inner", END).compile()
    graph = flow(state=Talk)
    graph.add_node("below", below)
    graph.add_node("each", lambda state: {"messages": [AIMessage(f"each {state['amount']}")]})
    graph.add_node("forget", lambda state: {"messages": [RemoveMessage(id=state["messages"][1].id)]})
    graph.add_node("person", question("Well?", shows=("messages",), returns=str, writes="note"))
    graph.add_edge(START, "below").add_conditional_edges(
        "below", lambda s: [Send("each", {"amount": n}) for n in range(3)], ["each"], max_items=3
    )
    graph.add_edge("each", "forget").add_edge("forget", "person").add_exits("person", answered=END, default=FAILED)
    compiled = graph.compile()
    digests = set()
    async with open_runs(compiled) as runs:
        for number in range(2):
            async for _ in compiled.astream({"messages": ["hello"]}, thread(f"t{number}"), stream_mode=mode):
                pass
            run = await runs.get(f"t{number}")
            [item] = await open_items(runs, run)
            await runs.answer(item, "yes", by="dana")
            await run.settled()
            events, payloads = await runs.events(run), await runs.payloads(run)
            digests.add(record_digest(events, payloads))
            again = await replay(compiled, await trace_of(runs, run))
            assert again.identical, again.data()
    assert len(digests) == 1


async def test_a_rerun_that_says_the_same_leaves_what_follows_alone(open_runs: OpenRuns, world: World) -> None:
    def hear(state: Talk) -> Any:
        world.ran["hear"] += 1
        return {"note": str(len(state["messages"]))}

    graph = line(("say", lambda state: {"messages": "hi"}), ("hear", code(hear, reads=("messages",))), state=Talk)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"messages": ["hello"]})
        assert await rerun(runs, run, "say", amount=1) == "done"
        assert len(await told(runs, run, "run.repaired")) == 1
        assert world.ran["hear"] == 1


async def test_another_word_is_another_record(open_runs: OpenRuns) -> None:
    def say(word: str) -> Any:
        return line(("say", lambda state: {"messages": Overwrite([AIMessage(word)])}), state=Talk)

    async with open_runs(say("hi")) as runs:
        run, _ = await go(runs, {"messages": ["hello"]})
        trace = await trace_of(runs, run)
    assert (await replay(say("hi"), trace)).identical
    found = await replay(say("ho"), trace)
    assert [(one.position, one.kind) for one in found.divergences] == [("say@1", "output")]
    assert [line for line in found.divergences[0].diff if line.startswith("+")] == ['+ messages.value[0].content: "ho"']
