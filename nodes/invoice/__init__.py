"""The invoice workflow's functions, in the order of its graph: read, extract, (interpret), check, (register), judge, (post, archive)."""

from __future__ import annotations

from nodes.invoice.check import check_invoice, judge_claim
from nodes.invoice.document import read_document
from nodes.invoice.extract import extract_by_rule
from nodes.invoice.findings import Finding
from nodes.invoice.interpret import unread
from nodes.invoice.state import Draft, Embedded, InvoiceState, Reading

__all__ = [
    "Draft",
    "Embedded",
    "Finding",
    "InvoiceState",
    "Reading",
    "check_invoice",
    "extract_by_rule",
    "judge_claim",
    "read_document",
    "unread",
]
