"""Amounts that a source tells: counted and paid, never less than nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any


def counted(told: Any) -> int:
    """A number of tokens. Raises `ValueError` for what is none, `TypeError`, `ArithmeticError`."""
    number = int(told)
    if number < 0:
        raise ValueError(f"{told!r} tokens")
    return number


def paid(told: Any) -> Decimal:
    """US dollars. Raises `ValueError` for what is no finite amount, `ArithmeticError`."""
    amount = Decimal(str(told))
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{told!r} US dollars")
    return amount
