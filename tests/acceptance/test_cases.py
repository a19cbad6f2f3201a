"""Cases cut from real runs: what a person did is the label, equal cases are one, and other people's tools can take them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from agentevals.trajectory.match import create_trajectory_match_evaluator
from langgraph.graph import END, START
from langsmith import evaluate
from typer.testing import CliRunner
from typing_extensions import TypedDict

from pointsman import Policy, Runs, Send, Workflow, allow, ask, code, effect, question
from pointsman.cli import app
from pointsman.errors import BadInput, Conflict, NotFound
from pointsman.evaluation.case import Case, Label, cases, cut, keep, read
from pointsman.evaluation.evaluator import as_evaluator, as_scorer, examples, messages_of
from pointsman.evaluation.importing import traces_in
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.scorer import Score, by_field
from pointsman.evaluation.trace import Trace
from pointsman.evaluation.trajectory import ToolCall
from tests.acceptance.world import ASK_PAY, OpenRuns, World, flow, go

pytest_plugins = ["pytester"]

pytestmark = pytest.mark.anyio


async def test_a_case_of_a_question_says_who_answered_it(open_runs: OpenRuns) -> None:
    async with open_runs(asking()) as runs:
        found = []
        for number, decide in enumerate(
            (lambda item: runs.answer(item, 7, by="lee", note="as printed"), lambda item: runs.reject(item, by="max"))
        ):
            run, _ = await go(runs, {"item": number})
            (item,) = await runs.inbox()
            await decide(item)
            await run.settled()
            found += cut(await trace_of(runs, run), node="clerk")
    assert [(case.label.source, case.label.by, case.label.reason, case.label.exit, case.label.output) for case in found] == [
        ("answered", "lee", "as printed", "answered", {"amount": 7}),
        ("rejected", "max", "", "rejected", {}),
    ]


def guess(state: dict[str, Any]) -> dict[str, Any]:
    """A node whose judgment people correct."""
    return {"amount": 480 + (state.get("item") or 0), "text": "a guess"}


def paying(world: World, *, asks: bool = True) -> Any:
    pay = world.tools().pay
    graph = flow(policy=Policy(allow(), ask(pay)) if asks else Policy(allow()))
    graph.add_node("guess", code(guess, reads=("item",), writes=("amount", "text")))
    graph.add_node("post", effect(pay, reads=("amount",), writes="receipt"))
    graph.add_edge(START, "guess").add_edge("guess", "post").add_exits("post", default=END)
    return graph.compile()


def asking() -> Any:
    graph = flow()
    graph.add_node("guess", code(guess, reads=("item",), writes=("amount", "text")))
    graph.add_node("clerk", question("How much?", shows=("amount", "text"), returns=int, writes="amount"))
    graph.add_edge(START, "guess").add_edge("guess", "clerk").add_exits("clerk", default=END)
    return graph.compile()


async def recorded(runs: Runs, **given: Any) -> Trace:
    """A run whose question, where there is one, is approved."""
    run, summary = await go(runs, given)
    if summary.state == "waiting":
        (item,) = await runs.inbox()
        await runs.approve(item, by="dana")
        await run.settled()
    return await trace_of(runs, run)


async def test_of_a_run_nobody_corrected_what_was_recorded_is_expected(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world, asks=False)) as runs:
        trace = await recorded(runs, item=2)
    (whole,) = cut(trace)
    assert (whole.suite, whole.node, whole.input, whole.label.source, whole.label.exit) == ("flow", None, {"item": 2}, "recorded", "done")
    assert whole.label.output["receipt"] == "paid 482"
    (one,) = cut(trace, node="guess")
    assert (one.suite, one.input, one.label.output) == ("flow.guess", {"item": 2}, {"amount": 482, "text": "a guess"})
    with pytest.raises(NotFound, match="never ended") as error:
        cut(trace, node="nobody")
    assert "guess, post" in str(error.value)


async def test_an_answer_is_the_label_of_the_node_that_had_it_wrong(open_runs: OpenRuns) -> None:
    async with open_runs(asking()) as runs:
        run, _ = await go(runs, {"item": 1})
        (item,) = await runs.inbox()
        await runs.answer(item, 500, by="lee", note="see page 2")
        await run.settled()
        trace = await trace_of(runs, run)
    (case,) = cut(trace, node="guess")
    assert case.label == Label(source="answered", exit="done", output={"amount": 500, "text": "a guess"}, by="lee", reason="see page 2")


async def test_an_edit_is_the_label_and_a_rejection_says_what_it_is_not(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world)) as runs:
        for decide in ("edit", "reject"):
            run, _ = await go(runs, {"item": 3 if decide == "edit" else 4})
            (item,) = await runs.inbox()
            await (runs.edit(item, {"amount": 48}, by="dana") if decide == "edit" else runs.reject(item, by="dana", note="not ours"))
            if (await run.settled()).state == "waiting":
                (item,) = await runs.inbox()
                await runs.approve(item, by="kim")
            await run.settled()
            (case,) = cut(await trace_of(runs, run), node="guess")
            if decide == "edit":
                assert (case.label.source, case.label.by, case.label.output["amount"]) == ("edited", "dana", 48)
            else:
                assert case.label == Label(source="rejected", unlike={"amount": 484}, by="dana", reason="not ours")


async def test_a_repair_is_the_label(open_runs: OpenRuns, world: World) -> None:
    async with open_runs(paying(world, asks=False)) as runs:
        run, _ = await go(runs, {"item": 5})
        await runs.rerun(run, node="post", patch={"amount": 7}, by="lee", reason="typo")
        await run.settled()
        (case,) = cut(await trace_of(runs, run), node="guess")
    assert (case.label.source, case.label.by, case.label.reason, case.label.output["amount"]) == ("repaired", "lee", "typo", 7)


async def test_equal_cases_are_one_and_a_persons_word_counts_more(open_runs: OpenRuns, world: World, tmp_path: Path) -> None:
    async with open_runs(paying(world)) as runs:
        first, again = await recorded(runs, item=1), await recorded(runs, item=1)
        run, _ = await go(runs, {"item": 1})
        (item,) = await runs.inbox()
        await runs.reject(item, by="dana")
        await run.settled()
        rejected = await trace_of(runs, run)
    kept = [keep(tmp_path, case) for trace in (first, again, rejected, first, rejected) for case in cut(trace, node="guess")]
    assert kept == ["kept", "there", "corrected", "there", "there"]
    (case,) = cases(tmp_path, "flow.guess")
    assert case.label.source == "rejected"
    (other,) = cut(rejected, node="guess")
    with pytest.raises(Conflict, match="another label"):
        keep(
            tmp_path,
            Case(
                **{
                    **{name: getattr(other, name) for name in Case.__dataclass_fields__},
                    "label": Label(source="edited", output={"amount": 9}, by="kim"),
                }
            ),
        )


def made(number: int, cluster: str | None = None) -> Case:
    return Case(suite="s", graph="g", node="n", input={"x": number}, label=Label(source="recorded"), cluster=cluster)


def test_parts_are_split_by_hash_and_clusters_stay_together() -> None:
    parts = [made(number).split for number in range(600)]
    assert {"train", "dev", "test"} == set(parts)
    assert 300 < parts.count("train") < 420
    assert len({made(number, "one document").split for number in range(50)}) == 1
    assert made(1).case_id == made(1, "c").case_id != made(2).case_id


def test_cases_that_cannot_be_cut_or_read(tmp_path: Path, data: Path) -> None:
    trace = traces_in(data / "airline" / "recorded-runs.json.gz")[0]
    with pytest.raises(BadInput, match="imported from chat|lacks"):
        cut(trace)
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(BadInput, match="is no case"):
        read(tmp_path / "x.json")
    with pytest.raises(NotFound, match="no suite"):
        cases(tmp_path / "nowhere", "s")


async def test_one_command_cuts_a_case(open_runs: OpenRuns, url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_runs(asking()) as runs:
        run, _ = await go(runs, {"item": 1})
        (item,) = await runs.inbox()
        await runs.answer(item, 500, by="lee")
        await run.settled()
    (home / "langgraph.json").write_text('{"graphs": {}}')
    monkeypatch.chdir(home)
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("POINTSMAN_HOME", str(home))

    def told() -> Any:
        return json.loads(CliRunner().invoke(app, ["eval", "case", run.run_id[:8], "--node", "guess", "--json"]).stdout)

    import anyio.to_thread

    first, second = await anyio.to_thread.run_sync(told), await anyio.to_thread.run_sync(told)
    assert [(one["cases"][0]["was"], one["cases"][0]["label"], one["cases"][0]["by"]) for one in (first, second)] == [
        ("kept", "answered", "lee"),
        ("there", "answered", "lee"),
    ]
    assert len(list((home / "evals" / "cases" / "flow.guess").iterdir())) == 1


def test_a_marked_test_runs_once_for_each_case(pytester: pytest.Pytester) -> None:
    for number in range(3):
        keep(pytester.path / "evals" / "cases", made(number))
    pytester.makeconftest("pytest_plugins = ['pointsman.testing.cases']")
    pytester.makepyfile("""
        import pytest
        @pytest.mark.cases("s")
        def test_case(case):
            assert case.input["x"] != 1
        @pytest.mark.cases("nobody")
        def test_nobody(case): ...
    """)
    told = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-k", "test_case", "--continue-on-collection-errors")
    assert "there is no suite" in told.stdout.str()
    pytester.makepyfile("import pytest\n@pytest.mark.cases('s')\ndef test_case(case):\n    assert case.input['x'] != 1\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2, failed=1)


@pytest.mark.filterwarnings("ignore:'upload_results' parameter is in beta")
def test_langsmith_evaluates_cases_and_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("LANGSMITH_ENDPOINT", "http://127.0.0.1:9")  # nobody answers there
    given = [Case(suite="s", graph="g", node="n", input={"x": n}, label=Label(source="answered", output={"y": n + 1})) for n in (1, 2)]
    found = evaluate(
        lambda inputs: {"y": 2},
        data=examples(given),
        evaluators=[as_evaluator(by_field(), "fields")],
        upload_results=False,
        max_concurrency=0,
    )
    scores = {result["example"].inputs["x"]: result["evaluation_results"]["results"][0].score for result in found}
    assert scores == {1: 1.0, 2: 0.0}


def test_agentevals_score_trajectories() -> None:
    strict = as_scorer(create_trajectory_match_evaluator(trajectory_match_mode="strict"), messages_of)
    loose = as_scorer(create_trajectory_match_evaluator(trajectory_match_mode="unordered"), messages_of)
    expected, actual = [ToolCall("a", {"x": 1}), ToolCall("b", {})], [ToolCall("b", {}), ToolCall("a", {"x": 1})]
    assert (strict(expected, expected).value, strict(expected, actual).value, loose(expected, actual).value) == (1.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("told", "value"), [({"score": 0.5, "comment": "half"}, 0.5), ([{"score": 1}, {"score": True}], 1.0), (0.25, 0.25)]
)
def test_evaluators_of_other_forms(told: Any, value: float) -> None:
    assert as_scorer(lambda outputs, reference_outputs: told)(1, 1).value == value


@pytest.mark.parametrize("told", [{"score": 7}, {"verdict": "good"}, [], "good"])
def test_what_is_no_score_is_refused(told: Any) -> None:
    with pytest.raises(BadInput, match="no score"):
        as_scorer(lambda outputs, reference_outputs: told)(1, 1)
    assert as_evaluator(lambda expected, actual: Score(0.5, "why"), "k")({"a": 1}, {"a": 1}) == {"key": "k", "score": 0.5, "comment": "why"}


class Part(TypedDict, total=False):
    raw: int
    amount: int
    receipt: str


class Parts(TypedDict, total=False):
    raws: list[int]


async def test_a_correction_in_one_branch_is_the_label_of_that_branch(open_runs: OpenRuns, world: World) -> None:
    inner = Workflow(Part, name="part", policy=ASK_PAY)
    inner.add_node("read", code(lambda state: {"amount": state["raw"]}, reads=("raw",), writes=("amount",)))
    inner.add_node("post", effect(world.tools().pay, reads=("amount",), writes="receipt"))
    inner.add_edge(START, "read").add_edge("read", "post").add_exits("post", done=END, default=END)
    outer = Workflow(Parts, name="flow", policy=ASK_PAY)
    outer.add_node("part", inner.compile())
    outer.add_conditional_edges(START, lambda state: [Send("part", {"raw": raw}) for raw in state["raws"]], ["part"], max_items=5)
    outer.add_edge("part", END)
    async with open_runs(outer.compile()) as runs:
        run, _ = await go(runs, {"raws": [1, 2, 3]})
        by_amount = {item.card["arguments"]["amount"]: item for item in await runs.inbox()}
        await runs.edit(by_amount[1], {"amount": 100}, by="dana")
        await runs.reject(by_amount[2], by="dana")
        await run.settled()
        found = cut(await trace_of(runs, run), node="read")
    assert {case.input["raw"]: (case.label.source, case.label.output, case.label.unlike) for case in found} == {
        1: ("edited", {"amount": 100}, {}),
        2: ("rejected", {}, {"amount": 2}),
        3: ("recorded", {"amount": 3}, {}),
    }
    assert len({case.split for case in found}) == len({case.cluster for case in found}) == 1, "cases of one run fall into one part"
