"""Spending: what posting an invoice would make the house owe, held against a ceiling that no approval lifts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Final

from pointsman.guard import Ask, Deny, guard
from tools.ledger import Invoice

CEILING: Final = Decimal(50_000)
"""Above this, in whatever currency, nothing is posted by a workflow."""

TERM: Final = timedelta(days=180)
"""The longest time for payment that nobody is asked about."""


@guard(on="arguments", calls=("post_invoice",))
def affordable(invoice: Invoice) -> Ask | Deny | None:
    """Deny what is above the ceiling or has no currency; ask where the time for payment is odd."""
    amount = max(abs(invoice.total or Decimal(0)), abs(invoice.due or Decimal(0)))
    if not invoice.currency:
        return Deny("its currency is not known")
    if amount > CEILING:
        return Deny(f"{amount} {invoice.currency} is above the ceiling of {CEILING}")
    if invoice.date and invoice.due_date and not timedelta(0) <= invoice.due_date - invoice.date <= TERM:
        return Ask(f"it is dated {invoice.date} and due on {invoice.due_date}", role="controller")
    return None
