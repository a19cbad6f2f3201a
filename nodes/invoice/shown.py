"""What can be seen on the pages: a value that comes from elsewhere (the XML, a model) counts only where the document shows it."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal
from typing import Final

from nodes.invoice.labels import EXEMPT
from nodes.invoice.notation import DATE, amounts, dates, day_order
from nodes.invoice.text import more_to_know

SHOWN: Final = ("number", "date", "due_date", "seller", "buyer", "currency", "net", "tax", "total", "prepaid", "due")
"""The fields of an invoice that its pages print. Its kind is read from its title alone, by rule: it decides who owes whom."""

_SIGNS: Final = {"EUR": "€", "GBP": "£", "USD": "$"}

_PARTS: Final = re.compile(r"[,;:|·•●]|\s{2,}|\s[-–—]\s")
"""What a line puts between a name and what else it says."""


def is_shown(name: str, value: object, text: str) -> bool:
    """Whether a value can be seen on the pages, in any notation; an amount of nothing need not be printed."""
    if isinstance(value, datetime.date):
        order = day_order(text)
        return value in set(dates(text, order)) or any(f"{value:%d/%m/%Y}" == written[0] for written in DATE.finditer(text))
    if isinstance(value, Decimal):
        return value == 0 or abs(value) in {abs(seen) for seen in amounts(text) if seen is not None}
    if name == "currency":
        return str(value) in text or _SIGNS.get(str(value), "\0") in text
    words = same(str(value))
    return bool(words) and re.search(rf"(?<!\w){re.escape(words)}(?!\w)", same(text)) is not None


def same(text: str) -> str:
    """What is the same for texts that differ in case and spacing only."""
    return " ".join(text.casefold().split())


def is_borne_out(name: str, value: object, text: str) -> bool:
    """As `is_shown`, where nobody but the pages speaks for a value: a whole name, a whole number; and nothing is owed only if they do not say otherwise."""
    if name in ("seller", "buyer"):
        return same(str(value)) in {same(part) for line in text.split("\n") for part in _PARTS.split(line)}
    if name == "number":
        return re.search(rf"(?<![\w./-]){re.escape(str(value))}(?![\w/-]|\.\w)", text) is not None
    if value != 0:
        return is_shown(name, value, text)
    if name == "prepaid":
        return not more_to_know(text)
    return Decimal(0) in amounts(text) or (name == "tax" and EXEMPT.search(text) is not None)
