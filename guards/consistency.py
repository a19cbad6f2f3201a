"""Consistency: what is posted is looked at once more in the call itself, since an edited call and a patched state do not pass the check again."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from pointsman.guard import Ask, Deny, guard
from tools.ledger import Invoice, kind_of, missing


@guard(on="arguments", calls=("post_invoice",))
def consistent(invoice: Invoice) -> Ask | Deny | None:
    """Deny an invoice that lacks a required field; ask a controller who has put no value into it where it contradicts itself."""
    if lacking := missing(invoice):
        return Deny(f"it lacks {', '.join(lacking)}")
    odd = "; ".join(_contradictions(invoice))
    return Ask(f"it contradicts itself: {odd}", role="controller", not_by=("editor",)) if odd else None


def _contradictions(invoice: Invoice) -> Iterator[str]:
    """What in a complete invoice cannot be true together, whoever says so."""
    total, due, prepaid = (amount or Decimal(0) for amount in (invoice.total, invoice.due, invoice.prepaid))
    if (expected := (invoice.net or Decimal(0)) + (invoice.tax or Decimal(0))) != total:
        yield f"net {invoice.net} + tax {invoice.tax} = {expected}, and not the total {total}"
    if (expected := total - prepaid + invoice.rounding) != due:
        yield f"total {total} - prepaid {prepaid} + rounding {invoice.rounding} = {expected}, and not {due}, which is due"
    if invoice.taxes and (added := sum((share.amount for share in invoice.taxes), Decimal(0))) != invoice.tax and -added != invoice.tax:
        yield f"the taxes by rate add up to {added}, and not to {invoice.tax}"
    if kind_of(invoice.type_code or "") != invoice.kind:
        yield f"type code {invoice.type_code} does not stand for a document of kind {invoice.kind}"
    if invoice.date and invoice.due_date and invoice.due_date < invoice.date:
        yield f"payment is due on {invoice.due_date}, before its date {invoice.date}"
