"""A state's types: what an input is checked against, what recorded values come back as."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NotRequired, Required

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from pointsman import InputFile, canonical
from pointsman.errors import BadInput
from pointsman.schema import Schema


class Currency(StrEnum):
    EUR = "EUR"


class Money(BaseModel):
    amount: Decimal
    currency: Currency = Currency.EUR


class Inner(TypedDict):
    money: Money


@dataclass
class Line:
    text: str
    price: Money


class State(TypedDict, total=False):
    paper: Required[InputFile]
    money: NotRequired[Money | None]
    lines: Annotated[list[Line], operator.add]
    inner: Inner
    count: int


@dataclass
class AsDataclass:
    count: int
    money: Money


class AsModel(BaseModel):
    count: int
    money: Money


schema = Schema(State)


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    path = tmp_path / "bill.pdf"
    path.write_bytes(b"a bill")
    return path


def test_a_path_becomes_a_kept_file(paper: Path, home: Path) -> None:
    for given in (paper, str(paper)):
        checked = schema.check_input({"paper": given}, home)
        assert checked == {"paper": InputFile.take(paper, home)}


def test_values_get_their_types(home: Path) -> None:
    checked = schema.check_input({"money": {"amount": "1.50"}, "lines": [{"text": "a", "price": {"amount": 1}}], "count": 3}, home)
    assert checked["money"] == Money(amount=Decimal("1.50"))
    assert checked["lines"] == [Line("a", Money(amount=Decimal(1)))]


@pytest.mark.parametrize("kind", [AsDataclass, AsModel])
def test_a_state_may_be_a_dataclass_or_a_model(kind: Any, home: Path) -> None:
    money = Money(amount=Decimal(2))
    assert Schema(kind).check_input(kind(count=1, money=money), home) == {"count": 1, "money": money}
    assert Schema(kind).check_input({"count": 1}, home) == {"count": 1}


def test_every_fault_is_named_at_once(home: Path) -> None:
    with pytest.raises(BadInput) as caught:
        schema.check_input({"count": "many", "money": {"amount": "x", "currency": "USD"}, "nowhere": 1}, home)
    said = str(caught.value)
    assert all(
        part in said for part in ("there is no field 'nowhere'", "count: ", "money", "amount: ", "currency: ", "fields: paper, money")
    )


@pytest.mark.parametrize("given", [None, 5, "text", ["paper"], Money])
def test_what_is_no_set_of_fields_is_refused(given: Any, home: Path) -> None:
    with pytest.raises(BadInput):
        schema.check_input(given, home)


def test_a_missing_file_is_refused(home: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        schema.check_input({"paper": str(tmp_path / "none.pdf")}, home)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("money", Money(amount=Decimal("1.50"))),
        ("money", None),
        ("lines", [Line("a", Money(amount=Decimal(3)))]),
        ("inner", {"money": Money(amount=Decimal(4))}),
        ("count", 2**60),
        ("unknown", {"a": [Decimal(1)]}),
    ],
)
def test_a_recorded_value_comes_back_as_its_type(name: str, value: Any) -> None:
    revived = schema.revive(name, canonical.encode(value))
    assert revived == value
    assert type(revived) is type(value)


def test_a_value_of_an_earlier_type_is_an_error() -> None:
    with pytest.raises(ValueError, match="count|int"):
        schema.revive("count", "many")


def test_the_classes_a_checkpoint_may_revive_are_those_of_the_state() -> None:
    names = {name for _, name in schema.classes()}
    assert names == {"InputFile", "Money", "Currency", "Line"}
    assert {name for _, name in Schema(dict).classes()} == {"InputFile"}


class Tree(BaseModel):
    children: list[Tree] = []


class Forest(TypedDict):
    tree: Tree


def test_a_type_that_holds_itself_is_no_endless_search() -> None:
    assert {name for _, name in Schema(Forest).classes()} == {"InputFile", "Tree"}
