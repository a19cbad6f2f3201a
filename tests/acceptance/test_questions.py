"""A question node: a typed value from a person, or none; the run waits without anybody holding it."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START
from langgraph.types import Command
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from pointsman import FAILED, Limits, Workflow, infer, question
from pointsman.cli.listing import waiting
from pointsman.cli.page import ending, page
from pointsman.cli.standing import story_of
from pointsman.errors import BadInput, Conflict, NotAllowed
from pointsman.evidence import verify
from pointsman.testing import StillClock
from tests.acceptance.world import OpenRuns, go, open_items, output, printed, roles, told

pytestmark = pytest.mark.anyio


class Bill(BaseModel):
    number: str
    total: Decimal = Field(ge=0)


class Paper(TypedDict, total=False):
    bill: Bill
    findings: list[str]
    log: str
    ran: int
    found: Any


def asking(*, limits: Limits | None = None, **options: Any) -> Any:
    """A clerk is asked for a bill; where each exit leads is noted."""
    graph = Workflow(Paper, name="flow", limits=limits)
    graph.add_node("person", question("Correct the fields", shows=("bill", "findings"), returns=Bill, writes="bill", **options))
    graph.add_edge(START, "person")
    for exit in ("answered", "rejected", "expired", "limit"):
        graph.add_node(exit, lambda state, name=exit: {"log": name})
    graph.add_exits("person", answered="answered", rejected="rejected", expired="expired", limit="limit")
    return graph.compile()


GIVEN = {"bill": {"number": "7", "total": "48.00"}, "findings": ["the total is odd"]}


async def test_an_answer_is_a_typed_value(open_runs: OpenRuns) -> None:
    async with open_runs(asking()) as runs:
        run, summary = await go(runs, GIVEN)
        assert summary.state == "waiting"
        [item] = await open_items(runs, run)
        assert (item.kind, item.tool, item.card["question"], item.card["writes"]) == ("question", "", "Correct the fields", "bill")
        assert item.card["shows"] == {"bill": {"number": "7", "total": {"$decimal": "48"}}, "findings": ["the total is odd"]}
        assert item.card["present"] == item.card["shows"]["bill"]
        assert set(item.card["schema"]["properties"]) == {"number", "total"}
        await runs.answer(item, {"number": "7", "total": "84.00"}, by="dana", note="digits swapped")
        assert (await run.settled()).state == "done"
        found = await output(runs, run)
        assert (found["bill"], found["log"]) == ({"number": "7", "total": {"$decimal": "84"}}, "answered")
        [decided] = await told(runs, run, "ask.decided")
        assert (decided.fields["decision"], decided.fields["by"], decided.payloads["card"]) == ("answered", "dana", item.card_digest)
        routes = [
            (event.fields["by"], event.fields["exit"]) for event in await told(runs, run, "route.taken") if event.position == "person@1"
        ]
        assert routes == [("human", "answered")]
        assert await verify(runs.owner.store, run.run_id) == []


@pytest.mark.parametrize("bad", [2**70, float("nan"), "\ud800", {"a": [float("inf")]}, Decimal("1e999999999")])
async def test_an_answer_that_cannot_be_kept_leaves_the_question_open(open_runs: OpenRuns, bad: Any) -> None:
    graph = Workflow(Paper, name="flow")
    graph.add_node("ask", question("What is it?", returns=Any, writes="found"))
    graph.add_edge(START, "ask").add_exits("ask", default=END)
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, GIVEN)
        [item] = await open_items(runs, run)
        with pytest.raises(BadInput):
            await runs.answer(item, bad, by="dana")
        await runs.answer(item, {"a": 7}, by="dana")
        assert ((await run.settled()).state, (await output(runs, run))["found"]) == ("done", {"a": 7})


@pytest.mark.parametrize("bad", [{"number": "7", "total": "-1"}, {"number": "7"}, "48", None, {"number": 7, "total": "NaN"}, []])
async def test_a_bad_answer_leaves_the_question_open(open_runs: OpenRuns, bad: Any) -> None:
    async with open_runs(asking()) as runs:
        run, _ = await go(runs, GIVEN)
        [item] = await open_items(runs, run)
        with pytest.raises(BadInput, match="bill"):
            await runs.answer(item, bad, by="dana")
        assert ((await run.summary()).state, await told(runs, run, "ask.decided")) == ("waiting", [])
        [item] = await open_items(runs, run)
        await runs.answer(item, Bill(number="8", total=Decimal(2)), by="dana")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["bill"]["number"] == "8"


async def test_a_question_may_be_rejected(open_runs: OpenRuns) -> None:
    async with open_runs(asking()) as runs:
        run, _ = await go(runs, GIVEN)
        [item] = await open_items(runs, run)
        for wrong in (runs.approve(item, by="dana"), runs.edit(item, {"bill": None}, by="dana")):
            with pytest.raises(Conflict):
                await wrong
        await runs.reject(item, by="dana", note="not ours")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == "rejected"
        with pytest.raises(Conflict):
            await runs.answer(item, {"number": "8", "total": 1}, by="dana")


async def test_a_question_expires(open_runs: OpenRuns) -> None:
    clock = StillClock()
    async with open_runs(asking(expires=timedelta(days=3)), clock=clock) as runs:
        run, _ = await go(runs, GIVEN)
        [item] = await open_items(runs, run)
        clock.advance(timedelta(days=3))
        with pytest.raises(Conflict, match="expired"):
            await runs.answer(item, {"number": "8", "total": 1}, by="dana")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == "expired"


async def test_only_who_holds_the_role_answers(open_runs: OpenRuns, home: Path) -> None:
    roles(home, clerk=["dana"])
    async with open_runs(asking(role="clerk", known_by=("os",))) as runs:
        run, _ = await go(runs, GIVEN)
        assert await runs.inbox(role="controller") == []
        [item] = await runs.inbox(role="clerk")
        for by, known_by in (("lee", "os"), ("dana", "code")):
            with pytest.raises(NotAllowed):
                await runs.answer(item, {"number": "8", "total": 1}, by=by, known_by=known_by)
        await runs.answer(item, {"number": "8", "total": 1}, by="dana", known_by="os")
        assert (await run.settled()).state == "done"


async def test_questions_count_among_the_approvals(open_runs: OpenRuns) -> None:
    async with open_runs(asking(limits=Limits(approvals=0))) as runs:
        run, summary = await go(runs, GIVEN)
        assert (summary.state, (await output(runs, run))["log"]) == ("done", "limit")
        assert await told(runs, run, "ask.opened") == []


async def test_a_resume_value_answers_nothing(open_runs: OpenRuns) -> None:
    graph = asking()
    async with open_runs(graph) as runs:
        run, _ = await go(runs, GIVEN)
        [item] = await open_items(runs, run)
        thread = {"configurable": {"thread_id": run.run_id}}
        for value in ({"number": "9", "total": 9}, {item.approval_id: {"number": "9", "total": 9}}):
            result = await graph.ainvoke(Command(resume=value), thread)
            assert (await run.summary()).state == "waiting"
            [interrupt] = result["__interrupt__"]
            [action], [config] = interrupt.value["action_requests"], interrupt.value["review_configs"]
            assert action["name"] == config["action_name"] == "person"
            assert (action["description"], set(action["args"])) == ("Correct the fields", {"bill", "findings"})
            assert config["allowed_decisions"] == ["edit", "reject"]
            assert (interrupt.id, interrupt.value["card_digest"]) == (item.approval_id, item.card_digest)
        await runs.answer(item, {"number": "8", "total": 1}, by="dana")
        assert (await run.settled()).state == "done"


async def test_it_is_asked_again_in_a_loop_and_when_it_is_rerun(open_runs: OpenRuns) -> None:
    graph = Workflow(Paper, name="flow")
    graph.add_node("person", question("Which?", shows=("bill",), returns=Bill, writes="bill"), max_visits=2)
    graph.add_node("check", lambda state: {"ran": state.get("ran", 0) + 1})
    graph.add_edge(START, "person").add_exits("person", answered="check", limit=FAILED, default=FAILED)
    graph.add_conditional_edges("check", lambda state: "person" if state["bill"].total > 5 else END, ["person", END])
    async with open_runs(graph.compile()) as runs:
        run, _ = await go(runs, GIVEN)
        for total, state in ((48, "waiting"), (4, "done")):
            [item] = await open_items(runs, run)
            await runs.answer(item, {"number": "7", "total": total}, by="dana")
            assert (await run.settled()).state == state
        await runs.rerun(run, node="person", by="lee")
        assert (await run.settled()).state == "waiting"
        [item] = await open_items(runs, run)
        await runs.answer(item, {"number": "9", "total": 1}, by="dana")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["bill"]["number"] == "9"
        await runs.rerun(run, node="check", by="lee")
        assert (await run.settled()).state == "done", "what was answered stands"


async def test_a_question_in_a_workflow_within_a_workflow(open_runs: OpenRuns) -> None:
    outer = Workflow(Paper, name="outer")
    outer.add_node("inner", asking()).add_edge(START, "inner").add_edge("inner", END)
    async with open_runs(outer.compile()) as runs:
        run, _ = await go(runs, GIVEN, graph="outer")
        [item] = await open_items(runs, run)
        with pytest.raises(BadInput):
            await runs.answer(item, {"number": "8"}, by="dana")
        await runs.answer(item, {"number": "8", "total": 1}, by="dana")
        assert (await run.settled()).state == "done"
        assert (await output(runs, run))["log"] == "answered"


def test_what_it_asks_is_part_of_the_version() -> None:
    first, same, other = asking(), asking(), asking(role="clerk")
    assert first.plan.rules.version == same.plan.rules.version != other.plan.rules.version


@pytest.mark.parametrize("wrong", [{"text": " "}, {"shows": "bill"}, {"returns": StillClock}, {"known_by": ("face",)}])
def test_a_question_that_cannot_be_asked_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        question(**({"text": "Which?", "writes": "bill"} | wrong))


async def test_whoever_is_asked_in_the_place_of_a_model_is_told_why(open_runs: OpenRuns) -> None:
    flow = Workflow(Paper, name="flow")
    flow.add_node("read", infer(reads=("log",), writes="log", returns=str, prompt="Read {log}"))
    flow.add_node("person", question("What does it say?", shows=("log",), returns=str, writes="log"))
    flow.add_edge(START, "read").add_exits("read", answered=END, default="person").add_exits("person", answered=END, default=FAILED)
    async with open_runs(flow.compile()) as runs:
        run, summary = await go(runs, {"log": "x"})
        assert summary.state == "waiting"
        shown = printed(ending(await story_of(runs, run)))
        assert "because read ended by unavailable: no model is configured" in shown
        assert "--set" not in shown, "a text has no fields"
        await runs.rerun(run, node="read", by="lee", reason="again")
        await run.settled()
        told = printed(page(await story_of(runs, run)))
        assert "asked anybody, a value: void ─── rerun 1" in told, told
        assert "expired" not in told


async def test_the_inbox_says_what_can_be_said_to_each_kind_of_question(open_runs: OpenRuns) -> None:
    async with open_runs(asking()) as runs:
        await go(runs, GIVEN)
        [item] = await runs.inbox()
        call = replace(item, kind="approval", tool="pay", approval_id="call", card={"arguments": {}})
        shown = printed(waiting([item, call, call], [], lambda graph: None))
    assert f"pointsman answer {item.approval_id[:8]} answer the first question in a form, or with --set" in shown
    assert "pointsman approve call --note TEXT let exactly the first call happen" in shown
