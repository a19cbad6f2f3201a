"""What people type into options: read as what they meant, or refused before anything is done."""

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pointsman.cli.given import a_patch, a_result, a_typed, a_value, an_input
from pointsman.errors import BadInput


def test_an_input_is_json_a_file_of_it_or_what_comes_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{"path": "a.pdf", "total": 1.10}'
    file = tmp_path / "input.json"
    file.write_text(text)
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    for given in (text, str(file), "-"):
        assert an_input(given) == {"path": "a.pdf", "total": Decimal("1.10")}


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("no-such-file.json", "neither JSON nor a readable file"),
        ("[1]", "no JSON object"),
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": ', "is not JSON"),
    ],
)
def test_another_input_is_refused_and_no_run_was_started(given: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        an_input(given)
    assert refused.value.undone == "no run was started"


def test_a_name_that_is_given_twice_is_refused_whatever_it_is_typed_for() -> None:
    twice = '{"a": {"b": 1, "c": 2, "b": 3}}'
    for read in (
        an_input,
        a_value,
        a_result,
        lambda text: a_typed(text, text=False),
        lambda text: a_patch([f"note={text}"], {"note": "x"}),
    ):
        with pytest.raises(BadInput, match="gives 'b' twice"):
            read(twice)


def test_a_value_is_json_a_file_of_it_or_what_comes_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "value.json"
    file.write_text('"ACME"')
    monkeypatch.setattr("sys.stdin", io.StringIO('"ACME"'))
    for given in ('"ACME"', str(file), "-"):
        assert a_value(given) == "ACME"
    with pytest.raises(BadInput, match="neither JSON nor a readable file") as refused:
        a_value("ACME")
    assert "still open" in refused.value.undone


def test_a_result_is_json_or_not_given() -> None:
    assert (a_result(None), a_result('{"id": 7}')) == (None, {"id": 7})
    with pytest.raises(BadInput, match="--result is not JSON"):
        a_result("done")


@pytest.mark.parametrize(
    ("typed", "text", "meant"), [("12", False, 12), ("12", True, "12"), ("1.5", False, Decimal("1.5")), ("ACME", False, "ACME")]
)
def test_what_is_typed_into_a_field(typed: str, text: bool, meant: Any) -> None:
    assert a_typed(typed, text=text) == meant


PRESENT = {"invoice": {"number": "7", "lines": [{"net": {"$decimal": "1.5"}}, {"net": {"$decimal": "2"}}]}, "note": "old", "count": 3}


@pytest.mark.parametrize(
    ("assignment", "patch"),
    [
        ("count=4", {"count": 4}),
        ("note=new", {"note": "new"}),
        ("note=12", {"note": "12"}),  # a text stands there: it stays one
        ("fresh=[1]", {"fresh": [1]}),
        ("invoice.number=8", {"invoice": {"number": "8", "lines": [{"net": Decimal("1.5")}, {"net": Decimal(2)}]}}),
        ("invoice.lines.1.net=2.5", {"invoice": {"number": "7", "lines": [{"net": Decimal("1.5")}, {"net": Decimal("2.5")}]}}),
    ],
)
def test_a_patch_lays_what_was_typed_over_what_stands(assignment: str, patch: dict[str, Any]) -> None:
    assert a_patch([assignment], PRESENT) == patch


def test_two_assignments_to_one_field_are_both_in_its_patch() -> None:
    patch = a_patch(["invoice.number=8", "invoice.lines.0.net=9"], PRESENT)
    assert patch["invoice"] == {"number": "8", "lines": [{"net": 9}, {"net": Decimal(2)}]}


@pytest.mark.parametrize(
    ("assignment", "why"),
    [
        ("count", "says no value"),
        ("=4", "says no value"),
        ("fresh.inner=1", "no value of 'fresh' is on record"),
        ("invoice.seller=X", "invoice has no 'seller'"),
        ("invoice.lines.2.net=1", "invoice.lines has no item '2'"),
        ("invoice.lines.first.net=1", "invoice.lines has no item 'first'"),
        ("count.inner=1", "count has nothing inside it"),
    ],
)
def test_a_patch_that_fits_nowhere_is_refused_with_what_would_fit(assignment: str, why: str) -> None:
    with pytest.raises(BadInput, match=why) as refused:
        a_patch([assignment], PRESENT)
    assert refused.value.remedy
