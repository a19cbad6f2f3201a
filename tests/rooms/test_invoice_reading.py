"""The suite of what a model reads from invoices: tried with the recorded answers, it finds the one that they get wrong, and the gate sees a worse prompt's harm."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from evals.invoice_reading import suite
from graphs.invoice import graph
from pointsman.evaluation.case import Case
from pointsman.evaluation.suite import tried
from pointsman.testing import OpenAIServer, recorded
from tests.conftest import ROOT

pytestmark = pytest.mark.anyio

TRUTH = json.loads((ROOT / "samples" / "invoices.json").read_text())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    """A server of the recorded answers, which the environment names."""
    with OpenAIServer(recorded(json.loads((ROOT / "samples" / "recorded_answers.json").read_text()))) as server:
        monkeypatch.setenv("POINTSMAN_MODEL", "openai:recorded-answers")
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        yield server


async def test_the_suite_finds_what_the_recorded_answers_get_wrong(answers: OpenAIServer) -> None:
    found = await tried(suite, graph, suite.cases(ROOT))
    wrong = {trial.cluster: trial.why for trial in found.trials if trial.score < 1}
    assert set(wrong) == {"RR-121.pdf"}
    assert "reading.total" in wrong["RR-121.pdf"]
    assert len(found.trials) == len(answers.seen) == 6
    assert found.protocol.models == ("openai:recorded-answers",)


async def test_without_a_model_every_case_fails_and_says_why() -> None:
    found = await tried(suite, graph, suite.cases(ROOT))
    assert {trial.score for trial in found.trials} == {0.0}
    assert "unavailable" in found.trials[0].why


@pytest.mark.cases("invoice.interpret")
async def test_every_case_is_labelled_by_what_is_true(case: Case) -> None:
    """Not by what some model said."""
    true = TRUTH[case.cluster].get("fields")
    if case.label.exit == "abstained":
        assert true is None or true["number"] not in case.input["text"]
    else:
        assert case.label.output["reading"]["number"] == true["number"]
    assert case.files == {} and set(case.input) == {"text"}
