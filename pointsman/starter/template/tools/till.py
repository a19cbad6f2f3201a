"""The till that refunds are paid from. A file stands for it here: put the client of your payment provider in its place."""

import sqlite3
from contextlib import closing
from decimal import Decimal

from pointsman import tool
from pointsman.home import data_folder
from pydantic import BaseModel, Field


class Refund(BaseModel):
    """Money to be paid back for one order."""

    order: str = Field(pattern=r"^[A-Z]-\d+$")
    amount: Decimal = Field(gt=0, decimal_places=2)


@tool(effect="submit", sinks=("refund",), key="key", timeout=10)
def pay_back(refund: Refund, key: str) -> str:
    """Pay a refund. The till keeps the idempotency key, so the same call pays once, however often a crash has it sent."""
    with closing(sqlite3.connect(data_folder() / "till.db")) as till, till:
        till.execute("CREATE TABLE IF NOT EXISTS paid (key TEXT PRIMARY KEY, for_order TEXT, amount TEXT)")
        till.execute("INSERT OR IGNORE INTO paid VALUES (?, ?, ?)", (key, refund.order, f"{refund.amount:.2f}"))
    return f"{refund.amount:.2f} paid back for {refund.order}"
