"""How this project speaks to the ledger: two effects, both repeatable under their idempotency key. Errors: see `tools/calling.py`."""

from __future__ import annotations

from typing import Final

from pointsman import tool
from tools.calling import Line
from tools.ledger.invoice import Claim, Invoice, Receipt, Registration

TIMEOUT: Final = 10.0
"""Seconds after which a call counts as unanswered."""

_LEDGER: Final = Line("the ledger", "LEDGER_URL", "ledger", "tools.ledger.service", TIMEOUT)


@tool(effect="write", sinks=("claim",), key="key", timeout=TIMEOUT)
async def register_invoice(claim: Claim, key: str) -> Registration:
    """Claims a document's content at the ledger, so that no second document with the same content is posted.

    Of any number of concurrent claims on one content exactly one gets `yours`; the document that holds it always does.
    """
    return await send_claim(claim, key)


@tool(effect="write", sinks=("invoice",), key="key", timeout=TIMEOUT)
async def post_invoice(invoice: Invoice, key: str) -> Receipt:
    """Posts an invoice to the ledger, once per key."""
    return await send_invoice(invoice, key)


async def send_claim(claim: Claim, key: str) -> Registration:
    """What `register_invoice` does, without the gateway."""
    return await _LEDGER.post("/claims", claim, key, Registration)


async def send_invoice(invoice: Invoice, key: str) -> Receipt:
    """What `post_invoice` does, without the gateway."""
    return await _LEDGER.post("/invoices", invoice, key, Receipt)
