"""Recorded runs of others, in the forms they are kept in: what is read, what is said to be missing, what is refused."""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pointsman.errors import BadInput
from pointsman.evaluation import archive
from pointsman.evaluation.importing import traces_in
from pointsman.evaluation.trace import Trace
from pointsman.limit import Spend


def written(folder: Path, document: Any, *, lines: bool = False, packed: bool = False) -> Path:
    text = "\n".join(json.dumps(item) for item in document) if lines else json.dumps(document)
    file = folder / "runs.json"
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    return file


def asking(name: str, call_id: str, **arguments: Any) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


CHAT = [
    {
        "task_id": 3,
        "trial": 1,
        "reward": 1.0,
        "info": {"task": {"outputs": []}},
        "traj": [
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Two sums."},
            {"role": "assistant", "content": None, "tool_calls": [asking("add", "same", a=1, b=2)]},
            {"role": "tool", "tool_call_id": "same", "name": "add", "content": "3"},
            {"role": "assistant", "content": None, "tool_calls": [asking("add", "same", a=3, b=4)]},
            {"role": "tool", "tool_call_id": "same", "name": "add", "content": "7"},
            {"role": "assistant", "content": "3 and 7"},
        ],
    }
]


@pytest.mark.parametrize(("lines", "packed"), [(False, False), (True, False), (False, True)])
def test_chat_calls_are_told_apart_by_their_place_and_never_by_their_id(tmp_path: Path, lines: bool, packed: bool) -> None:
    (trace,) = traces_in(written(tmp_path, CHAT * 1, lines=lines, packed=packed))
    assert (trace.trace_id, trace.task, trace.trial, trace.reward) == ("3/1", "3", 1, 1.0)
    assert [(call.target, call.arguments, call.result, call.message) for call in trace.tool_calls] == [
        ("add", {"a": 1, "b": 2}, "3", 2),
        ("add", {"a": 3, "b": 4}, "7", 4),
    ]
    assert len(trace.messages) == 7
    assert {"tokens", "versions", "effects"} <= set(trace.missing)
    assert all(call.spend is None and call.effect is None for call in trace.calls)


def test_several_calls_of_one_message_get_the_answers_of_their_ids(tmp_path: Path) -> None:
    messages = [
        {"role": "assistant", "tool_calls": [asking("a", "1"), asking("b", "2"), asking("c", "3")]},
        {"role": "tool", "tool_call_id": "2", "content": "of b"},
        {"role": "tool", "tool_call_id": "1", "content": "of a"},
    ]
    (trace,) = traces_in(written(tmp_path, {"messages": messages}))
    assert [(call.target, call.result, call.outcome) for call in trace.calls] == [
        ("a", "of a", "done"),
        ("b", "of b", "done"),
        ("c", None, "failed"),
    ]


def test_usage_is_taken_where_a_conversation_has_it(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5}
    (trace,) = traces_in(written(tmp_path, {"messages": [{"role": "assistant", "content": "x", "usage": usage, "model": "m"}]}))
    assert [(call.kind, call.target, call.spend.tokens) for call in trace.calls if call.spend] == [("model", "m", 15)]
    assert "tokens" not in trace.missing
    assert "rewards" in trace.missing


def message(content: str, **more: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["x", "AIMessage"], "kwargs": {"content": content, **more}}


CLASSIC = [
    {"id": "r", "name": "agent", "run_type": "chain", "trace_id": "r", "dotted_order": "1", "start_time": "2026-01-01T00:00:00",
     "end_time": "2026-01-01T00:00:09", "status": "success", "inputs": {"q": 1}, "outputs": {"a": 2}, "extra": {"metadata": {"user": "x"}}},
    {"id": "t", "name": "search", "run_type": "tool", "trace_id": "r", "parent_run_id": "r", "dotted_order": "1.3", "inputs": {"q": "x"},
     "outputs": {"output": message("found")}, "end_time": "y", "extra": {"metadata": {"langgraph_node": "tools"}}},
    {"id": "m", "name": "ChatOpenAI", "run_type": "llm", "trace_id": "r", "parent_run_id": "r", "dotted_order": "1.2", "end_time": "y",
     "inputs": {"messages": [[message("hi")]]}, "outputs": {"generations": [[{"message": message("yo", usage_metadata={"total_tokens": 7})}]]},
     "extra": {"metadata": {"ls_provider": "openai", "ls_model_name": "gpt-x"}}, "total_tokens": 12, "total_cost": "0.03"},
    {"id": "e", "name": "pay", "run_type": "tool", "trace_id": "r", "parent_run_id": "r", "dotted_order": "1.4", "inputs": {"n": 1},
     "outputs": None, "error": "boom", "end_time": "y"},
]  # fmt: skip


