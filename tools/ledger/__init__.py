"""The ledger: an outside system that takes invoices, in a process of its own (`python -m tools.ledger.service`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tools.ledger.invoice import Claim, Invoice, Kind, Line, Receipt, Registration, TaxShare, kind_of, missing

if TYPE_CHECKING:
    from tools.ledger.client import post_invoice, register_invoice

__all__ = [
    "Claim",
    "Invoice",
    "Kind",
    "Line",
    "Receipt",
    "Registration",
    "TaxShare",
    "kind_of",
    "missing",
    "post_invoice",
    "register_invoice",
]


def __getattr__(name: str) -> Any:
    # The service shares this package, and must not load the whole runtime to answer: the tools are loaded when asked for.
    if name in __all__:
        from tools.ledger import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
