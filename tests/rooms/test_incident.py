"""The incident workflow, from a delivery of alerts to the casebook, with the cluster in a process of its own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphs.incident import graph
from guards.operations import policy
from pointsman.errors import BadInput, Conflict, NotAllowed
from pointsman.evidence import verify
from pointsman.policy import Facts, Verdict
from pointsman.testing import Act, OpenAIServer, answer, recorded
from samples import make_incidents
from tests.conftest import OpenRuns
from tests.rooms.actors import ClusterProcess, lying
from tests.rooms.incident_runs import SAMPLES, approved, asked, go, intents, reports
from tools.cluster import Action, Preview, Remedy, Risk
from tools.cluster.client import read_preview, send_remedy

pytestmark = pytest.mark.anyio

TRUTH: dict[str, dict[str, Any]] = json.loads((SAMPLES / "incidents.json").read_text(encoding="utf-8"))
RECORDED = recorded(json.loads((SAMPLES / "recorded_opinions.json").read_text(encoding="utf-8")))
STORM = [{"name": "X", "entity": "cart", "starts_at": f"2026-11-02T{8 + place:02}:00:00Z"} for place in range(11)]
INLINE = json.loads((SAMPLES / "incidents" / "false-alarm.json").read_text(encoding="utf-8"))
CURRENCY = {"pod": "currency-9b6e-t4", "mechanism": "errors", "because": "it fails"}

Script = list[Act] | Callable[[dict[str, Any]], Act]


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Any]:
    """A model that says what a script says, for as long as a `with` lasts."""

    @contextmanager
    def speaks(script: Script) -> Iterator[OpenAIServer]:
        with OpenAIServer(script) as server:
            monkeypatch.setenv("POINTSMAN_MODEL", "openai:recorded-answers")
            monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
            monkeypatch.setenv("OPENAI_API_KEY", "none")
            yield server

    return speaks


async def test_every_sample_ends_as_its_truth_says_without_a_model(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    done: set[str] = set()
    async with open_runs(graph) as runs:
        for name, truth in TRUTH.items():
            run = await go(runs, name.removesuffix(".json"))
            assert await approved(runs, run) == "done", name
            assert [case["end"] for case in await reports(runs, run)] == truth["ends"], name
            begun = await intents(runs, run, "apply_remedy")
            assert all(event.fields["approval"] for event in begun)
            done |= {event.fields["key"] for event in begun}
            assert await verify(runs.owner.store, run.run_id) == []
    counts: Any = cluster.get("/counts")
    assert all(count == {"requests": 1, "applied": 1} for count in counts.values())
    resolved = [remedy for truth in TRUTH.values() if set(truth["ends"]) == {"resolved"} for remedy in truth["remedies"]]
    assert {remedy.partition(" in ")[0] for remedy in cluster.remedies()} == {*resolved, "restart shipping-6c5a-v8"}
    assert len(cluster.remedies()) == len(done)


async def test_an_agent_finds_what_triage_leaves_open(open_runs: OpenRuns, cluster: ClusterProcess, speaking: Any) -> None:
    with speaking(RECORDED) as model:
        async with open_runs(graph) as runs:
            run = await go(runs, "ambiguous")
            [item] = await asked(runs, run)
            assert (item.tool, item.role) == ("apply_remedy", "operator")
            assert cluster.remedies() == []
            assert await approved(runs, run) == "done"
            [case] = await reports(runs, run)
            assert len(await intents(runs, run, "read_series")) == 2
            assert all(event.fields["approval"] for event in await intents(runs, run, "apply_remedy"))
    assert [case["end"]] == TRUTH["ambiguous.json"]["with_model"]
    assert cluster.remedies() == ["rollback payment in ambiguous"]
    assert len(model.seen) == 2


async def test_a_clear_cause_asks_no_model(open_runs: OpenRuns, cluster: ClusterProcess, speaking: Any) -> None:
    with speaking(RECORDED) as model:
        async with open_runs(graph) as runs:
            await go(runs, "network-fault")
    assert model.seen == []


async def test_a_person_names_a_remedy_and_is_asked_about_it_like_anybody(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    async with open_runs(graph) as runs:
        run = await go(runs, "wrong-remedy")
        [item] = await asked(runs, run)
        await runs.approve(item, by="dana")
        await run.settled()
        [question] = await asked(runs, run)
        assert question.kind == "question"
        remedy = {"cluster": "wrong-remedy", **TRUTH["wrong-remedy.json"]["person"]}
        await runs.answer(question, {"remedy": remedy, "note": "3.4 leaks"}, by="dana")
        await run.settled()
        assert cluster.remedies() == ["restart shipping-6c5a-v8 in wrong-remedy"]
        [item] = await asked(runs, run)
        with pytest.raises(NotAllowed):  # a rollback is for a second pair of eyes
            await runs.approve(item, by="dana")
        assert await approved(runs, run, by="kim") == "done"
        [case] = await reports(runs, run)
    assert ([case["end"]], case["note"]) == (TRUTH["wrong-remedy.json"]["with_person"], "3.4 leaks")
    assert cluster.remedies()[1:] == ["rollback shipping in wrong-remedy"]


@pytest.mark.parametrize(
    "remedy",
    [
        {"cluster": "wrong-remedy", "action": "restart", "target": "shipping-6c5a-v8"},
        {"cluster": "wrong-remedy", "action": "restart", "target": "moon-1"},
        {"cluster": "clear-cause", "action": "scale", "target": "cart"},
    ],
    ids=["applied already", "nothing of that name", "of another cluster"],
)
async def test_a_remedy_that_cannot_help_is_not_asked_about(open_runs: OpenRuns, cluster: ClusterProcess, remedy: dict[str, str]) -> None:
    async with open_runs(graph) as runs:
        run = await go(runs, "wrong-remedy")
        await runs.approve((await asked(runs, run))[0], by="dana")
        await run.settled()
        await runs.answer((await asked(runs, run))[0], {"remedy": remedy, "note": "again"}, by="dana")
        await run.settled()
        [again] = await asked(runs, run)
        assert again.kind == "question"
    assert len(cluster.remedies()) == 1


REMEDIES = st.builds(
    Remedy,
    cluster=st.from_regex(r"\A[a-z0-9][a-z0-9_.-]{0,9}\Z"),
    action=st.sampled_from(get_args(Action)),
    target=st.text(min_size=1, max_size=9),
)
PREVIEWS = st.builds(Preview, remedy=REMEDIES, does=st.text(), felt_by=st.lists(st.text(max_size=5)).map(tuple), revision=st.integers())


@given(PREVIEWS, st.sampled_from(get_args(Risk)), st.sampled_from(["apply", "investigate", "anything"]), st.text(max_size=5))
@settings(max_examples=100)
def test_no_remedy_is_allowed_by_a_rule(preview: Preview, risk: str, node: str, principal: str) -> None:
    facts = Facts(tool="apply_remedy", effect="execute", arguments={"preview": preview, "risk": risk}, node=node, principal=principal)
    decision = policy.decide(facts)
    assert (decision.verdict, [need.role for need in decision.needs]) == (Verdict.ASK, ["operator"])


async def test_without_approval_nothing_is_done(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    async with open_runs(graph) as runs:
        run = await go(runs, "clear-cause")
        [item] = await asked(runs, run)
        for nobody in ("lee", "mallory", ""):
            with pytest.raises((NotAllowed, BadInput)):
                await runs.approve(item, by=nobody)
        await runs.reject(item, by="dana")
        await run.settled()
        await runs.reject((await asked(runs, run))[0], by="dana")
        await run.settled()
        assert [case["end"] for case in await reports(runs, run)] == ["left to a person"]
        assert await intents(runs, run, "apply_remedy") == []
    assert cluster.remedies() == []


async def test_an_edited_remedy_is_another_call_and_asked_about(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    async with open_runs(graph) as runs:
        run = await go(runs, "clear-cause")
        [item] = await asked(runs, run)
        other = {**item.card["arguments"]["preview"], "remedy": {"cluster": "clear-cause", "action": "scale", "target": "catalog"}}
        await runs.edit(item, {"preview": other}, by="dana")
        await run.settled()
        assert cluster.remedies() == []
        [again] = await asked(runs, run)
        assert again.card["arguments"]["preview"]["remedy"]["target"] == "catalog"


HOSTILE = {
    "calls the remedy itself": [Act(tool_calls=(("apply_remedy", json.dumps({"preview": {}})),)), Act(tool_calls=(("file_case", "{}"),))],
    "blames a pod of another part": [answer({"pod": "indexer-3a2f-w5", "mechanism": "errors", "because": "pre-approved by the CFO"})],
    "invents a pod": [answer({"pod": "payment; rm -rf /", "mechanism": "errors", "because": "x"})],
    "asks for ever": [Act(tool_calls=(("read_changes", json.dumps({"cluster": "ambiguous"})),))],
    "asks fifty things at once": [Act(tool_calls=(("read_changes", json.dumps({"cluster": "ambiguous"})),) * 50)],
    "answers nonsense": [Act(content="I have already applied the rollback.")],
}


@pytest.mark.parametrize("script", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_model_gets_no_further_than_a_person(
    open_runs: OpenRuns, cluster: ClusterProcess, speaking: Any, script: list[Act]
) -> None:
    with speaking(script):
        async with open_runs(graph) as runs:
            run = await go(runs, "ambiguous")
            assert [item.kind for item in await asked(runs, run)] == ["question"]
            assert await intents(runs, run, "apply_remedy") == []
    assert cluster.remedies() == []


async def test_a_model_that_changes_its_mind_changes_nothing(open_runs: OpenRuns, cluster: ClusterProcess, speaking: Any) -> None:
    said = iter([answer({**CURRENCY, "pod": "payment-84bd-z6"})])
    with speaking(lambda _: next(said, answer(CURRENCY))) as model:
        async with open_runs(graph) as runs:
            run = await go(runs, "ambiguous")
            [item] = await asked(runs, run)
            await runs.rerun(run, node="investigate", by="lee", reason="ask it again")
            await run.settled()
            with pytest.raises(Conflict):  # what has to be asked is asked anew
                await runs.approve(item, by="dana")
            assert await approved(runs, run) == "done"
    assert cluster.remedies() == ["rollback payment in ambiguous"]
    assert len(model.seen) == 1


async def test_an_approval_is_of_the_remedy_as_it_was_previewed(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    async with open_runs(graph) as runs:
        run = await go(runs, "clear-cause")
        [item] = await asked(runs, run)
        await send_remedy(await read_preview(Remedy(cluster="clear-cause", action="scale", target="frontend")), "somebody else's")
        await runs.approve(item, by="dana")
        assert (await run.settled()).state == "waiting"
        assert cluster.remedies() == ["scale frontend in clear-cause"]
        [again] = await asked(runs, run)
        assert again.card["arguments"]["preview"]["revision"] == 1
        assert await approved(runs, run) == "done"
    assert cluster.remedies() == ["scale frontend in clear-cause", "scale cart in clear-cause"]


async def test_a_delivery_twice_is_one_run_and_its_alerts_again_are_a_duplicate(
    open_runs: OpenRuns, cluster: ClusterProcess, home: Path
) -> None:
    async with open_runs(graph) as runs:
        run = await go(runs, "clear-cause")
        assert (await go(runs, "clear-cause")).run_id == run.run_id
        for name, key in (("clear-cause", "another key"), ("redelivered", "some of its alerts")):
            again = await go(runs, name, key)
            assert [case["end"] for case in await reports(runs, again)] == ["duplicate"]
        assert await approved(runs, run) == "done"
        again = await go(runs, "clear-cause", "after it has ended")
        assert [case["end"] for case in await reports(runs, again)] == ["duplicate"]
    assert cluster.remedies() == ["scale cart in clear-cause"]
    [filed] = (home / "cases").glob("*.json")  # what was learnt of it is not overwritten
    assert json.loads(filed.read_text())["end"] == "resolved"


async def test_a_cluster_that_is_down_parks_the_run_which_goes_on_when_it_is_back(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    async with open_runs(graph) as runs:
        run = await go(runs, "clear-cause")
        cluster.kill()
        [item] = await asked(runs, run)
        await runs.approve(item, by="dana")
        assert (await run.settled()).state == "parked"
        cluster.start()
        await runs.resume(run)
        await run.settled()
        assert await approved(runs, run) == "done"
        assert [case["end"] for case in await reports(runs, run)] == ["resolved"]
    assert cluster.remedies() == ["scale cart in clear-cause"]


ELSEWHERE = {"cluster": "two-incidents", "action": "scale", "target": "cart"}


def unmeasured(answer: dict[str, Any]) -> dict[str, Any]:
    """Telemetry in which every third minute is no number."""
    for series in answer["series"]:
        series["values"] = [value if place % 3 else math.nan for place, value in enumerate(series["values"])]
    return answer


@pytest.mark.parametrize(
    ("about", "lie", "asks", "state"),
    [
        ("/telemetry", unmeasured, "approval", "done"),
        ("/preview", lambda answer: answer | {"remedy": ELSEWHERE}, "question", "done"),
        ("/remedies", lambda answer: answer | {"remedy": ELSEWHERE}, "approval", "parked"),
    ],
    ids=["minutes that are no number", "a preview of something else", "something else was done"],
)
async def test_a_cluster_that_lies_gets_nothing_approved_and_nothing_believed(
    open_runs: OpenRuns, cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch, home: Path, about: str, lie: Any, asks: str, state: str
) -> None:
    with lying(cluster, lambda path, answer: lie(answer) if about in path else answer) as url:
        monkeypatch.setenv("CLUSTER_URL", url)
        async with open_runs(graph) as runs:
            run = await go(runs, "clear-cause")
            [item] = await asked(runs, run)
            assert item.kind == asks
            assert await approved(runs, run) == state
    assert cluster.remedies() == (["scale cart in clear-cause"] if asks == "approval" else [])
    assert {remedy for case in (home / "cases").glob("*") for remedy in json.loads(case.read_text())["remedies"]} <= {*cluster.remedies()}


async def test_two_deliveries_in_one_are_set_aside(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    async with open_runs(graph) as runs:
        run = await runs.start("incident", {"delivery": INLINE, "path": str(SAMPLES / "incidents" / "clear-cause.json")})
        assert (await run.settled()).quarantined


async def test_alerts_can_be_given_as_they_are(open_runs: OpenRuns, cluster: ClusterProcess) -> None:
    async with open_runs(graph) as runs:
        run = await runs.start("incident", {"delivery": INLINE})
        await run.settled()
        assert [case["end"] for case in await reports(runs, run)] == ["false alarm"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"{", "cannot be read"),
        (b'{"cluster": "ambiguous", "alerts": []}', "no alerts"),
        (b'{"cluster": "ambiguous", "alerts": [{"name": "X", "starts_at": "2026-11-02T10:00:00"}]}', "starts_at"),
        (json.dumps({"cluster": "ambiguous", "alerts": STORM}).encode(), "11 incidents at once"),
        (b'{"cluster": "ambiguous", "alerts": [{"name": "X", "starts_at": "0001-01-01T00:00:00Z"}]}', "starts_at"),
        (b'{"cluster": "..", "alerts": [{"name": "X", "starts_at": "2026-11-02T10:00:00Z"}]}', "should match pattern"),
        (b'{"cluster": "nowhere", "alerts": [{"name": "X", "starts_at": "2026-11-02T10:00:00Z"}]}', "no cluster 'nowhere'"),
    ],
)
async def test_what_is_no_delivery_is_set_aside_with_its_fault(
    open_runs: OpenRuns, cluster: ClusterProcess, tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "alerts.json"
    path.write_bytes(content)
    async with open_runs(graph) as runs:
        run = await runs.start("incident", {"path": str(path)})
        summary = await run.settled()
        assert (summary.state, summary.quarantined) == ("failed", True)
        payloads = await runs.payloads(run)
        [failed] = [event for event in await runs.events(run) if event.kind == "run.failed"]
        assert why in json.dumps([payloads[digest] for digest in failed.payloads.values()])


def test_the_script_writes_the_same_bytes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_incidents, "HERE", tmp_path)
    make_incidents.main()
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.json"))
    kept = [*SAMPLES.glob("incidents/*"), *SAMPLES.glob("clusters/*"), SAMPLES / "incidents.json"]
    assert written == sorted(path.relative_to(SAMPLES) for path in kept)
    for path in written:
        assert (tmp_path / path).read_bytes() == (SAMPLES / path).read_bytes(), path
