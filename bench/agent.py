"""What an agent's turn costs beside LangChain's alone: `create_agent` with LangGraph's PostgreSQL saver, and an agent node of pointsman.

Both speak to one OpenAI-compatible server on the loopback interface that answers at once, so what is left is the runtime's own part; with a real
model the ratio goes towards 1. In one process, on one embedded PostgreSQL, `durability="sync"`, in turn (A B A B …); ratios of medians, of
whole runs with few and with many turns, and of one turn more. Usage: `python -m bench.agent [--json] [--rounds N]`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain.agents import create_agent
from langchain_core.tools import tool as plain_tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START
from pydantic import SecretStr
from typing_extensions import TypedDict

from pointsman import Runs, Workflow, agent, tool
from pointsman.testing import Act, OpenAIServer, answer

FEW, MANY = 2, 10
"""Turns of a run, the last of which answers."""


class State(TypedDict, total=False):
    """What the agent is given, and what it finds."""

    turns: str
    found: str


async def _twice(n: int) -> int:
    """Twice a number, for example 4 for 2."""
    return 2 * n


double = tool(effect="read")(_twice)
plain_double = plain_tool("_twice")(_twice)


def acted(body: dict[str, Any]) -> Act:
    """What the model says: another number in every turn, and the answer in the last one."""
    said = sum(1 for message in body["messages"] if message["role"] == "assistant")
    turns = int(next(word for message in body["messages"] for word in str(message["content"]).split() if word.startswith("turns:"))[6:])
    return answer("done") if said >= turns - 1 else Act(tool_calls=(("_twice", json.dumps({"n": said})),))


def graph_of(model: Any, turns: int) -> Any:
    """An agent node that may take so many turns."""
    flow = Workflow(State, name=f"bench{turns}")
    flow.add_node(
        "agent",
        agent(reads=("turns",), writes="found", returns=str, prompt="Go on, {turns}", model=model, tools=(double,), turns=turns + 1),
    )
    flow.add_edge(START, "agent")
    flow.add_exits("agent", default=END)
    return flow.compile()


async def times(a: Callable[[], Awaitable[Any]], b: Callable[[], Awaitable[Any]], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of both, run in turn after one warm-up each."""
    kept: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        for place, once in enumerate((a, b)):
            begun = time.perf_counter()
            await once()
            if number:
                kept[place].append(time.perf_counter() - begun)
    return kept


async def measure(home: Path, rounds: int) -> dict[str, float]:
    """All ratios."""
    with OpenAIServer(acted) as server:
        model = ChatOpenAI(model="acted", base_url=server.base_url, api_key=SecretStr("none"), max_retries=0)
        graphs = {f"bench{turns}": graph_of(model, turns) for turns in (FEW, MANY)}
        async with Runs.open(home=home, graphs=graphs) as runs, AsyncExitStack() as stack:
            saver = await stack.enter_async_context(AsyncPostgresSaver.from_conn_string(str(runs.owner.store.pool.conninfo)))
            alone = create_agent(model, [plain_double], checkpointer=saver)

            async def theirs(turns: int) -> None:
                config: Any = {"configurable": {"thread_id": str(uuid4())}}
                asked: Any = {"messages": [("user", f"Go on, turns:{turns} please")]}
                ran = await alone.ainvoke(asked, config, durability="sync")
                assert len(ran["messages"]) == 2 * turns

            async def ours(turns: int) -> None:
                run = await runs.start(f"bench{turns}", {"turns": f"turns:{turns}"})
                assert (await run.settled()).state == "done"

            medians = {}
            for turns in (FEW, MANY):
                both = await times(partial(theirs, turns), partial(ours, turns), rounds)
                medians[turns] = [statistics.median(part) for part in both]
    more = [(medians[MANY][place] - medians[FEW][place]) / (MANY - FEW) for place in (0, 1)]
    return {
        f"{FEW}_turns": round(medians[FEW][1] / medians[FEW][0], 2),
        f"{MANY}_turns": round(medians[MANY][1] / medians[MANY][0], 2),
        "one_turn_more": round(more[1] / more[0], 2),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pm-bench-", ignore_cleanup_errors=True) as home:
        found = asyncio.run(measure(Path(home), given.rounds))
    if given.json:
        print(json.dumps(found))
        return
    print("time of an agent node over time of create_agent alone (fake server, sync, PostgreSQL), ratios of medians")
    for name, ratio in found.items():
        print(f"  {name.replace('_', ' '):15} {ratio}")


if __name__ == "__main__":
    main()
