"""The form in the terminal, and words that are not what they seem."""

import asyncio
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from pointsman import canonical
from pointsman.cli.card import WIDE, changes, value_lines
from pointsman.cli.form import fill, is_text, typed_line
from pointsman.cli.story import Value
from pointsman.plain import plain


class Party(BaseModel):
    name: str
    city: str | None = None


class Bill(BaseModel):
    number: str
    total: Decimal
    party: Party
    lines: list[int] = []


def filled(returns: Any, present: Any, *typed: str) -> tuple[Any, list[str]]:
    prompts: list[str] = []
    lines = iter(typed)

    def line(prompt: str) -> str:
        prompts.append(prompt)
        return next(lines)

    return fill(TypeAdapter(returns).json_schema(), present, "bill", line), prompts


def test_field_by_field_with_what_stands_there() -> None:
    present = {"number": "007", "total": Decimal("48.00"), "party": {"name": "ACME", "city": None}, "lines": [1]}
    value, prompts = filled(Bill, present, "42", "118.10", "", "Bonn", "[1, 2]")
    assert value == {"number": "42", "total": Decimal("118.10"), "party": {"name": "ACME", "city": "Bonn"}, "lines": [1, 2]}
    assert prompts[0] == "bill.number (string) [007]: "
    assert prompts[1] == "bill.total (number) [48.00]: "
    assert prompts[3] == "bill.party.city (string or nothing): "
    assert Bill.model_validate(value).number == "42"


def test_where_nothing_stands_what_is_not_typed_is_left_out() -> None:
    value, _ = filled(Bill, None, "1", "2", "ACME", "", "")
    assert value == {"number": "1", "total": 2, "party": {"name": "ACME"}}


class Kind(Enum):
    CREDIT = "credit"
    DEBIT = "debit"


class Entry(BaseModel):
    """Fields out of the order of the alphabet, and of every kind."""

    title: str = Field(description="as on the\u202e letterhead")
    kind: Kind
    due: date
    currency: Literal["EUR", "USD"] = "EUR"
    paid: bool = False
    buyer: Party | None = None
    note: str | None = None


def test_a_prompt_says_what_may_be_typed_in_the_order_of_the_type() -> None:
    value, prompts = filled(Entry, None, "7", "credit", "2026-03-31", "", "true", "", "", "12")
    assert prompts == [
        "bill.title (string, as on the\\u{202e} letterhead): ",
        "bill.kind (credit | debit): ",
        "bill.due (date like 2026-03-31): ",
        "bill.currency (EUR | USD) [EUR]: ",
        "bill.paid (true | false) [false]: ",
        "bill.buyer.name (string): ",
        "bill.buyer.city (string or nothing): ",
        "bill.note (string or nothing): ",
    ]
    assert value == {"title": "7", "kind": "credit", "due": "2026-03-31", "paid": True, "note": "12"}, "what may be left out is"
    assert Entry.model_validate(value).currency == "EUR"


def test_what_stands_there_can_be_taken_away() -> None:
    present = {"title": "t", "kind": "debit", "due": date(2026, 3, 31), "note": "gone"}
    value, _ = filled(Entry, present, "", "", "", "", "", "", "", "-")
    assert value == {"title": "t", "kind": "debit", "due": date(2026, 3, 31), "note": None}
    value, prompts = filled(Entry, present | {"buyer": None}, "", "", "", "", "", "", "", "")
    assert value == present | {"buyer": None}, "what is not there is not begun by looking at it"
    assert prompts[2] == "bill.due (date like 2026-03-31) [2026-03-31]: "
    value, _ = filled(Entry, present | {"currency": "USD"}, "", "", "", "-", "", "", "", "")
    assert "currency" not in value


def test_only_what_did_not_fit_is_asked_for_again() -> None:
    present = {"number": "7", "total": "much", "party": {"name": ""}, "lines": ["x"]}
    prompts: list[str] = []
    lines = iter(["5", "ACME", "[1]"])

    def line(prompt: str) -> str:
        prompts.append(prompt)
        return next(lines)

    wrong: list[tuple[Any, ...]] = [("total",), ("party", "name"), ("lines", 0)]
    value = fill(Bill.model_json_schema(), present, "bill", line, wrong)
    assert [prompt.split(" ")[0] for prompt in prompts] == ["bill.total", "bill.party.name", "bill.lines"]
    assert value == {"number": "7", "total": 5, "party": {"name": "ACME"}, "lines": [1]}


