"""The form in the terminal, and words that are not what they seem."""

from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from pointsman.cli.form import fill
from pointsman.cli.plain import plain


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
    assert prompts[1] == "bill.total (number or string) [48.00]: "
    assert prompts[3] == "bill.party.city (string or null) [null]: "
    assert Bill.model_validate(value).number == "42"


def test_where_nothing_stands_what_is_not_typed_is_left_out() -> None:
    value, _ = filled(Bill, None, "1", "2", "ACME", "", "")
    assert value == {"number": "1", "total": 2, "party": {"name": "ACME"}}


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
