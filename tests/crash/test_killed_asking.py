"""A process that dies while it waits for a model: the call in flight is sent once more, under the same key; one that has ended is not."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START
from typing_extensions import TypedDict

from pointsman import Policy, Runs, Workflow, ask, effect, infer, tool
from pointsman.testing import OpenAIServer, answer

pytestmark = pytest.mark.anyio

PROGRAM = "import asyncio, sys; from tests.crash.test_killed_asking import begin; asyncio.run(begin(*sys.argv[1:]))"


class State(TypedDict, total=False):
    text: str
    amount: int
    receipt: str


paid: list[int] = []


@tool(effect="submit")
def pay(amount: int) -> str:
    """Pay an amount."""
    paid.append(amount)
    return "paid"


def graph() -> Any:
    flow = Workflow(State, name="flow", model="openai:acted", policy=Policy(ask("pay")))
    flow.add_node("ask", infer(reads=("text",), writes="amount", returns=int, prompt="How much?"))
    flow.add_node("pay", effect(pay, reads=("amount",), writes="receipt"))
    flow.add_edge(START, "ask")
    flow.add_exits("ask", answered="pay", default=END)
    flow.add_exits("pay", default=END)
    return flow.compile()


async def begin(url: str, home: str) -> None:
    """What the process that is killed does."""
    async with Runs.open(url=url, home=Path(home), root=Path(home), graphs={"flow": graph()}) as runs:
        run = await runs.start("flow", {"text": "a bill"}, key="one")
        await run.settled()
        sys.stdout.write("settled\n")
        sys.stdout.flush()
        time.sleep(600)  # noqa: ASYNC251 - until it is killed


@pytest.mark.parametrize("moment", ["in flight", "at the question"])
async def test_the_model_is_asked_once_for_each_death_in_flight(url: str, home: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    acts = [answer(480, delay=60 if moment == "in flight" else 0), answer(480)]
    with OpenAIServer(acts) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        with subprocess.Popen(  # noqa: ASYNC220 - it is started and killed, nothing waits for it
            [sys.executable, "-c", PROGRAM, url, str(home)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
        ) as process:
            assert process.stdout is not None
            if moment == "in flight":
                while not server.seen:
                    assert process.poll() is None
                    time.sleep(0.02)  # noqa: ASYNC251 - nothing else runs in this loop
            else:
                assert process.stdout.readline() == "settled\n"
            process.send_signal(signal.SIGKILL)
        async with Runs.open(url=url, home=home, root=home, graphs={"flow": graph()}) as runs:
            await runs.sweep()
            run = await runs.start("flow", {"text": "a bill"}, key="one")
            assert (await run.settled()).state == "waiting"
            (item,) = await runs.inbox()
            await runs.approve(item, by="dana")
            assert (await run.settled()).state == "done"
    assert len(server.seen) == (2 if moment == "in flight" else 1)
    assert len(server.by_key()) == 1
    assert len({json.dumps(seen.body, sort_keys=True) for seen in server.seen}) == 1
    assert paid.pop() == 480 and not paid
