"""The parts of an infer node, each alone: the prompt, the form of an answer, prices, failures, what is declared."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from pointsman import Price, Workflow, infer
from pointsman.errors import BadInput, ModelBusy, ModelFailed
from pointsman.model import answer, choose, controlled
from pointsman.model.failure import failure
from pointsman.model.payload import output_cap
from pointsman.node.prompt import Prompt
from pointsman.node.reply import Form
from pointsman.price import list_price

# The prompt


def test_a_field_goes_where_it_is_named() -> None:
    text, sizes = Prompt.of("Before {text} after {{x}} and {{text}}.", ("text",)).filled({"text": "ü{text}"})
    assert text.startswith("Before <data-") and text.endswith("> after {x} and {text}.")
    assert "\nü{text}\n" in text
    assert sizes == {"text": 8}


def test_fields_that_are_not_named_follow() -> None:
    text, _ = Prompt.of("Judge.", ("a", "b")).filled({"a": Decimal("1.10"), "b": {"day": date(2026, 1, 2), "of": {"z", "y"}}, "c": "never"})
    assert text.index("field='a'") < text.index("field='b'")
    assert '"1.10"' in text or '"1.1"' in text
    assert "2026-01-02" in text
    assert "never" not in text


def test_a_field_that_is_not_there_is_null() -> None:
    assert "\nnull\n" in Prompt.of("{a}", ("a",)).filled({})[0]


@given(body=st.text(st.characters(exclude_categories=["Cs"])), other=st.text(st.characters(exclude_categories=["Cs"])))
def test_no_field_can_close_its_block(body: str, other: str) -> None:
    text, _ = Prompt.of("{a}|{b}", ("a", "b")).filled({"a": body, "b": other})
    mark = text[len("<data-") :].partition(" ")[0]
    assert len(mark) * 4 >= 128  # a text that holds a shorter one can be found by trying
    assert text.count(f"</data-{mark}>") == (2 if body == other else 1)
    assert body in text and other in text


def test_prompts_that_cannot_be_filled_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "langgraph.json").write_text("{}")
    (tmp_path / "p.md").write_text('Say what {text} means, as {"json": 1}.')
    assert '{"json": 1}' in Prompt.of("p.md", ("text",)).filled({"text": "x"})[0]
    (tmp_path / "bytes.md").write_bytes(b"\xff")
    for given_, fields in (("{secret}", ("text",)), ("none.md", ("text",)), ("bytes.md", ("text",)), ("  ", ("text",))):
        with pytest.raises(BadInput):
            Prompt.of(given_, fields)


# The form of an answer


@dataclass
class Line:
    what: str
    price: Decimal


class Order(BaseModel):
    """An order."""

    number: str = Field(pattern=r"^\d+$")
    lines: list[Line]
    kind: Literal["a", "b"] = "a"
    title: str | None = None


class Loose(TypedDict, total=False):
    anything: dict[str, int]


def test_a_form_is_strict_where_it_can_be() -> None:
    form = Form(Order)
    assert form.strict
    order = form.schema["$defs"]["Order"]
    assert order["additionalProperties"] is False
    assert set(order["required"]) == {"number", "lines", "kind", "title"}, "a field called title is a field"
    assert order["properties"]["number"]["pattern"] == r"^\d+$"
    assert "(?" not in repr(form.schema)
    assert not Form(Loose).strict
    assert not Form(Any).strict
    assert Form(int).strict


def test_answers_are_read_as_their_type() -> None:
    reply = Form(Order).read(
        '{"answer": {"number": "7", "lines": [{"what": "x", "price": "1.10"}], "kind": "b", "title": null}, "abstain": null}'
    )
    assert reply.value == Order(number="7", lines=[Line("x", Decimal("1.10"))], kind="b")
    assert Form(int).read('{"abstain": " no idea "}').abstained == "no idea"
    assert Form(int).read('{"abstain": ""}').abstained == "it gave no reason"


@pytest.mark.parametrize(
    "text", ["", "5", "[]", "{}", '{"answer": "s3cret"}', '{"answer": 1, "abstain": "x"}', '{"answer": 1, "goto": "x"}', "{" * 5000]
)
def test_what_does_not_fit_is_said_without_quoting_it(text: str) -> None:
    with pytest.raises(ValueError, match=".+") as caught:
        Form(int).read(text)
    assert "s3cret" not in str(caught.value)


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    with contextlib.suppress(ValueError):
        Form(int).read(text)


# Prices


def test_a_declared_price_is_exact() -> None:
    assert Price(input=0.15, output=Decimal("0.6")).cost(1000, 500) == Decimal("0.00045")
    assert Price(input=0, output=0).cost(10**9, 10**9) == 0
    for wrong in (-1, float("nan"), float("inf")):
        with pytest.raises(BadInput):
            Price(input=wrong, output=1)


def test_a_list_price_is_that_of_the_address() -> None:
    listed = list_price("gpt-4o-mini", "https://api.openai.com/v1/")
    assert listed is not None
    assert listed.cost(1_000_000, 0) == Decimal("0.15")
    assert list_price("gpt-4o-mini", "http://127.0.0.1:1/v1") is None, "the name alone says nothing of who serves it"
    assert list_price("no-such-model", "https://api.openai.com/v1/") is None


# What went wrong


class Response:
    def __init__(self, status: int, **headers: str) -> None:
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


def error_of(status: int, **headers: str) -> Exception:
    error = RuntimeError("planted")
    error.response = Response(status, **headers)  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "2"}, 2), ({"retry_after": "-2"}, 0), ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5), ({}, None),
        ({"retry_after": "soon"}, None), ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0),
    ],
)  # fmt: skip
def test_how_long_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    busy = failure("openai:x", error_of(429, **headers))
    assert isinstance(busy, ModelBusy)
    assert (busy.retry_after, busy.refused, busy.retryable) == (seconds, True, True)


@pytest.mark.parametrize(
    ("error", "busy", "refused"),
    [(error_of(500), True, False), (error_of(401), False, True), (error_of(200), False, False), (ConnectionResetError(), True, False), (KeyError("x"), False, False)],
)  # fmt: skip
def test_failures_are_told_apart(error: Exception, busy: bool, refused: bool) -> None:
    failed = failure("openai:x", error)
    assert isinstance(failed, ModelFailed)
    assert (isinstance(failed, ModelBusy), failed.refused) == (busy, refused)


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        ({"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}, (5, 3)), ({"input_tokens": 5, "output_tokens": 3, "total_tokens": 20}, (5, 15)),
        ({"input_tokens": 5, "output_tokens": 3, "total_tokens": 1}, (5, 3)), ({"input_tokens": 5, "output_tokens": 0}, None), ({"input_tokens": True, "output_tokens": 3}, None),
        ({"input_tokens": 5.5, "output_tokens": 3}, None), ({"input_tokens": 0, "output_tokens": 3}, None), ({}, None), (None, None),
    ],
)  # fmt: skip
def test_a_report_counts_where_it_can_be_true(told: Any, counted: Any) -> None:
    assert answer.usage({"content": "x", "usage": told}) == counted


def test_the_cap_of_a_request() -> None:
    assert output_cap({"max_tokens": 5, "max_completion_tokens": 3}) == 3
    assert output_cap({"max_tokens": 5, "n": 2}) == 10
    assert output_cap({"max_tokens": None}) is None


# What is declared


def test_which_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POINTSMAN_MODEL", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    assert choose(None) is None
    assert choose("openai:x") is None, "neither a key nor an address"
    monkeypatch.setenv("OPENAI_API_KEY", "k-1")
    keyed = choose("openai:x")
    assert isinstance(keyed, ChatOpenAI)
    assert keyed.openai_api_base is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert choose("openai:x").openai_api_base == "http://127.0.0.1:9/v1"  # type: ignore[union-attr]
    assert choose(keyed) is keyed
    monkeypatch.setenv("POINTSMAN_MODEL", "gpt-4o")
    with pytest.raises(BadInput, match="names no model"):
        choose(None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"model": "gpt-4o"}, {"model": "anthropic:x"}, {"model": 5}, {"reads": ()}, {"reads": "text"}, {"writes": ""}, {"max_tokens": 0}, {"timeout": 0},
        {"retries": -1}, {"returns": object()}, {"prompt": "{other}"}, {"prompt": ""},
    ],
)  # fmt: skip
def test_a_declaration_that_cannot_hold_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        infer(**{"reads": ("text",), "writes": "out", "returns": int, "prompt": "x", **wrong})


def test_what_decides_an_answer_is_in_the_graphs_version() -> None:
    def version(workflow: dict[str, Any] | None = None, **changed: Any) -> str:
        flow = Workflow(Loose, name="f", **(workflow or {}))
        flow.add_node("ask", infer(**{"reads": ("anything",), "writes": "anything", "returns": int, "prompt": "x", **changed}))
        flow.add_edge("__start__", "ask")
        flow.add_exits("ask", default="__end__")
        return flow.compile().plan.rules.version

    same = version()
    assert version() == same
    hot, cold = (ChatOpenAI(model="m", api_key="none", temperature=heat) for heat in (0.9, 0.1))  # type: ignore[arg-type]
    others = [
        version(prompt="y"), version(returns=str), version(max_tokens=5), version(model="openai:m"), version({"model": "openai:n"}), version(model=hot),
        version(model=cold), version({"prices": {"openai:m": Price(input=1, output=1)}}),
    ]  # fmt: skip
    assert len({same, *others}) == len(others) + 1


def test_every_exit_must_lead_somewhere() -> None:
    flow = Workflow(Loose, name="f")
    flow.add_node("ask", infer(reads=("text",), writes="anything", returns=int, prompt="x"))
    flow.add_edge("__start__", "ask")
    flow.add_exits("ask", answered="__end__")
    with pytest.raises(Exception, match="abstained, unavailable, limit, denied lead nowhere"):
        flow.compile()


def test_a_key_is_in_no_payload_and_no_version() -> None:
    under: Any = controlled(ChatOpenAI(model="m", api_key="sk-planted"))  # type: ignore[arg-type]
    assert "sk-planted" not in repr(under._door_call([], None, {}, lambda sent: None).payload)
