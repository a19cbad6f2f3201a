from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pointsman.evaluation.scorer import by_field, exact, schema, span_overlap
from pointsman.evaluation.trajectory import ToolCall, any_arguments, only_arguments, trajectory


class Amount(BaseModel):
    total: Decimal
    currency: str


def test_exact_compares_canonical_forms() -> None:
    assert exact({"a": 1, "b": 2}, {"b": 2, "a": 1}).passed
    assert not exact(Decimal("1.0"), 1.0).passed
    assert exact(Decimal("1.0"), Decimal("1")).passed
    assert exact("x", "y").why == "'y' instead of 'x'"


def test_schema_names_what_does_not_fit() -> None:
    assert schema(Amount)(None, {"total": "1.5", "currency": "EUR"}).passed
    told = schema(Amount)(None, {"total": "much"})
    assert told.value == 0 and "total" in told.why and "currency" in told.why


def test_fields_are_counted_one_by_one() -> None:
    wanted = {"number": "7", "lines": [{"net": 10}, {"net": 20}], "note": "a"}
    got = {"number": "7", "lines": [{"net": 10}, {"net": 21}], "note": "b"}
    assert by_field()(wanted, got).value == pytest.approx(2 / 4)
    assert by_field(ignore=("note",))(wanted, got).value == pytest.approx(2 / 3)
    assert by_field(ignore=("note",), tolerance={"lines.1.net": 1})(wanted, got).passed
    assert "lines.1.net: 21 instead of 20" in by_field()(wanted, got).why


def test_a_field_too_many_or_too_few_is_wrong() -> None:
    assert by_field()({"a": 1}, {"a": 1, "b": 2}).value == pytest.approx(1 / 2)
    assert by_field()({"a": 1, "b": 2}, {"a": 1}).why == "b: nothing instead of 2"
    assert by_field()({}, {}).passed
    assert by_field(tolerance={"total": Decimal("0.01")})(
        Amount(total=Decimal("1.00"), currency="EUR"), Amount(total=Decimal("1.01"), currency="EUR")
    ).passed
    assert not by_field(tolerance={"a": 1})({"a": 1}, {"a": "x"}).passed


def test_spans() -> None:
    assert span_overlap([(0, 10)], [(5, 15)]).value == pytest.approx(0.5)
    assert span_overlap([], []).passed
    assert span_overlap([(0, 4)], []).value == 0
    assert span_overlap([(0, 4)], [(0, 2), (2, 4)]).passed


def calls(*names: str) -> list[ToolCall]:
    return [ToolCall(name[0], {"n": name[1:]}) for name in names]


def test_trajectories_by_order() -> None:
    expected, actual = calls("a1", "b1", "c1"), calls("b1", "a1", "c1")
    assert trajectory("exact")(expected, actual).value == 0
    assert trajectory("exact")(expected, expected).passed
    assert trajectory("in_order")(expected, actual).value == pytest.approx(2 / 3)
    assert trajectory("any")(expected, actual).passed
    assert trajectory("in_order")(expected, []).value == 0
    assert trajectory("in_order")([], []).passed
    assert trajectory("exact")(expected, actual).why == "b a c instead of a b c"


def test_trajectories_by_arguments() -> None:
    expected, actual = calls("a1", "b1"), calls("a2", "b1")
    assert trajectory()(expected, actual).value == pytest.approx(1 / 2)
    assert trajectory(arguments=any_arguments)(expected, actual).passed
    assert trajectory(arguments={"a": any_arguments})(expected, actual).passed
    assert trajectory(arguments={"b": any_arguments})(expected, actual).value == pytest.approx(1 / 2)
    assert trajectory(arguments=only_arguments("m"))([ToolCall("a", {"m": 1, "t": 2})], [ToolCall("a", {"m": 1, "t": 3})]).passed


def test_pairing_finds_the_most_pairs_where_matchers_overlap() -> None:
    near = {"a": lambda expected, actual: abs(expected["n"] - actual["n"]) <= 1}
    expected = [ToolCall("a", {"n": 1}), ToolCall("a", {"n": 2})]
    actual = [ToolCall("a", {"n": 2}), ToolCall("a", {"n": 3})]
    assert trajectory("any", arguments=near)(expected, actual).passed


@given(st.lists(st.sampled_from("abc"), max_size=6), st.lists(st.sampled_from("abc"), max_size=6))
def test_a_stricter_order_never_scores_higher(left: list[str], right: list[str]) -> None:
    values = [trajectory(order)(calls(*left), calls(*right)).value for order in ("exact", "in_order", "any")]  # type: ignore[arg-type]
    assert values == sorted(values)
    assert (values[0] == 1) == (left == right)