def told(trace: Trace) -> list[Any]:
    return [(call.kind, call.target, call.node, call.outcome) for call in trace.calls]


@pytest.mark.parametrize("lines", [False, True])
def test_langsmith_runs_of_the_first_shape(tmp_path: Path, lines: bool) -> None:
    (trace,) = traces_in(written(tmp_path, CLASSIC, lines=lines))
    assert (trace.trace_id, trace.graph, trace.outcome) == ("r", "agent", "done")
    assert told(trace) == [("model", "openai:gpt-x", "", "done"), ("tool", "search", "tools", "done"), ("tool", "pay", "", "failed")]
    model, search, pay = trace.calls
    assert model.spend is not None and (model.spend.tokens, model.spend.usd) == (12, Decimal("0.03"))
    assert (search.result, pay.error) == ("found", "boom")
    assert trace.facts["inputs"] == {"q": 1}
    assert set(trace.missing) == {"versions", "effects", "verdicts"}


def test_langsmith_runs_of_the_second_shape(tmp_path: Path) -> None:
    second = []
    for run in CLASSIC:
        above = ["r"] if "parent_run_id" in run else []
        kept = {
            key: value
            for key, value in run.items()
            if key not in ("parent_run_id", "trace_id", "extra", "total_cost", "total_tokens", "error")
        }
        metadata = run.get("extra", {}).get("metadata", {})
        status = "ERROR" if run.get("error") else "SUCCESS"
        second.append({**kept, "project_id": "p", "parent_run_ids": above, "metadata": metadata, "status": status})
    (trace,) = traces_in(written(tmp_path, {"runs": second}))
    assert told(trace) == [("model", "openai:gpt-x", "", "done"), ("tool", "search", "tools", "done"), ("tool", "pay", "", "failed")]
    assert trace.calls[0].spend is not None and trace.calls[0].spend.tokens == 7, "from the message's own usage"
    assert "prices" in trace.missing


def test_langsmith_children_within_their_parents_and_no_usage(tmp_path: Path) -> None:
    model = {key: value for key, value in CLASSIC[2].items() if key not in ("total_tokens", "outputs", "trace_id", "inputs")}
    (trace,) = traces_in(written(tmp_path, {**CLASSIC[0], "trace_id": None, "child_runs": [model]}))
    assert trace.calls[0].spend is None
    assert {"tokens", "inputs", "outputs"} <= set(trace.missing)


def attributes(**values: Any) -> list[dict[str, Any]]:
    kinds = {int: "intValue", str: "stringValue", bool: "boolValue"}
    return [
        {"key": key.replace("__", "."), "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for key, value in values.items()
    ]


def spans(*found: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"resource": {"attributes": attributes(service__name="shop")}, "scopeSpans": [{"spans": list(found)}]}]}


ROOT = {"traceId": "t", "spanId": "1", "name": "invoke_agent shop", "startTimeUnixNano": "1000000000", "endTimeUnixNano": "5000000000",
        "attributes": attributes(gen_ai__operation__name="invoke_agent", gen_ai__agent__name="shop")}  # fmt: skip
CHATTED = {"traceId": "t", "spanId": "2", "parentSpanId": "1", "startTimeUnixNano": "2000000000", "endTimeUnixNano": "3000000000",
        "attributes": attributes(gen_ai__operation__name="chat", gen_ai__provider__name="openai", gen_ai__request__model="gpt-x",
                                 gen_ai__usage__input_tokens=30, gen_ai__usage__output_tokens=4)}  # fmt: skip
