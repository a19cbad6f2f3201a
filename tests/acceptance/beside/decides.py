"""One of two processes that decide the same question: `main("langgraph"|"pointsman", URL, FILE, [HOME,] WHO)`."""

import asyncio
import sys
from pathlib import Path
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt
from typing_extensions import TypedDict

from pointsman import Policy, Runs, Workflow, ask, effect, tool
from pointsman.errors import Conflict


class State(TypedDict, total=False):
    """Nothing but who said yes."""

    by: str


def pays(file: Path) -> None:
    """The effect: a line in a file."""
    with file.open("a") as paid:
        paid.write("paid\n")


def asking(saver: Any, file: Path) -> Any:
    """The graph in LangGraph."""

    async def pay(state: State) -> State:
        by = interrupt("pay?")
        await asyncio.sleep(0.2)  # as a payment takes
        pays(file)
        return {"by": by}

    return StateGraph(State).add_node("pay", pay).add_edge(START, "pay").compile(checkpointer=saver)


def controlled(file: Path) -> Any:
    """The same graph here."""

    @tool(effect="submit")
    async def pay() -> str:
        """Pay."""
        await asyncio.sleep(0.2)
        pays(file)
        return "paid"

    graph = Workflow(State, name="flow", policy=Policy(ask(pay)))
    graph.add_node("pay", effect(pay, reads=(), writes="by"))
    graph.add_edge(START, "pay").add_exits("pay", done=END, default=END)
    return graph.compile()


async def turn() -> None:
    """Wait until both are ready."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)


async def in_langgraph(url: str, file: str, who: str) -> str:
    async with AsyncPostgresSaver.from_conn_string(url) as saver:
        graph = asking(saver, Path(file))
        config: Any = {"configurable": {"thread_id": "1"}}
        [waiting] = (await graph.aget_state(config)).interrupts
        await turn()
        await graph.ainvoke(Command(resume={waiting.id: who}), config)
        return "accepted"


async def in_pointsman(url: str, file: str, home: str, who: str) -> str:
    async with Runs.open(url=url, home=Path(home), root=Path(home), graphs={"flow": controlled(Path(file))}) as runs:
        [item] = await runs.inbox()
        await turn()
        try:
            await runs.approve(item, by=who)
        except Conflict as error:
            return f"refused: {type(error).__name__}"
        return "accepted"


def main(place: str, *told: str) -> None:
    """Decide, and print what came of it."""
    print(asyncio.run({"langgraph": in_langgraph, "pointsman": in_pointsman}[place](*told)))
