"""The fake server as a process of its own, and what `show` says of what a model was sent."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START
from typing_extensions import TypedDict

from pointsman import Workflow, infer
from pointsman.cli.page import sent_to
from pointsman.cli.telling import tell
from pointsman.testing import OpenAIServer, answer
from tests.acceptance.world import OpenRuns, go


def asked(url: str, text: str) -> Any:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"{url}/chat/completions", body, {"Idempotency-Key": "k"})
    with urllib.request.urlopen(request, timeout=20) as response:
        return json.load(response)


def test_recorded_answers_from_a_file(tmp_path: Path) -> None:
    entries = [
        {"when": ["Acme", "total"], "answer": {"total": 5}},
        {"when": ["blurred"], "abstain": "no digit can be read"},
        {"when": ["raw"], "content": "hm"},
    ]
    (tmp_path / "answers.json").write_text(json.dumps(entries))
    command = [
        sys.executable,
        "-m",
        "pointsman.testing.openai_server",
        "--recorded",
        str(tmp_path / "answers.json"),
        "--log",
        str(tmp_path / "log"),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        url = process.stdout.readline().strip()
        told = asked(url, "the total of Acme")
        assert (told["model"], json.loads(told["choices"][0]["message"]["content"])["answer"]) == ("recorded:m", {"total": 5})
        assert "no digit" in asked(url, "a blurred page")["choices"][0]["message"]["content"]
        assert asked(url, "raw")["choices"][0]["message"]["content"] == "hm"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            asked(url, "the total of nobody")
        process.stdin.close()
        assert process.wait(20) == 0
    assert [json.loads(line)["key"] for line in (tmp_path / "log").read_text().splitlines()] == ["k"] * 4


def test_a_script_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text(json.dumps([{"content": "one"}, {"status": 503}]))
    command = [sys.executable, "-m", "pointsman.testing.openai_server", "--script", str(tmp_path / "script.json")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        url = process.stdout.readline().strip()
        assert asked(url, "x")["choices"][0]["message"]["content"] == "one"
        with pytest.raises(urllib.error.HTTPError, match="503"):
            asked(url, "x")
        process.stdin.close()


class State(TypedDict, total=False):
    text: str
    other: str
    said: str


@pytest.mark.anyio
async def test_show_says_what_was_sent_where(open_runs: OpenRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Workflow(State, name="flow", model="openai:acted")
    flow.add_node("ask", infer(reads=("text",), writes="said", returns=str, prompt="What is it?"))
    flow.add_edge(START, "ask")
    flow.add_exits("ask", default=END)
    with OpenAIServer([answer("tea")]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        async with open_runs(flow.compile()) as runs:
            run, summary = await go(runs, {"text": "grün", "other": "s3cret"})
            story = tell(summary, await runs.events(run), await runs.payloads(run))
    (call,) = story.steps[0].calls
    host = server.base_url.split("/")[2]
    digest = call.egress["fields"]["text"]["digest"][:12]
    assert sent_to(call.egress).startswith(f"sent to openai:acted at {host}: text (5 bytes, digest {digest}); ")
    assert (story.spend["model_calls"], story.unknown, story.effects) == (1, [], [])
