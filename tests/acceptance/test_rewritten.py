"""What a middleware makes of a call after a person's yes: what was approved is done, exactly and once, or it is another call and another question."""

from typing import Any

import pytest
from langchain.agents.middleware import AgentMiddleware
from langchain_core.messages import ToolMessage

from pointsman import Policy, agent, allow, ask
from pointsman.evidence import verify
from pointsman.testing import ScriptedModel, calls, says
from tests.acceptance.fenced import FOUND, fenced
from tests.acceptance.world import OpenRuns, World, approve_all, error_of, go, open_items, told

pytestmark = pytest.mark.anyio


class Between(AgentMiddleware):
    """Does something else with a call each time that its step is executed."""

    def __init__(self, *ways: Any) -> None:
        super().__init__()
        self.ways = list(ways)

    async def awrap_tool_call(self, request: Any, handler: Any) -> Any:
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        return await way(request, handler)


async def makes(request: Any, handler: Any) -> Any:
    return await handler(request)


async def makes_twice(request: Any, handler: Any) -> Any:
    await handler(request)
    return await handler(request)


def rewrites(**changes: Any) -> Any:
    async def way(request: Any, handler: Any) -> Any:
        return await handler(request.override(tool_call={**request.tool_call, **changes}))

    return way


async def forges(request: Any, handler: Any) -> Any:
    return ToolMessage("paid 1", name="pay", tool_call_id=request.tool_call["id"])


def agent_with(world: World, *ways: Any, policy: Policy | None = None) -> tuple[Any, ScriptedModel]:
    t = world.tools()
    model = ScriptedModel([calls(("pay", {"amount": 1})), FOUND])
    policy = policy or Policy(allow(), ask("pay"))
    return fenced(model, policy=policy, tools=(t.look,), effects=(t.pay,), middleware=(Between(*ways),)), model


async def test_arguments_that_are_rewritten_are_asked_about_anew(open_runs: OpenRuns, world: World) -> None:
    """A yes to 1 is none to 999, and a no to 999 leaves the one yes there was to be used once."""
    graph, model = agent_with(world, makes, rewrites(args={"amount": 999}), makes)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        await runs.approve(item, by="dana")
        assert ((await run.settled()).state, world.calls) == ("waiting", [])
        [item] = await open_items(runs, run)
        assert item.card["arguments"] == {"amount": 999}
        await runs.reject(item, by="dana")
        assert ((await run.settled()).state, world.asked("pay")) == ("done", [1])
        assert ("paid 1" in model.seen[-1][-1].text, await verify(runs.owner.store, run.run_id)) == (True, [])


@pytest.mark.parametrize("way", [forges, rewrites(name="look", args={"x": 3})], ids=["forged", "another tool"])
async def test_a_yes_to_a_call_that_is_not_made_after_all_parks(open_runs: OpenRuns, world: World, way: Any) -> None:
    graph, model = agent_with(world, makes, way, makes)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        await approve_all(runs, run)
        assert ((await run.settled()).state, world.asked("pay"), len(model.seen)) == ("parked", [], 1)
        error = await error_of(runs, run)
        assert (error["type"], "dana said yes to a call of pay" in error["what"]) == ("Divergence", True)


@pytest.mark.parametrize("policy", [Policy(allow()), Policy(ask("pay"))], ids=["allowed", "asked"])
async def test_a_call_that_its_middleware_makes_twice_is_made_once(open_runs: OpenRuns, world: World, policy: Policy) -> None:
    graph, _ = agent_with(world, makes_twice, policy=policy)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        assert ((await approve_all(runs, run)).state, world.asked("pay")) == ("done", [1])
        assert len(await told(runs, run, "call.intent", effect="submit")) == 1


async def test_what_a_reviewer_made_of_a_call_that_is_not_asked_for_again_parks(open_runs: OpenRuns, world: World) -> None:
    graph, model = agent_with(world, makes, forges, makes)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        await runs.edit(item, {"amount": 2}, by="dana")
        assert ((await run.settled()).state, world.calls, len(model.seen)) == ("parked", [], 1)
        error = await error_of(runs, run)
        assert (error["type"], "dana had a call of pay made otherwise" in error["what"]) == ("Divergence", True)
        await runs.resume(run)
        await run.settled()
        assert ((await approve_all(runs, run)).state, world.asked("pay")) == ("done", [2])


async def test_what_a_reviewer_made_of_a_call_is_what_is_made_of_it_every_time(open_runs: OpenRuns, world: World) -> None:
    graph, model = agent_with(world, makes_twice)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        [item] = await open_items(runs, run)
        await runs.edit(item, {"amount": 2}, by="dana")
        await run.settled()
        assert ((await approve_all(runs, run)).state, world.asked("pay")) == ("done", [2])
        assert "paid 2" in model.seen[-1][-1].text
        assert len(await told(runs, run, "ask.opened")) == 2  # the call, and what became of it


async def test_a_yes_to_a_call_of_an_agent_below_that_is_not_reached_again_parks(open_runs: OpenRuns, world: World) -> None:
    """The task that its agent works on is answered by somebody else; mended, the call is made."""
    t = world.tools()
    below = ScriptedModel([calls(("pay", {"amount": 1})), says(answer="paid")])
    helper = agent(
        reads=("task",), writes="answer", returns=str, prompt="Do {task}.", description="Pays.", model=below, effects=(t.pay,)
    )  # fmt: skip
    model = ScriptedModel([calls(("helper", {"task": "pay"})), FOUND])
    middleware = (Between(makes, forges, makes),)
    graph = fenced(model, policy=Policy(allow(), ask("pay")), effects=(t.pay,), agents={"helper": helper}, middleware=middleware)
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"text": "x"})
        await approve_all(runs, run)
        assert ((await run.settled()).state, world.calls, len(model.seen)) == ("parked", [], 1)
        error = await error_of(runs, run)
        assert (error["type"], "dana said yes to a call of pay" in error["what"]) == ("Divergence", True)
        await runs.resume(run)
        assert ((await run.settled()).state, world.calls) == ("done", [("pay", 1)])
