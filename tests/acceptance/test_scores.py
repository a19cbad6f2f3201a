"""`pointsman eval score`, `compare`, `report` on sets of conversations: what is printed, what exits, what is not made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pointsman.cli import app
from pointsman.evaluation.importing import traces_in
from pointsman.evaluation.results import Results
from pointsman.evaluation.score import estimated_tokens, turn_caps

Tell = Callable[..., tuple[int, Any]]


@pytest.fixture
def tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tell:
    """`tell("score", "set")`: the exit code of `pointsman eval …`, and what its `--json` says."""
    (tmp_path / "langgraph.json").write_text('{"graphs": {}}')
    (tmp_path / "desk.py").write_text("class Tool:\n    name = 'book'\n\nWRITES = (Tool,)\nNOTHING = 5\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POINTSMAN_HOME", str(tmp_path / "home"))

    def run(*words: str) -> tuple[int, Any]:
        done = CliRunner().invoke(app, ["eval", *words, "--json"])
        return done.exit_code, json.loads(done.stdout) if done.stdout.strip() else done.stderr

    return run


def conversation(
    task: int,
    trial: int,
    reward: float | None,
    calls: Sequence[tuple[str, dict[str, Any]]],
    expected: Sequence[tuple[str, dict[str, Any]]] | None = None,
) -> dict[str, Any]:
    said: list[dict[str, Any]] = [{"role": "system", "content": "rules"}, {"role": "user", "content": "12345678"}]
    for name, arguments in calls:
        said.append(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}],
            }
        )
        said.append({"role": "tool", "tool_call_id": "c", "name": name, "content": "ok"})
    said.append({"role": "assistant", "content": "done"})
    info = {} if expected is None else {"info": {"task": {"actions": [{"name": name, "kwargs": kwargs} for name, kwargs in expected]}}}
    return {"task_id": task, "trial": trial, "traj": said, **({} if reward is None else {"reward": reward}), **info}


def kept(tell: Tell, name: str, runs: list[dict[str, Any]]) -> Path:
    Path(f"{name}.json").write_text(json.dumps(runs))
    assert tell("import", f"{name}.json", "--name", name)[0] == 0
    return Path(f"{name}.json")


def passes(rewards: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    return [
        conversation(task, trial, float(reward), [("look", {})] * (1 + trial))
        for task, trials in enumerate(rewards)
        for trial, reward in enumerate(trials)
    ]


def test_the_airline_runs_score_as_published(tell: Tell, data: Path) -> None:
    code, told = tell("import", str(data / "airline" / "recorded-runs.json.gz"), "--name", "airline")
    assert (code, told["set"], told["runs"]) == (0, "airline", 100)
    assert "tokens" in told["missing"] and "versions" in told["missing"]
    Path("writers.py").write_text("from types import SimpleNamespace as N\nWRITES = [N(name=n) for n in ('book_reservation', 'cancel_reservation', 'send_certificate', "
                                  "'update_reservation_baggages', 'update_reservation_flights', 'update_reservation_passengers')]\n")  # fmt: skip
    code, told = tell("score", "airline", "--writes", "writers:WRITES", "--price", "2.5/10")
    assert code == 0
    assert {k: round(value, 3) for k, value in told["pass_k"].items()} == {"1": 0.310, "2": 0.193, "3": 0.170, "4": 0.160}
    assert told["intervals"]["1"]["low"] < 0.22 and told["intervals"]["1"]["high"] > 0.42, "wider than for 100 independent runs"
    assert round(told["paths"]["mean"], 2) == 3.64
    assert list(told["paths"]["by_task"].values()).count(4) == 18
    assert told["writes"] == {"calls": 149, "wrong": 112, "runs_wrong": 52, "passed_wrong": 8, "unwanted_runs": 12}
    assert told["turn_caps"]["8"] < told["turn_caps"]["12"] < told["turn_caps"]["20"] <= 1
    assert told["cost_of_pass"]["estimated"] and told["cost_of_pass"]["never"] == 10
    assert any("estimated" in note for note in told["protocol"]["notes"])


def test_without_a_price_no_money_is_made_up(tell: Tell) -> None:
    kept(tell, "free", passes([[1, 0], [1, 1]]))
    code, told = tell("score", "free")
    assert (code, told["cost_of_pass"], told["writes"], told["pass_k"]) == (0, None, None, {"1": 0.75, "2": 0.5})


def test_what_nobody_judged_is_not_scored(tell: Tell) -> None:
    kept(tell, "unjudged", [conversation(1, 0, None, [])])
    code, told = tell("score", "unjudged")
    assert code == 2 and "have no reward" in told["error"]["what"]
    Path("rules.py").write_text("from pointsman.evaluation.invariant import never\nno_booking = never('book')\nNOTHING = 5\n")
    code, told = tell("score", "unjudged", "--by", "rules:no_booking")
    assert (code, told["pass_k"]) == (0, {"1": 1.0})
    assert tell("score", "unjudged", "--by", "rules:NOTHING")[0] == 2


def test_a_reward_is_between_0_and_1_and_a_whole_pass_may_be_off_by_what_floats_are(tell: Tell) -> None:
    kept(tell, "nearly", [conversation(1, 0, 1 - 1e-9, [("look", {})]), conversation(2, 0, 1 + 1e-9, []), conversation(3, 0, 0.5, [])])
    code, told = tell("score", "nearly")
    assert (code, told["pass_k"]) == (0, {"1": 2 / 3})
    assert told["turn_caps"]
    kept(tell, "points", [conversation(1, 0, 5.0, []), conversation(2, 0, -3.0, [])])
    code, told = tell("score", "points")
    assert code == 2 and "do not lie between 0 and 1: 5 of 1/0, -3 of 2/0" in told["error"]["what"]


def test_a_source_that_says_nothing_usable_of_what_its_task_expects(tell: Tell) -> None:
    told = conversation(1, 0, 1.0, [("book", {})])
    told["info"] = {"task": {"actions": [{"name": "book"}, 7]}}
    kept(tell, "vague", [told])
    assert tell("score", "vague", "--writes", "desk:WRITES")[1]["writes"] is None


def test_writes_are_held_against_what_the_task_expects(tell: Tell) -> None:
    right, wrong = ("book", {"seat": 1}), ("book", {"seat": 2})
    kept(tell, "desk", [
        conversation(1, 0, 1.0, [("look", {}), right], [right]), conversation(1, 1, 1.0, [wrong], [right]), conversation(2, 0, 0.0, [wrong], []), conversation(2, 1, 1.0, [], []),
    ])  # fmt: skip
    _, told = tell("score", "desk", "--writes", "desk:WRITES")
    assert told["writes"] == {"calls": 3, "wrong": 2, "runs_wrong": 2, "passed_wrong": 1, "unwanted_runs": 1}


@pytest.mark.parametrize(
    "words", [("--writes", "desk"), ("--writes", "desk:NOBODY"), ("--writes", "desk:NOTHING"), ("--price", "cheap"), ("--price", "1")]
)
def test_wrong_words_are_refused(tell: Tell, words: tuple[str, str]) -> None:
    kept(tell, "some", passes([[1]]))
    code, told = tell("score", "some", *words)
    assert code == 2 and told["error"]["remedy"]


def test_money_and_turns_are_estimated_from_what_was_said() -> None:
    told = conversation(1, 0, 1.0, [("look", {})])["traj"]
    # system 5, user 8; the first answer is a call; then its result, 2; then 4.
    first = len(json.dumps(told[2]["tool_calls"]))
    assert estimated_tokens(told) == ((13 + 13 + first + 2) // 4, (first + 4) // 4)


def test_turn_caps_keep_runs_that_are_short_enough(tmp_path: Path) -> None:
    file = tmp_path / "runs.json"
    file.write_text(json.dumps(passes([[1, 1, 0, 1]])))
    caps = turn_caps(traces_in(file))
    assert caps == {1: 0.0, 2: 1 / 3, 3: 2 / 3, 4: 2 / 3, 5: 1.0}


def compared(tell: Tell, today: list[list[int]], tomorrow: list[list[int]], *words: str) -> tuple[int, Any]:
    for name, rewards in (("today", today), ("tomorrow", tomorrow)):
        kept(tell, name, passes(rewards))
        assert tell("score", name, "--out", f"{name}.results.json")[0] == 0
    return tell("compare", "today.results.json", "tomorrow.results.json", *words)


def test_a_release_that_is_as_good_passes(tell: Tell) -> None:
    good = [[1, 1, 1, 0]] * 20 + [[1, 1, 1, 1]] * 20
    code, told = compared(tell, good, good[::-1], "--margin", "0.2")
    assert (code, told["verdict"]) == (0, "PASS")


def test_a_worse_release_fails(tell: Tell) -> None:
    code, told = compared(tell, [[1, 1, 1, 0]] * 20, [[0, 0, 1, 0]] * 20)
    assert (code, told["verdict"]) == (1, "FAIL")
    assert told["overall"]["difference"]["high"] < -0.05


def test_too_few_tasks_say_how_many_would_tell(tell: Tell) -> None:
    code, told = compared(tell, [[1, 0], [0, 1], [1, 1]], [[1, 1], [0, 0], [1, 1]])
    assert (code, told["verdict"]) == (1, "INCONCLUSIVE")
    assert told["overall"]["needed"] > 3


def test_a_report_is_written_beside_the_verdict(tell: Tell) -> None:
    code, _ = compared(tell, [[1, 0]] * 5, [[1, 1]] * 5, "--report", "page.html")
    assert code in (0, 1)
    assert "today" in Path("page.html").read_text()
    code, told = tell("report", "all.html", "--results", "today", "--results", "tomorrow.results.json", "--title", "Two")
    assert (code, told["file"]) == (0, "all.html")
    assert "<title>Two</title>" in Path("all.html").read_text()
    assert tell("report", "none.html")[0] == 2
    assert tell("report", "no/folder.html", "--results", "today")[0] == 2


def test_what_cannot_be_compared_is_refused(tell: Tell) -> None:
    kept(tell, "one", passes([[1]]))
    kept(tell, "other", [conversation(77, 0, 1.0, [])])
    for words in (("one", "other"), ("one", "nothing"), ("one", "one.json")):
        code, told = tell("compare", *words)
        assert code == 2 and told["error"]["remedy"], words
    assert tell("compare", "one", "one", "--margin", "-1")[0] == 2


def test_results_are_read_back_as_they_were_written(tell: Tell) -> None:
    kept(tell, "one", passes([[1, 0], [0, 1]]))
    tell("score", "one", "--out", "one.results.json", "--price", "1/2")
    read = Results.read(Path("one.results.json"))
    read.write(Path("again.json"))
    assert Path("again.json").read_text() == Path("one.results.json").read_text()
    assert len(read.trials) == 4 and read.trials[0].usd


def test_for_people(tell: Tell) -> None:
    kept(tell, "one", passes([[1, 0], [0, 1]]))
    told = CliRunner().invoke(app, ["eval", "score", "one"]).stdout
    assert "pass^k" in told and "trials of one task are not" in told.replace("\n", " ") and "give --price" in told
    told = CliRunner().invoke(app, ["eval", "compare", "one", "one"]).stdout
    assert "INCONCLUSIVE" in told and "would tell" in told