@pytest.mark.parametrize(
    ("returns", "present", "typed", "value"),
    [
        (str, None, "12", "12"),
        (int, 3, "", 3),
        (int, None, "12", 12),
        (bool, None, "true", True),
        (str, None, "", None),
        (int, None, "x", "x"),
    ],
)
def test_a_single_value(returns: Any, present: Any, typed: str, value: Any) -> None:
    assert filled(returns, present, typed)[0] == value


def test_arguments_without_a_schema_keep_their_kinds() -> None:
    typed = iter(["450", "12"])
    assert fill({}, {"amount": 480, "to": "ann"}, "pay", lambda _: next(typed)) == {"amount": 450, "to": "12"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("p\u0430ypal", "p\\u{430}ypal"),
        ("pay \u0441\u043e\u0440\u0443", "pay \\u{441}\\u{43e}\\u{440}\\u{443}"),
        ("\u0430 \u0441\u043e\u0440\u0443 \u0438 \u0441", "\u0430 \u0441\u043e\u0440\u0443 \u0438 \u0441"),
        ("\u039d\u0399\u039a\u0395", "\\u{39d}\\u{399}\\u{39a}\\u{395}"),
        ("a\u115f\u3164\u2800\u034fb", "a\\u{115f}\\u{3164}\\u{2800}\\u{34f}b"),
        ("e" + "\u0301" * 500 + "f", "e" + "\u0301" * 3 + "\\u{… 497 marks}f"),
        ("Vi\u1ec7t, e\u0323\u0302, \u0301x", "Vi\u1ec7t, e\u0323\u0302, \u0301x"),
        ("\u03bf\u043f\u043b\u0430\u0442\u0430", "\\u{3bf}\u043f\u043b\u0430\u0442\u0430"),
        ("\uff50aypal", "\\u{ff50}aypal"),
        ("pay1\u0440al", "pay1\\u{440}al"),
        ("\u043e\u043f\u043b\u0430\u0442\u0430 paypal", "\u043e\u043f\u043b\u0430\u0442\u0430 paypal"),
        ("Stra\u00dfe caf\u00e9 \u6771\u4eac\u30bf\u30ef\u30fc", "Stra\u00dfe caf\u00e9 \u6771\u4eac\u30bf\u30ef\u30fc"),
        ("\u20ac 5 \u00b5m", "\u20ac 5 \u00b5m"),
    ],
)
def test_a_word_of_several_scripts_is_told_apart(text: str, shown: str) -> None:
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("path", "text"), [("number", True), ("total", False), ("party.city", True), ("party", False), ("lines", False), ("nothing", False)]
)
def test_where_a_text_belongs_a_number_is_a_text(path: str, text: bool) -> None:
    assert is_text(TypeAdapter(Bill).json_schema(), path) is text


def told(value: Any) -> list[str]:
    return [line.plain for line in value_lines(Value("bill", canonical.encode(value)))]


def test_a_value_that_is_decided_on_is_shown_part_by_part() -> None:
    party = {"name": "Ann & Sons, Ropewalk Rigging and Chandlery", "city": None}
    shown = told({"total": Decimal("48.10"), "party": party, "lines": [{"of": 1, "at": 2}, {"of": 3, "at": None}], "notes": []})
    assert shown == [
        "bill.lines 1: {at: 2, of: 1}",
        "bill.lines 2: {of: 3, 1 none}",
        'bill.party.name: "Ann & Sons, Ropewalk Rigging and Chandlery"',
        "bill.total: 48.1",
        "bill: nothing in notes, party.city",
    ]
    assert told({"total": 1, "of": "x"}) == ['bill: {of: "x", total: 1}']


def test_what_is_cut_of_it_is_told() -> None:
    many = told({f"field {n}": n for n in range(100)})
    assert (len(many), "cut: 60 more parts; " in many[-1], "sha256" in many[-1]) == (41, True, True)
    long = told({"text": "x" * (2 * WIDE), "more": "y" * 80})
    assert ("cut: " in long[-1], max(map(len, long)) < WIDE + 60) == (True, True)


def test_changes_are_told_part_by_part() -> None:
    before = canonical.encode({"a": {"b": Decimal(480), "c": "x"}, "d": None})
    assert changes(before, before) == "as it stood"
    assert (
        changes(before, canonical.encode({"a": {"b": Decimal(4800), "c": "x"}, "d": None, "e": True}))
        == "2 changes: a.b: 480 → 4800; e: none → true"
    )
    assert changes(before, canonical.encode("other")).startswith("3 changes: ")


def test_who_broke_off_before_a_line_was_waited_for_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda _: pytest.fail("it was waited for"))

    async def form() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()  # as asyncio does at the first Ctrl-C
        typed_line("total: ")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(form())
