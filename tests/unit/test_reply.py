"""What a client's words mean, before anybody asks whether they may be said."""

from decimal import Decimal
from typing import Any

import pytest

from pointsman.approval import Approval, Approvals, readable
from pointsman.errors import BadInput, Conflict, NotFound
from pointsman.event import Event
from pointsman.policy import Need
from pointsman.server.reply import answer, edited, replies

CALL, VALUE = "a" * 32, "b" * 32


def opened(*asked: tuple[str, str]) -> Approvals:
    """Open questions: (id, tool), no tool where a value is asked for."""
    fields = [{"approval": name, "tool": tool, "node": "person"} for name, tool in asked]
    payloads = {"binding": "0" * 64, "card": "1" * 64}
    return Approvals(Event("run", n, "", 0, "person@1", "ask.opened", f, payloads, "") for n, f in enumerate(fields))


def edit(**args: Any) -> dict[str, Any]:
    return {"decisions": [{"type": "edit", "edited_action": {"args": args}}]}


@pytest.mark.parametrize(
    ("said", "decision", "note"),
    [
        ({"decisions": [{"type": "approve"}]}, "approved", ""),
        ({"decisions": [{"type": "reject", "message": "too much"}]}, "rejected", "too much"),
        (edit(amount=4), "edited", ""),
    ],
)
def test_words_of_langchain(said: dict[str, Any], decision: str, note: str) -> None:
    [reply] = replies({CALL: said}, opened((CALL, "pay"), (VALUE, "")))
    assert (reply.approval.approval_id, reply.decision, reply.note, reply.bound, reply.form) == (CALL, decision, note, True, False)


@pytest.mark.parametrize(
    "said",
    [
        True,
        "approve",
        None,
        {},
        {"decisions": []},
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"decisions": [{"type": "accept"}]},
        {"decisions": ["approve"]},
        {"decisions": [{"type": "edit"}]},
        {"decisions": [{"type": "approve"}], "amount": 4800},
        {"decisions": [{"type": "edit", "edited_action": {"name": "send", "args": {}}}]},
    ],
)
def test_what_is_no_decision_about_a_call_decides_nothing(said: Any) -> None:
    with pytest.raises(BadInput):
        replies({CALL: said}, opened((CALL, "pay")))


def test_an_answer_may_look_like_anything() -> None:
    for said in (True, None, {}, {"decisions": "none"}, {"decisions": [], "more": 1}, [CALL]):
        [reply] = replies({VALUE: said}, opened((VALUE, "")))
        assert (reply.decision, answer(reply, {})) == ("answered", said)


def test_without_an_id_there_has_to_be_one_question() -> None:
    [reply] = replies({"a": 1}, opened((VALUE, "")))
    assert (reply.bound, reply.value) == (False, {"a": 1})
    for approvals in (opened(), opened((CALL, "pay"), (VALUE, ""))):
        with pytest.raises(Conflict, match="names none"):
            replies(1, approvals)
    with pytest.raises(NotFound):
        replies({"c" * 32: 1}, opened((VALUE, "")))


CARD = {
    "shows": {"item": "chair", "price": {"$decimal": "4.10"}},
    "writes": "price",
    "present": {"$decimal": "4.10"},
    "schema": {"anyOf": [{"type": "number"}, {"type": "string"}]},
}


@pytest.mark.parametrize(
    ("given", "value"), [("4.10", Decimal("4.10")), ("5.10", Decimal("5.10")), (5, 5), ({"$decimal": "5.1"}, Decimal("5.1"))]
)
def test_a_form_gives_back_exact_amounts(given: Any, value: Any) -> None:
    [reply] = replies({VALUE: edit(item="chair", price=given)}, opened((VALUE, "")))
    found = answer(reply, CARD)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "present", "given", "value"),
    [
        ({"type": "integer"}, None, "9", 9),
        ({"type": "string"}, None, "9", "9"),
        ({"type": "string"}, "8", "9", "9"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None, "9", "9"),
        ({"type": "object"}, {"a": 1}, '{"a": 2}', {"a": 2}),
        ({"type": "object"}, {"a": 1}, "{", "{"),
        ({"type": "object"}, None, {"$decimal": "x"}, {"$decimal": "x"}),
    ],
)
def test_a_form_makes_text_of_what_is_none(schema: Any, present: Any, given: Any, value: Any) -> None:
    [reply] = replies({VALUE: edit(order=given)}, opened((VALUE, "")))
    assert answer(reply, {"shows": {}, "writes": "order", "present": present, "schema": schema}) == value
    with pytest.raises(BadInput, match="'other'"):
        answer(reply, {"shows": {}, "writes": "other", "schema": schema})


def test_arguments_that_were_not_touched_stay_as_they_are() -> None:
    card = {
        "arguments": {"price": {"$decimal": "4.10"}, "when": {"$time": "2026-11-27T00:00:00Z"}, "name": "a", "rows": [{"$int": "9" * 20}]}
    }
    shown = readable(card["arguments"])
    assert shown == {"price": "4.10", "when": "2026-11-27T00:00:00Z", "name": "a", "rows": ["9" * 20]}
    found = edited(shown | {"name": "b"}, card)
    assert (found["price"], found["name"], found["rows"]) == (Decimal("4.10"), "b", [int("9" * 20)])
    assert found["when"].year == 2026


def test_an_approval_knows_what_settles_it() -> None:
    about = {"position": "p", "binding": "b", "card_digest": "c", "node": "n", "expires_at": None}
    call, value = Approval(CALL, tool="pay", needs=(Need(),), **about), Approval(VALUE, tool="", needs=(Need("clerk"),), **about)
    assert (call.command, value.command) == ("pointsman approve aaaaaaaa", "pointsman answer bbbbbbbb")
    assert (call.for_anybody, value.for_anybody) == (True, False)
