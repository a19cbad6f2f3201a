"""Extraction: what the pages say, completed by what the XML says of the same page; or that this is no invoice."""

from __future__ import annotations

from typing import Any, Final

from nodes.invoice.findings import Finding
from nodes.invoice.shown import SHOWN, is_shown
from nodes.invoice.state import Draft, Embedded, InvoiceState
from nodes.invoice.text import Extraction, extract_text
from nodes.invoice.title import other_title, titles
from tools.ledger import Invoice

FEW: Final = 200
"""Characters of text below which a page with pictures is taken for a scan (a scanner may add a line of its own)."""


def extract_by_rule(state: InvoiceState) -> InvoiceState:
    """Reads the fields by rule: writes `draft` and `notes`, or `reason` if the document is no invoice.

    A field stays None if the document does not say it, or can be read in two ways.
    """
    text, embedded = state.get("text", ""), state.get("embedded")
    readable = embedded if embedded and embedded.digest else None
    if len(text.strip()) < FEW and state.get("images", 0) and readable is None and not titles(text.split("\n")):
        scan = f"the pages are {state.get('images', 0)} picture(s) without a text layer; a person has to type the fields"
        return _drafted(Invoice(), Finding(code="scan", text=scan))
    if not text.strip():
        if readable:
            return _drafted(readable.invoice)
        if embedded is None:
            return {"reason": "the document shows nothing: no text, no picture and no XML"}
    found = extract_text(text)
    if embedded is None and (why := _no_invoice(text, found)):
        return {"reason": why}
    return _drafted(found.invoice if readable is None else _completed(found, readable, text), *found.notes)


def _drafted(invoice: Invoice, *notes: Finding) -> InvoiceState:
    return {"draft": Draft(invoice=invoice), "notes": notes}


def _no_invoice(text: str, found: Extraction) -> str | None:
    if title := other_title(text.split("\n")):
        return f"the document is no invoice: its title is “{title}”"
    known = found.invoice
    if found.invoice.type_code == "325":
        return "the document is a pro forma invoice, which asks for no payment"
    if titles(text.split("\n")) or known.number or known.total is not None:
        return None
    return "the document is no invoice: its pages have no such title, no invoice number and no total"


def _completed(found: Extraction, embedded: Embedded, text: str) -> Invoice:
    """Fills what the pages did not tell from the XML, but only with what can be seen on them."""
    page, data = found.invoice, embedded.invoice
    fill: dict[str, Any] = {"lines": data.lines, "taxes": page.taxes or data.taxes, "rounding": data.rounding}
    for name in SHOWN:
        value = getattr(data, name)
        if getattr(page, name) is None and value is not None and is_shown(name, value, text):
            fill[name] = value
    if page.prepaid is None and None not in (page.total, page.due) and data.prepaid == page.total - page.due:  # type: ignore[operator]
        fill["prepaid"] = data.prepaid
    if page.kind is None:
        fill |= {"kind": data.kind, "type_code": data.type_code}
    elif not found.coded and page.kind == data.kind:
        fill["type_code"] = data.type_code
    return page.model_copy(update=fill)
