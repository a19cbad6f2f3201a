"""What is known of a refund, and the rule that reads a message."""

import re
from decimal import Decimal

from typing_extensions import TypedDict

from tools.till import Refund


class RefundState(TypedDict, total=False):
    """The fields of one run: what comes in, what is found out, what was done."""

    message: str
    refund: Refund
    receipt: str


def read_message(state: RefundState) -> RefundState:
    """The order and the amount, where the message names exactly one of each; else nothing."""
    message = state.get("message", "")
    orders = set(re.findall(r"\b[A-Z]-\d+\b", message))
    amounts = set(re.findall(r"(?<![\d.,-])\d{1,6}\.\d{2}(?![\d.,]*\d)", message))
    if len(orders) != 1 or len(amounts) != 1:
        return {}
    return {"refund": Refund(order=orders.pop(), amount=Decimal(amounts.pop()))}
