"""Whatever an agent's model says, whatever fails, repeats and delegates: no execution makes more calls than its terms allow."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRetryMiddleware, ToolRetryMiddleware
from langchain_core.messages import AIMessage

from pointsman import Limits, Policy, Runs, agent, allow
from pointsman.errors import ModelBusy
from pointsman.event import Event
from pointsman.evidence import verify
from pointsman.testing import ScriptedModel, calls, says
from tests.acceptance.fenced import ENDS, FOUND, fenced
from tests.acceptance.world import World
from tests.conftest import Databases
from tests.laws.test_real_limits import SLOW

WORDS = ("look", "look again", "many looks", "nonsense", "help", "much help", "busy", "wrong", "found")


@dataclass(frozen=True)
class Terms:
    """What one agent is held to, and what its model says by turns."""

    turns: int
    retries: int
    model_calls: int | None
    tool_calls: int | None
    words: tuple[str, ...]

    def script(self, below: bool) -> Any:
        """A model that says them in a circle; one that is below has nobody to ask for help."""
        count = iter(range(10_000))

        def line(messages: Any, offered: Any) -> Any:
            number = next(count)
            lines = {
                "look": calls(("look", {"x": number})),
                "look again": calls(("look", {"x": 1})),
                "many looks": calls(*(("look", {"x": 100 * number + x}) for x in range(9))),
                "nonsense": calls(("wire", {}), ("look", {"y": number}), ("look", "{")),
                "help": calls(("helper", {"task": f"part {number}"})),
                "much help": calls(*(("helper", {"task": f"part {number}, {x}"}) for x in range(3))),
                "wrong": AIMessage("the disk"),
                "found": says(answer="five") if below else FOUND,
            }
            word = self.words[number % len(self.words)]
            if word == "busy":
                busy = ModelBusy("planted")
                busy.retry_after = 0.0
                return busy
            return lines[word]

        return ScriptedModel(line, name_="below" if below else "above")

    def options(self) -> dict[str, Any]:
        """As `agent` takes them."""
        limits = Limits(model_calls=self.model_calls, tool_calls=self.tool_calls)
        return {"turns": self.turns, "retries": self.retries, "limits": limits}

    def most(self) -> tuple[int, int]:
        """Calls of models and of tools that one execution may make, as `agent` says."""
        models = (self.turns + 1) * (self.retries + 1) if self.model_calls is None else self.model_calls
        return models, 4 * self.turns if self.tool_calls is None else self.tool_calls


caps = st.none() | st.integers(0, 6)
terms = st.builds(
    Terms, turns=st.integers(1, 4), retries=st.integers(0, 1), model_calls=caps, tool_calls=caps,
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=5).map(tuple),
)  # fmt: skip
AROUND = {
    "nothing": lambda: (),
    "retries": lambda: (
        ModelRetryMiddleware(max_retries=2, initial_delay=0, jitter=False, on_failure="error"),
        ToolRetryMiddleware(max_retries=2, initial_delay=0, jitter=False, on_failure="error"),
    ),
    "another model": lambda: (ModelFallbackMiddleware(ScriptedModel([calls(("look", {"x": 7})), FOUND], name_="second")),),
}


@SLOW
@given(cases=st.lists(st.tuples(terms, terms, st.sampled_from(list(AROUND)), st.booleans()), min_size=4, max_size=4))
def test_no_execution_makes_more_calls_than_its_terms_allow(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, cases: Any
) -> None:
    async def played(url: str, home: Path) -> list[Sequence[Event]]:
        world = World()
        t = world.tools()
        graphs = {}
        for number, (above, below, around, broken) in enumerate(cases):
            world.broken |= {("look", x) for x in range(1000)} if broken else set()
            helper = agent(
                reads=("task",), writes="answer", returns=str, prompt="Do {task}.", description="Looks things up.",
                model=below.script(below=True), tools=(t.look,), **below.options(),
            )  # fmt: skip
            graphs[f"flow {number}"] = fenced(
                above.script(below=False), policy=Policy(allow()), tools=(t.look,), agents={"helper": helper},
                middleware=AROUND[around](), name=f"flow {number}", **above.options(),
            )  # fmt: skip
        found = []
        async with Runs.open(url=url, home=home, root=home, graphs=graphs) as runs:
            for name in graphs:
                run = await runs.start(name, {"text": "x"})
                assert (await run.settled()).state == "done"
                assert await verify(runs.owner.store, run.run_id) == []
                found.append(await runs.events(run))
        return found

    with databases.one() as url:
        for (above, below, _, _), events in zip(cases, asyncio.run(played(url, tmp_path_factory.mktemp("home"))), strict=True):
            assert {event.fields["exit"] for event in events if event.kind == "step.finished" and event.position == "triage@1"} < set(ENDS)
            assert all(made <= most for made, most in zip(begun(events, "triage@1"), above.most(), strict=True))
            assert max((turn(event) for event in events if is_turn(event)), default=0) <= above.turns
            for place in {event.position.partition("/helper@1")[0] for event in events if "/helper@1" in event.position}:
                assert all(made <= most for made, most in zip(begun(events, f"{place}/helper@1"), below.most(), strict=True))


def begun(events: Sequence[Event], scope: str) -> tuple[int, int]:
    """How many calls of models and of tools were begun in a step and in all that it ran."""
    effects = [event.fields["effect"] for event in events if event.kind == "call.intent" and f"{event.position}/".startswith(f"{scope}/")]
    return effects.count("model"), len(effects) - effects.count("model")


def is_turn(event: Event) -> bool:
    """Whether the model of the agent above was asked, in a turn of its own."""
    return event.kind == "call.intent" and event.position.startswith("triage@1/model@") and "/" not in event.position[len("triage@1/") :]


def turn(event: Event) -> int:
    """Which turn it was."""
    return int(event.position.rpartition("@")[2])
