"""How amounts and dates are read, and when they are not."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.invoice.notation import amount, amounts, dates, day_order


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.234,56", "1234.56"),
        ("1,234.56", "1234.56"),
        ("1'234.50", "1234.50"),
        ("1\u00a0234,56", "1234.56"),
        ("1.234.567,89", "1234567.89"),
        ("-20,48", "-20.48"),
        ("20,48-", "-20.48"),
        ("(20.48)", "-20.48"),
        ("€ 1.200,00", "1200.00"),
        ("EUR 12.00", "12.00"),
        ("- 50,00", "-50.00"),
        ("100", "100"),
        ("1200.–", "1200"),
    ],
)
def test_an_amount_is_read_in_each_notation(text: str, value: str) -> None:
    assert amount(text) == Decimal(value)


@pytest.mark.parametrize("text", ["1.234", "1,234", "1,2,3", "1,234,56", "12.3.4", "1.2.3,4", "", "abc", "12a"])
def test_what_can_be_read_in_two_ways_is_no_amount(text: str) -> None:
    assert amount(text) is None


@given(st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False))
def test_what_is_printed_is_read_again(value: Decimal) -> None:
    english = f"{value:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    assert amount(english) == amount(german) == amount(english.replace(",", "'")) == value


def test_a_rate_is_not_joined_with_the_amount_behind_it() -> None:
    assert amounts("USt 19 198,00") == [Decimal(19), Decimal("198.00")]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("05.03.2018", "2018-03-05"),
        ("5. März 2024", "2024-03-05"),
        ("March 12, 2024", "2024-03-12"),
        ("12 March 2024", "2024-03-12"),
        ("2024-03-05", "2024-03-05"),
        ("11/17/2017", "2017-11-17"),
        ("17/11/2017", "2017-11-17"),
        ("03.04.24", "2024-04-03"),
        ("1er mars 2020", "2020-03-01"),
    ],
)
def test_a_date_is_read_in_each_notation(text: str, value: str) -> None:
    assert list(dates(text)) == [datetime.date.fromisoformat(value)]


@pytest.mark.parametrize("text", ["31.02.2020", "04/05/2024", "00.01.2020", "2024-13-01"])
def test_no_day_or_two_days_is_no_date(text: str) -> None:
    assert list(dates(text)) == [None]


def test_another_date_of_the_page_tells_the_order() -> None:
    assert day_order("paid 11/17/2017, due 12/03/2017") == "month first"
    assert day_order("am 17/11/2017") == "day first"
    assert day_order("17/11/2017 and 11/17/2017") is None
    assert list(dates("11/03/2017", day_order("11/17/2017"))) == [datetime.date(2017, 11, 3)]
