"""Extraction: what the pages say, completed by what the XML says of the same page; or that this is no invoice."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Any, Final

from nodes.invoice.findings import Finding
from nodes.invoice.notation import DATE, amounts, dates, day_order
from nodes.invoice.state import Embedded, InvoiceState
from nodes.invoice.text import Extraction, extract_text
from nodes.invoice.title import other_title, titles
from tools.ledger import Invoice

FEW: Final = 200
"""Characters of text below which a page with pictures is taken for a scan (a scanner may add a line of its own)."""

_FILLED: Final = ("number", "date", "due_date", "seller", "buyer", "currency", "net", "tax", "total", "prepaid", "due")
_SIGNS: Final = {"EUR": "€", "GBP": "£", "USD": "$"}


def extract_by_rule(state: InvoiceState) -> InvoiceState:
    """Reads the fields by rule: writes `invoice` and `notes`, or `reason` if the document is no invoice.

    A field stays None if the document does not say it, or can be read in two ways.
    """
    text, embedded = state.get("text", ""), state.get("embedded")
    readable = embedded if embedded and embedded.digest else None
    if len(text.strip()) < FEW and state.get("images", 0) and readable is None and not titles(text.split("\n")):
        scan = f"the pages are {state.get('images', 0)} picture(s) without a text layer; a person has to type the fields"
        return {"invoice": Invoice(), "notes": (Finding(code="scan", text=scan),), "reason": ""}
    if not text.strip():
        if readable:
            return {"invoice": readable.invoice, "notes": (), "reason": ""}
        if embedded is None:
            return {"reason": "the document shows nothing: no text, no picture and no XML"}
    found = extract_text(text)
    if embedded is None and (why := _no_invoice(text, found)):
        return {"reason": why}
    if readable is None:
        return {"invoice": found.invoice, "notes": found.notes, "reason": ""}
    return {"invoice": _completed(found, readable, text), "notes": found.notes, "reason": ""}


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
    for name in _FILLED:
        value = getattr(data, name)
        if getattr(page, name) is None and value is not None and _shown(name, value, text):
            fill[name] = value
    if page.prepaid is None and None not in (page.total, page.due) and data.prepaid == page.total - page.due:  # type: ignore[operator]
        fill["prepaid"] = data.prepaid
    if page.kind is None:
        fill |= {"kind": data.kind, "type_code": data.type_code}
    elif not found.coded and page.kind == data.kind:
        fill["type_code"] = data.type_code
    return page.model_copy(update=fill)


def _shown(name: str, value: object, text: str) -> bool:
    """Whether a value can be seen on the pages, in any notation."""
    if isinstance(value, datetime.date):
        order = day_order(text)
        return value in set(dates(text, order)) or any(f"{value:%d/%m/%Y}" == written[0] for written in DATE.finditer(text))
    if isinstance(value, Decimal):
        return value == 0 or abs(value) in {abs(seen) for seen in amounts(text) if seen is not None}
    if name == "currency":
        return str(value) in text or _SIGNS.get(str(value), "\0") in text
    words = " ".join(str(value).casefold().split())
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", " ".join(text.casefold().split())) is not None