EXECUTED = {"traceId": "t", "spanId": "3", "parentSpanId": "1", "startTimeUnixNano": "4000000000", "status": {"code": 2, "message": "boom"},
        "attributes": attributes(gen_ai__operation__name="execute_tool", gen_ai__tool__name="pay", gen_ai__tool__call__arguments='{"n": 1}')}  # fmt: skip


@pytest.mark.parametrize("lines", [False, True])
def test_spans_of_opentelemetry(tmp_path: Path, lines: bool) -> None:
    documents = [spans(EXECUTED, ROOT), spans(CHATTED)]
    (trace,) = traces_in(written(tmp_path, documents, lines=lines))
    assert (trace.trace_id, trace.graph, trace.outcome, trace.began) == ("t", "shop", "done", "1970-01-01T00:00:01.000000Z")
    assert told(trace) == [("model", "openai:gpt-x", "", "done"), ("tool", "pay", "", "failed")]
    assert trace.calls[0].spend is not None and trace.calls[0].spend.tokens == 34
    assert (trace.calls[1].arguments, trace.calls[1].error) == ({"n": 1}, "boom")
    assert {"versions", "effects", "inputs", "outputs"} <= set(trace.missing)


BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "it is no JSON"),
    "no text": (b"\xff\xfe\x00", "it is no text in UTF-8"),
    "half a gzip": (gzip.compress(b"[]" * 99)[:20], "it cannot be read"),
    "half a document": (json.dumps(CHAT).encode()[:-9], "it is no JSON"),
    "half a line": (json.dumps(CHAT[0]).encode() + b"\n" + json.dumps(CHAT[0]).encode()[:-9], "line 2 is no JSON"),
    "a depth that nobody reads": (b"[" * 100_000, "it is no JSON"),
    "not a number": (b'[{"messages": [], "reward": NaN}]', "it is no JSON"),
    "something else": (b'[{"rows": []}]', "it is neither"),
    "an empty list": (b"[]", "it is neither"),
    "no messages": (b'[{"traj": 1}]', "run 0 (0) has no list of messages"),
    "a foreign role": (b'[{"messages": [{"role": "king"}]}]', "message 0 has no known role"),
    "no message": (b'[{"messages": ["text"]}]', "message 0 has no known role"),
    "an answer to nothing": (
        b'[{"messages": [{"role": "tool", "content": "x"}]}]',
        "message 0 answers a call that no message before it makes",
    ),
    "bad arguments": (
        b'[{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{"}}]}]}]',
        "calls 'a' with arguments that are no JSON",
    ),
    "no name": (b'[{"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]}]', "a call without a name"),
    "a reward of text": (b'[{"messages": [], "reward": "good"}]', "which is no number"),
    "a reward that no number holds": (b'[{"messages": [], "reward": 1' + b"0" * 400 + b"}]", "not of the form it seems to be"),
    "a reward beyond all numbers": (b'[{"messages": [], "reward": 1e999}]', "1e999 is no number that JSON has"),
    "an argument that is no number": (
        b'[{"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "a", "arguments": "{\\"x\\": NaN}"}}]}]}]',
        "calls 'a' with arguments that are no JSON",
    ),
    "tokens below nothing": (
        b'[{"messages": [{"role": "assistant", "content": "", "usage": {"prompt_tokens": -1}}]}]',
        "-1 tokens",
    ),
    "money that is none": (
        b'[{"id": "a", "trace_id": "a", "run_type": "llm", "total_tokens": 1, "total_cost": "NaN"}]',
        "'NaN' US dollars",
    ),
    "money in words": (b'[{"id": "a", "trace_id": "a", "run_type": "llm", "total_tokens": 1, "total_cost": "much"}]', "InvalidOperation"),
    "an instant that no calendar has": (
        json.dumps(spans({"traceId": "t", "spanId": "s", "startTimeUnixNano": "9" * 30})).encode(),
        "OverflowError",
    ),
    "a trace without an id": (json.dumps(spans({"traceId": "", "spanId": "s"})).encode(), "a trace without an id"),
    "the same run twice": (json.dumps(CHAT * 2).encode(), "holds trace '3/1' twice"),
    "a run without an id": (b'[{"run_type": "llm", "trace_id": "x"}]', "a run has no id"),
    "a run that is its own parent": (b'[{"id": "a", "run_type": "llm", "parent_run_id": "a"}]', "run a is its own parent"),
    "a span without an id": (json.dumps(spans({"name": "x"})).encode(), "a span has no traceId or spanId"),
    "spans of another form": (b'[{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}]', "not of the form it seems to be"),
    "another format of ours": (b'{"pointsman-traces": 99, "traces": 0}\n', "is of format 99"),
    "ours, cut off": (b'{"pointsman-traces": 1, "traces": 2}\n{}\n', "should hold 2 traces and holds 1"),
    "ours, with a reward of text": (
        b'{"pointsman-traces": 1, "traces": 1}\n{"trace_id": "x", "source": "chat", "reward": "good"}\n',
        "line 2 is no trace",
    ),
    "ours, with messages that are none": (
        b'{"pointsman-traces": 1, "traces": 1}\n{"trace_id": "x", "source": "chat", "messages": [1]}\n',
        "line 2 is no trace",
    ),
    "ours, with an id that is none": (
        b'{"pointsman-traces": 1, "traces": 1}\n{"trace_id": ["x"], "source": "chat"}\n',
        "line 2 is no trace",
    ),
    "ours, with a call of nothing": (
        b'{"pointsman-traces": 1, "traces": 1}\n{"trace_id": "x", "source": "chat", "calls": [{"kind": "tool", "target": 7}]}\n',
        "line 2 is no trace",
    ),
    "ours, with a line that is no trace": (b'{"pointsman-traces": 1, "traces": 1}\n{"x": 1}\n', "line 2 is no trace"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_read_is_refused_with_the_place(tmp_path: Path, name: str) -> None:
    content, what = BAD[name]
    file = tmp_path / "runs.json"
    file.write_bytes(content)
    with pytest.raises(BadInput) as raised:
        traces_in(file)
    assert what in str(raised.value)
    assert "nothing was imported" in str(raised.value)


def test_one_function_call_is_how_a_call_was_written_before_there_could_be_several(tmp_path: Path) -> None:
    asked = {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": '{"a": 1}'}}
    (trace,) = traces_in(written(tmp_path, [{"messages": [asked, {"role": "function", "name": "add", "content": "3"}]}]))
    assert [(call.target, call.arguments, call.result) for call in trace.tool_calls] == [("add", {"a": 1}, "3")]


def test_a_model_that_nobody_names_is_kept_and_read_again(tmp_path: Path) -> None:
    told = [{"messages": [{"role": "assistant", "content": "", "usage": {"prompt_tokens": 3, "completion_tokens": None}}]}]
    traces = traces_in(written(tmp_path, told))
    archive.keep(tmp_path, "told", traces)
    assert archive.read(tmp_path, "told").traces == traces
    assert traces[0].calls[0].spend == Spend(model_calls=1, tokens=3)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        traces_in(tmp_path / "nowhere")


def test_the_airline_runs_are_read_as_they_are(data: Path) -> None:
    traces = traces_in(data / "airline" / "recorded-runs.json.gz")
    calls = [call for trace in traces for call in trace.tool_calls]
    assert (len(traces), len(calls), sum(1 for call in calls if call.outcome != "done")) == (100, 621, 0)
    assert sum(1 for call in calls if str(call.result).startswith("Error: ")) == 63
    raw = json.loads(gzip.decompress((data / "airline" / "recorded-runs.json.gz").read_bytes()))
    told = [(m["name"], m["content"]) for run in raw for m in run["traj"] if m["role"] == "tool"]
    assert told == [(call.target, call.result) for call in calls]
    assert sum(trace.reward or 0 for trace in traces) == 31
    assert {len([trace for trace in traces if trace.task == str(task)]) for task in range(25)} == {4}
