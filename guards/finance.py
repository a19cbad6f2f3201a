"""What the invoice workflow may do, what it may cost, and who decides where it may not do it alone."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import reduce
from operator import or_
from typing import Final

from pointsman import Limits, Policy, Price, allow, arg, ask
from pointsman.policy import Condition
from tools.archive import file_document
from tools.ledger import post_invoice, register_invoice

CEILINGS: Final = {"EUR": Decimal(5000), "CHF": Decimal(5000), "USD": Decimal(5500), "GBP": Decimal(4500)}
"""Up to these amounts, either way, an invoice that has passed the check is posted without asking. In any other currency a controller is asked."""


def _below(currency: str, ceiling: Decimal) -> Condition:
    """Neither the total nor what is due is above the ceiling, whichever side owes it."""
    invoice, total, due = arg("invoice.currency") == currency, arg("invoice.total"), arg("invoice.due")
    return invoice & (total <= ceiling) & (total >= -ceiling) & (due <= ceiling) & (due >= -ceiling)


within: Final = reduce(or_, (_below(currency, ceiling) for currency, ceiling in CEILINGS.items()))

policy = Policy(
    allow(register_invoice, name="claim-content"),
    allow(post_invoice, when=within, name="post-within-ceiling"),
    # Not whoever typed or changed a value of it. A claim with --as is enough here: see guards/roles.toml, and known_by=.
    ask(post_invoice, when=~within, role="controller", not_by=("editor",), expires=timedelta(days=14), name="post-above-ceiling"),
    allow(file_document, name="archive-posted"),
    version="2026-11",
)
"""Every effect of the workflow by name; whatever is not named is denied. The model that `interpret` names may be asked; it changes nothing."""

limits = Limits(tool_calls=12, model_calls=8, tokens=100_000, usd=0.25, approvals=6, seconds=120)
"""Of one document: three effects and one reading, each with room for a few tries; a clerk three times, a controller three times."""

prices = {"openai:recorded-answers": Price(input=0, output=0)}
"""Recorded answers cost nothing. A model without a list price needs a line here: with a cap on money it is not asked otherwise."""
