"""A workflow inside a workflow can only narrow: every policy around a call must agree to it, and every question be answered."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START, StateGraph

from pointsman import Policy, allow, arg, ask, code, deny, effect
from pointsman.errors import NotAllowed
from tests.acceptance.world import OpenRuns, State, World, flow, go, line, open_items, output, roles, told

pytestmark = pytest.mark.anyio


def nested(world: World, *policies: Policy) -> Any:
    """One effect in as many workflows as there are policies, the outermost first."""
    graph = flow(policy=policies[-1], name="innermost")
    graph.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "post")
    for exit in ("denied", "rejected", "expired", "limit"):
        graph.add_node(exit, lambda state, name=exit: {"log": [name]})
    graph.add_exits("post", done=END, denied="denied", rejected="rejected", expired="expired", limit="limit")
    made = graph.compile()
    for depth, policy in enumerate(reversed(policies[:-1])):
        made = line(("inner", made), policy=policy, name="flow" if depth == len(policies) - 2 else f"level {depth}")
    return made


@pytest.mark.parametrize("strict", [0, 1, 2])
async def test_a_deny_on_any_level_denies(open_runs: OpenRuns, world: World, strict: int) -> None:
    policies = [Policy(allow()) if level != strict else Policy(allow(), deny("pay", name="never")) for level in range(3)]
    async with open_runs(nested(world, *policies)) as runs:
        run, summary = await go(runs, {"amount": 5})
        assert (summary.state, (await output(runs, run))["log"], world.calls) == ("done", ["denied"], [])
        [denied] = await told(runs, run, "call.denied")
        assert (denied.fields["rule"], denied.fields["matched"]) == ("never", ["allow-1", "never"])


async def test_a_plain_graph_inside_is_under_every_policy_around_it(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def pays(state: State) -> State:
        return {"log": [await t.pay.ainvoke({"amount": 5})]}

    plain = StateGraph(State).add_node("pays", pays).add_edge(START, "pays").compile()
    middle = line(("sub", plain), policy=Policy(allow(), deny("pay")), name="middle")
    async with open_runs(line(("middle", middle), policy=Policy(allow()))) as runs:
        _, summary = await go(runs)
        assert (summary.state, world.calls) == ("parked", [])


async def test_each_question_takes_its_own_yes(open_runs: OpenRuns, world: World, home: Path) -> None:
    """The outer policy wants a controller, the inner one two clerks: neither counts for the other."""
    roles(home, controller=["dana", "kim"], clerk=["lee", "max", "kim"])
    policies = Policy(allow(), ask("pay", role="controller")), Policy(ask("pay", role="clerk", quorum=2, expires=timedelta(hours=1)))
    async with open_runs(nested(world, *policies)) as runs:
        run, _ = await go(runs, {"amount": 5})
        [item] = await open_items(runs, run)
        assert item.expires_at is not None, "the shorter time holds"
        assert item.card["also"] or item.card["quorum"]
        assert [await runs.inbox(role=role) != [] for role in ("controller", "clerk", "boss")] == [True, True, False]
        for by in ("nobody", "lee", "lee", "dana", "dana"):
            try:
                await runs.approve(item, by=by)
            except NotAllowed:
                pass
            assert ((await run.settled()).state, world.calls) == ("waiting", [])
        [item] = await open_items(runs, run)
        assert item.approved_by == ("lee", "dana")
        await runs.approve(item, by="max")
        assert (await run.settled()).state == "done"
        assert world.asked("pay") == [5]


async def test_who_holds_both_roles_counts_for_both(open_runs: OpenRuns, world: World, home: Path) -> None:
    roles(home, controller=["kim"], clerk=["lee", "kim"])
    rules = ask("pay", role="clerk"), ask("pay", when=arg("amount") > 100, role="controller")
    async with open_runs(nested(world, Policy(*rules), Policy(allow()))) as runs:
        for amount, people in ((50, ["lee"]), (500, ["kim"]), (501, ["lee", "kim"])):
            run, _ = await go(runs, {"amount": amount})
            for by in people:
                [item] = await open_items(runs, run)
                await runs.approve(item, by=by)
            assert (await run.settled()).state == "done"
        assert world.asked("pay") == [50, 500, 501]


async def test_a_rule_over_spend_counts_from_nothing(open_runs: OpenRuns, world: World) -> None:
    from pointsman.policy import spend

    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        found = []
        for x in range(4):
            try:
                found.append(await ctx.call(t.look, x=x))
            except Exception as error:
                found.append(type(error).__name__)
        return {"log": found}

    policy = Policy(deny("look", when=spend("tool_calls") >= 2))
    async with open_runs(line(("work", code(work, tools=(t.look,))), policy=policy)) as runs:
        run, _ = await go(runs)
        assert (await output(runs, run))["log"] == ["saw 0", "saw 1", "Denied", "Denied"]


async def test_a_rule_looks_at_who_started_the_run(open_runs: OpenRuns, world: World) -> None:
    from pointsman.policy import principal

    async with open_runs(nested(world, Policy(allow("pay", when=principal == "dana")), Policy(allow()))) as runs:
        for by, log in (("dana", []), ("lee", ["denied"]), (None, ["denied"])):
            run = await runs.start("flow", {"amount": 5, "log": []}, by=by)
            await run.settled()
            assert (await output(runs, run))["log"] == log
