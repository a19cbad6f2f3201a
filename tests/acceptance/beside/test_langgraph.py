"""What LangGraph's interrupts let happen, shown with the installed LangGraph, and the same scenario here.

Each test has two halves: first it happens there (if a release mends it, the test fails and the row in `docs/beside-langgraph.md` goes),
then it does not happen here.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

from pointsman import Policy, Runs, ask, effect, question
from pointsman.errors import BadInput, Conflict, VersionMismatch
from tests.acceptance.beside.decides import asking, controlled
from tests.acceptance.world import ALL, ASK_PAY, OpenRuns, State, World, flow, go, line, open_items, output, told

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]
THREAD: Any = {"configurable": {"thread_id": "1"}}


def plain(body: Any, name: str = "work", saver: Any = None) -> Any:
    """A LangGraph graph of one node, as anybody writes it."""
    return StateGraph(State).add_node(name, body).add_edge(START, name).compile(checkpointer=saver or InMemorySaver())


def paying(pay: Any, node: str = "pay") -> Any:
    """One effect that a person is asked about."""
    graph = flow(policy=Policy(ask(pay)))
    graph.add_node(node, effect(pay, reads=("amount",), writes="receipt"))
    return graph.add_edge(START, node).add_exits(node, done=END, default=END).compile()


async def test_an_answer_sent_again_is_no_answer_to_the_next_question(open_runs: OpenRuns, world: World) -> None:
    async def twice(state: State) -> State:
        return {"log": [interrupt("pay 10?"), interrupt("pay 20?")]}

    there = plain(twice)
    [first] = (await there.ainvoke({}, THREAD))["__interrupt__"]
    await there.ainvoke(Command(resume={first.id: "yes to 10"}), THREAD)
    ended = await there.ainvoke(Command(resume={first.id: "yes to 10"}), THREAD)  # a double click: the same answer, by the same id
    assert ended["log"] == ["yes to 10", "yes to 10"], "LangGraph took it for the answer to the second question"

    t = world.tools()

    async def both(state: State) -> State:
        return {"log": [await t.pay.ainvoke({"amount": 10}), await t.pay.ainvoke({"amount": 20})]}

    node = StateGraph(State).add_node("both", both).add_edge(START, "both").compile()
    async with open_runs(line(("work", node), policy=ASK_PAY)) as runs:
        run, _ = await go(runs)
        [first] = await open_items(runs, run)
        await runs.approve(first, by="dana")
        await run.settled()
        with pytest.raises(Conflict):
            await runs.approve(first, by="dana")
        assert ((await run.summary()).state, world.asked("pay")) == ("waiting", [10])
        [second] = await open_items(runs, run)
        assert second.card["arguments"] == {"amount": 20}
        assert [event.fields["reason"] for event in await told(runs, run, "ask.refused")] == ["closed"]


DECIDES = "import sys; sys.path.insert(0, sys.argv.pop(1)); from tests.acceptance.beside.decides import main; main(*sys.argv[1:])"


async def both_at_once(*arguments: str) -> list[str]:
    """What two processes say that decide the same question at the same time."""
    started = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", DECIDES, str(ROOT), *arguments, who, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        for who in ("dana", "kim")
    ]
    for process in started:
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"ready"
    ended = await asyncio.gather(*(process.communicate(b"go\n") for process in started))
    return [out.decode().strip() for out, _ in ended]


async def test_of_two_processes_that_answer_at_once_one_is_told_it_came_too_late(url: str, home: Path, tmp_path: Path) -> None:
    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        await saver.setup()
        await asking(saver, tmp_path / "there").ainvoke({}, THREAD)
    assert await both_at_once("langgraph", url, str(tmp_path / "there")) == ["accepted", "accepted"]
    assert len((tmp_path / "there").read_text().splitlines()) == 2, "LangGraph told both of them that they had decided, and paid twice"

    async with Runs.open(url=url, home=home, root=home, graphs={"flow": controlled(tmp_path / "here")}) as runs:
        run, _ = await go(runs)
    assert sorted(await both_at_once("pointsman", url, str(tmp_path / "here"), str(home))) == ["accepted", "refused: Conflict"]
    async with Runs.open(url=url, home=home, root=home, graphs={"flow": controlled(tmp_path / "here")}) as runs:
        assert (await run_state(runs, run.run_id)) == "done"
        assert (len(await told(runs, run, "ask.decided")), len(await told(runs, run, "ask.refused"))) == (1, 1)
    assert len((tmp_path / "here").read_text().splitlines()) == 1


async def run_state(runs: Any, run_id: str) -> str:
    return str((await (await runs.get(run_id)).settled()).state)


async def test_a_renamed_node_keeps_the_question_that_waits_in_it(open_runs: OpenRuns, world: World) -> None:
    async def asks(state: State) -> State:
        return {"log": [interrupt("pay?")]}

    saver = InMemorySaver()
    await plain(asks, "pay", saver).ainvoke({}, THREAD)
    there = plain(asks, "pay_invoice", saver)  # a release renames the node
    assert (await there.aget_state(THREAD)).interrupts == ()
    ended = await there.ainvoke(Command(resume="yes"), THREAD)
    assert not ended.get("log"), "LangGraph took the answer without a word, and the run is over without it"

    t = world.tools()
    before, after = paying(t.pay, "pay"), paying(t.pay, "pay_invoice")
    async with open_runs(before) as runs:
        run, _ = await go(runs, {"amount": 5})
    async with open_runs(after) as runs:
        run = await runs.get(run.run_id)
        [item] = await open_items(runs, run)
        with pytest.raises(VersionMismatch):
            await after.ainvoke(Command(resume="yes"), {"configurable": {"thread_id": run.run_id}})
        assert (await open_items(runs, run), world.calls) == ([item], [])
    async with open_runs(before) as runs:  # back at the release it began with
        run = await runs.get(run.run_id)
        await runs.approve(item, by="dana")
        assert (await run.settled()).state == "done"
    assert world.asked("pay") == [5]


async def test_a_bad_answer_does_not_poison_the_question(open_runs: OpenRuns) -> None:
    async def amount(state: State) -> State:
        return {"count": int(interrupt("how many?"))}

    there = plain(amount)
    await there.ainvoke({}, THREAD)
    for answer in ("seven", 7, 7):
        with pytest.raises(ValueError, match="seven"):  # for ever: the first answer is what is replayed
            await there.ainvoke(Command(resume=answer), THREAD)

    async with open_runs(asked_for(int)) as runs:
        run, _ = await go(runs)
        [item] = await open_items(runs, run)
        with pytest.raises(BadInput):
            await runs.answer(item, "seven", by="dana")
        await runs.answer(item, 7, by="dana")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["count"] == 7


def asked_for(kind: Any) -> Any:
    graph = flow(policy=ALL)
    graph.add_node("ask", question("How many?", returns=kind, writes="count"))
    graph.add_edge(START, "ask").add_exits("ask", answered=END, default=END)
    return graph.compile()


async def test_an_answer_to_what_is_over_is_refused_aloud(open_runs: OpenRuns, world: World) -> None:
    async def asks(state: State) -> State:
        return {"log": [interrupt("pay?")]}

    there = plain(asks)
    await there.ainvoke({}, THREAD)
    done = await there.ainvoke(Command(resume="yes"), THREAD)
    for late in ({"0" * 32: "no"}, "no"):
        assert await there.ainvoke(Command(resume=late), THREAD) == done, "LangGraph took a late no, and said nothing"

    t = world.tools()
    async with open_runs(paying(t.pay)) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        await run.settled()
        with pytest.raises(Conflict):
            await runs.reject(item, by="kim")
        assert [event.fields["by"] for event in await told(runs, run, "ask.refused")] == ["kim"]
