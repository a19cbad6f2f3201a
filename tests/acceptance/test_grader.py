"""A model that grades, over real HTTP: held against people first, each outcome graded once, every call on record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pointsman import Price
from pointsman.errors import BadInput, ModelFailed
from pointsman.evaluation.grader import Grader, Labelled, grading
from pointsman.testing import Act, OpenAIServer, abstain, answer
from tests.acceptance.world import OpenRuns

pytestmark = pytest.mark.anyio


def judge(body: dict[str, Any]) -> Act:
    """Passes what says `good`, and once, wrongly, `fair`; says nothing on `odd`."""
    told = json.dumps(body["messages"])
    if "odd" in told:
        return abstain("cannot tell")
    return answer({"passed": "good" in told or "fair" in told, "why": "it is poor"})


def labelled(good: int, fair: int, poor: int) -> list[Labelled]:
    said = [("good", True)] * good + [("fair", False)] * fair + [("poor", False)] * poor
    return [Labelled("?", f"{word} {number}", passed) for number, (word, passed) in enumerate(said)]


@pytest.fixture
def graph(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("POINTSMAN_MODEL", "openai:acted")
    return grading("grading", prices={"openai:acted": Price(input=0, output=0)})


async def test_a_grader_says_how_far_it_agrees_with_people(open_runs: OpenRuns, graph: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(judge) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        async with open_runs(graph) as runs:
            grader = await Grader.held_against(runs, "grading", "Does it meet the brief?", labelled(10, 1, 11))
            found = grader.agreement
            assert (found.agreed, found.labels, found.lenient, found.strict) == (21, 22, 1, 0)
            assert found.kappa.low < found.kappa.estimate == pytest.approx(0.909, abs=1e-3)
            assert "κ 0.91" in str(found)
            asked = len(server.seen)
            assert asked == 22
            assert (await grader.score("?", "good 0")).passed, "graded before: not asked again"
            assert len(server.seen) == asked
            poor = await grader.score({"a": 1}, {"a": "poor"})
            assert (poor.value, poor.why) == (0.0, "it is poor")
            with pytest.raises(ModelFailed, match="no grade"):
                await grader.score("?", "odd")
            assert len(await runs.list(graph="grading")) == 24


async def test_without_enough_labels_nothing_is_graded(open_runs: OpenRuns, graph: Any) -> None:
    async with open_runs(graph) as runs:
        for few in (labelled(5, 0, 5), labelled(25, 0, 0)):
            with pytest.raises(BadInput, match="how good a grader is"):
                await Grader.held_against(runs, "grading", "Does it meet the brief?", few)
        assert await runs.list() == []
