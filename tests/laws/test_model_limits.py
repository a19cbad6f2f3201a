"""Whatever a provider answers and reports: what is reserved and spent never passes a cap, and after a report that does, nothing more begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langgraph.graph import END, START
from langgraph.types import Send
from typing_extensions import TypedDict

from pointsman import Limits, Price, Runs, Workflow, infer
from pointsman.clock import SystemClock
from pointsman.event import Event
from pointsman.gateway.accounts import Accounts
from pointsman.testing import Act, OpenAIServer, abstain, answer
from tests.conftest import Databases


class State(TypedDict, total=False):
    text: str


usages = st.sampled_from(
    ["counted", None, {}, {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": "7", "completion_tokens": 1}]
)
false = st.builds(
    lambda much: {"prompt_tokens": much, "completion_tokens": much, "total_tokens": 2 * much}, st.sampled_from([3_000, 50_000])
)
acts = st.one_of(
    st.builds(lambda usage: answer("fine", usage=usage), usages | false),
    st.builds(lambda usage: abstain("unsure", usage=usage), usages),
    st.builds(lambda usage: Act(content="what?", usage=usage), usages | false),
    st.builds(lambda status: Act(status=status, retry_after="0"), st.sampled_from([400, 429, 500])),
    st.just(Act(raw="<html>")),
    st.just(Act(content="x", drop=1)),
)
limits = st.builds(
    Limits,
    model_calls=st.none() | st.integers(0, 6),
    tokens=st.none() | st.integers(0, 20_000),
    usd=st.none() | st.decimals(0, "0.2", places=3),
)


def graph_of(run: Limits, node: Limits, items: int) -> Any:
    flow = Workflow(State, name="flow", limits=run, model="openai:acted", prices={"openai:acted": Price(input=10, output=10)})
    flow.add_node("ask", infer(reads=("text",), writes="text", returns=str, prompt="What is it?", max_tokens=300, limits=node))
    flow.add_conditional_edges(
        START, lambda state: [Send("ask", {"text": f"item {number}"}) for number in range(items)], ["ask"], max_items=4
    )
    flow.add_node("end", lambda state: {})
    flow.add_exits("ask", default="end")
    flow.add_edge("end", END)
    return flow.compile()


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(script=st.lists(acts, min_size=1, max_size=8), run=limits, node=limits, items=st.integers(1, 4))
def test_no_cap_is_ever_passed(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, script: list[Act], run: Limits, node: Limits, items: int
) -> None:
    with databases.one() as url, OpenAIServer(script) as acted, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_BASE_URL", acted.base_url)
        events = asyncio.run(_run(url, tmp_path_factory.mktemp("home"), graph_of(run, node, items)))
        sent = len(acted.seen)
    assert sent == sum(event.kind == "call.intent" for event in events)
    _check(events, run, node)
    overrun = next((event.seq for event in events if event.kind == "limit.overrun"), len(events) + 1)
    later = [event for event in events if event.kind == "call.intent" and event.seq > overrun]
    assert len(later) < items, "only calls that other branches had reserved before the report may still begin after it"


async def _run(url: str, home: Path, graph: Any) -> Sequence[Event]:
    async with Runs.open(url=url, home=home, root=home, graphs={"flow": graph}) as runs:
        run = await runs.start("flow", {"text": "x"})
        summary = await run.settled()
        assert summary.state in ("done", "parked"), "a write conflict of the branches may park it, a provider never"
        return await runs.events(run)


def _check(events: Sequence[Event], run: Limits, node: Limits) -> None:
    for place, event in enumerate(events):
        accounts = Accounts(run, SystemClock(), list(events[: place + 1]))
        for account in (accounts.run, accounts.of("ask@1", None, node, None)):
            for name, cap in account._caps.items():
                passed = account._committed(name) > cap
                assert not passed or _reported_more(events, place), (
                    f"{name} of {account.name}: {account._committed(name)} of {cap} after event {event.seq}"
                )


def _reported_more(events: Sequence[Event], place: int) -> bool:
    """Whether an outcome up to here spent more than its intent had reserved."""
    reserved = {event.fields["call"]: event.fields["reserve"] for event in events if event.kind == "call.intent"}
    outcomes = [event for event in events[: place + 1] if event.kind == "call.outcome"]
    return any(
        Decimal(outcome.fields["spend"].get(name, 0)) > Decimal(reserved[outcome.fields["call"]].get(name, 0))
        for outcome in outcomes
        for name in ("tokens", "usd")
    )
