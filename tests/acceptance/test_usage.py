"""What runs have used is told from their journals, per run and per node."""

from decimal import Decimal
from typing import Any

import pytest
from langgraph.graph import END, START

from pointsman import Limits, Policy, Price, Workflow, allow, ask, code, effect, infer
from pointsman.testing import OpenAIServer, answer
from pointsman.usage import Spread
from tests.acceptance.world import OpenRuns, State, World, approve_all, flow, go, line

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("amounts", "told"),
    [([3], (3, 3, 3)), ([2, 1], (1, 2, 2)), ([5, 1, 3], (3, 5, 5)), (list(range(1, 101)), (50, 95, 100)), ([0] * 19 + [9], (0, 0, 9))],
)
def test_a_spread_is_of_nearest_ranks(amounts: list[int], told: tuple[int, int, int]) -> None:
    spread = Spread.of(map(Decimal, amounts))
    assert (spread.p50, spread.p95, spread.max) == told


async def test_calls_and_questions_are_counted_where_they_were_made(open_runs: OpenRuns, world: World) -> None:
    t = world.tools()

    async def work(state: State, ctx: Any) -> State:
        for x in range(state["count"]):
            await ctx.call(t.look, x=x)
        return {}

    graph = flow(policy=Policy(allow(), ask("pay")))
    graph.add_node("work", code(work, tools=(t.look,))).add_node("post", effect(t.pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "work").add_edge("work", "post").add_exits("post", default=END)
    async with open_runs(graph.compile()) as runs:
        for count in (1, 2, 5):
            run, _ = await go(runs, {"count": count, "amount": count})
            assert (await approve_all(runs, run)).state == "done"
        whole, post, work_ = await runs.usage()
        assert [(each.graph, each.node, each.count) for each in (whole, post, work_)] == [
            ("flow", None, 3),
            ("flow", "post", 3),
            ("flow", "work", 3),
        ]
        assert whole.spread["tool_calls"] == Spread(Decimal(3), Decimal(6), Decimal(6))
        assert work_.spread["tool_calls"] == Spread(Decimal(2), Decimal(5), Decimal(5))
        assert post.spread["approvals"] == Spread(Decimal(1), Decimal(1), Decimal(1))
        assert whole.spread["model_calls"].max == whole.spread["usd"].max == 0
        assert 0 < work_.spread["seconds"].max <= whole.spread["seconds"].max
        assert await runs.usage(graph="other") == await runs.usage(states=("parked",)) == []
        assert (await runs.usage(limit=1))[0].count == 1


async def test_tokens_and_money_are_exact(open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer([answer("fine", usage={"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100})] * 2) as acted:
        monkeypatch.setenv("OPENAI_BASE_URL", acted.base_url)
        prices = {"openai:acted": Price(input=Decimal("0.1"), output=Decimal("0.3"))}
        graph = Workflow(State, name="flow", model="openai:acted", prices=prices, limits=Limits(usd=1))
        graph.add_node("ask", infer(reads=("text",), writes="text", returns=str, prompt="What is it?"))
        graph.add_edge(START, "ask").add_exits("ask", default=END)
        async with open_runs(graph.compile(), line(("a", lambda state: {}), name="idle")) as runs:
            for _ in range(2):
                await go(runs, {"text": "x"})
            await go(runs, {}, graph="idle")
            told = {(each.graph, each.node): each for each in await runs.usage()}
        assert list(told) == [("flow", None), ("flow", "ask"), ("idle", None), ("idle", "a")]
        assert told["flow", "ask"].spread["usd"] == Spread(*[Decimal("0.00013")] * 3)
        assert told["flow", None].spread["tokens"].max == 1100
        assert told["idle", "a"].spread["tokens"].max == 0
