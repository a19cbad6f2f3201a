"""Extraction by rule from what the pages say. What is not sure stays None, and a note says why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from nodes.invoice.findings import Finding
from nodes.invoice.labels import AMOUNTS, CURRENCY, DATE, DUE_DATE, EXEMPT, NUMBER, TAX_LINE
from nodes.invoice.notation import DATE as DATE_NOTATION
from nodes.invoice.notation import amount, day_order
from nodes.invoice.parties import parties
from nodes.invoice.reading import Candidates, first_tier, identifier, leading_date, sole_amount
from nodes.invoice.title import Title, titles
from tools.ledger import Invoice, TaxShare

_CODES: Final = "EUR USD CHF GBP JPY CAD AUD SEK NOK DKK PLN CZK HUF CNY"
_SYMBOLS: Final = {"€": "EUR", "£": "GBP"}
_MONEY: Final = re.compile(rf"({'|'.join(_CODES.split())}|[€£$])\s?-?\d|\d[\d.,']*\s?-?({'|'.join(_CODES.split())}|[€£$])(?!\w)")


@dataclass(frozen=True)
class Extraction:
    """What the pages say: the invoice with None for what is not sure, why, and whether the page names its type code."""

    invoice: Invoice
    notes: tuple[Finding, ...]
    coded: bool


class _Fields:
    """The fields found so far, and a note for each that could not be settled."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.notes: list[Finding] = []

    def take(self, candidates: Candidates[Any]) -> None:
        value, note = candidates.settle()
        if value is not None:
            self.values[candidates.name] = value
        if note is not None:
            self.notes.append(note)

    def amount(self, name: str) -> Decimal | None:
        found = self.values.get(name)
        return found if isinstance(found, Decimal) else None

    def doubted(self, name: str) -> bool:
        return any(note.code == f"ambiguous.{name}" for note in self.notes)


def extract_text(text: str) -> Extraction:
    """Reads an invoice from the text of its pages."""
    lines = text.split("\n")
    fields = _Fields()
    found = titles(lines)
    _take_kind(fields, found)
    _take_number(fields, lines, found)
    _take_dates(fields, lines, found)
    for candidates in parties(lines):
        fields.take(candidates)
    _take_currency(fields, lines)
    _take_amounts(fields, lines)
    _derive(fields, text)
    values = fields.values
    coded = "type_code" in values
    if values.get("kind") == "invoice" and not coded:
        values["type_code"] = "380"
    return Extraction(invoice=Invoice(**values), notes=tuple(fields.notes), coded=coded)


def _take_kind(fields: _Fields, found: Sequence[Title]) -> None:
    kinds: Candidates[str] = Candidates("kind")
    for title in found:
        if title.kind:
            kinds.add(title.kind, title.line)
    fields.take(kinds)
    codes = {title.code for title in found if title.code}
    if len(codes) == 1 and not fields.notes:
        fields.values["type_code"] = codes.pop()


def _take_number(fields: _Fields, lines: Sequence[str], found: Sequence[Title]) -> None:
    numbers = first_tier("number", lines, NUMBER, identifier)
    for title in found:
        for number in title.numbers:
            numbers.add(number, title.line)
    fields.take(numbers)


def _take_dates(fields: _Fields, lines: Sequence[str], found: Sequence[Title]) -> None:
    read = leading_date(day_order("\n".join(lines)))
    dated = first_tier("date", lines, DATE[:1], read)
    for title in found:
        for written in DATE_NOTATION.finditer(title.line):
            for day in read(written[0]):
                dated.add(day, title.line)
    fields.take(dated if dated.found else first_tier("date", lines, DATE[1:], read))
    fields.take(first_tier("due_date", lines, DUE_DATE, read))


def _take_currency(fields: _Fields, lines: Sequence[str]) -> None:
    def read(rest: str) -> list[str | None]:
        code = rest.split(maxsplit=1)[0].strip(".,;()") if rest.split() else ""
        return [code] if code in _CODES.split() else []

    named = first_tier("currency", lines, CURRENCY, read)
    if not named.found:
        for line in lines:
            for found in _MONEY.finditer(line):
                sign = found[1] or found[2]
                named.add(_SYMBOLS.get(sign, None if sign == "$" else sign), line)
        codes = {code for code in named.found if code}
        if len(codes) == 1 and None in named.found and codes <= {"USD", "CAD", "AUD"}:
            named = Candidates("currency", list(codes), named.quotes[:1])
    fields.take(Candidates("currency", named.found, list(dict.fromkeys(named.quotes))[:3]))


def _take_amounts(fields: _Fields, lines: Sequence[str]) -> None:
    for name, tiers in AMOUNTS.items():
        fields.take(first_tier(name, lines, tiers, sole_amount))
    shares, added, clear = _tax_lines(lines)
    fields.values["taxes"] = shares
    if fields.amount("tax") is not None or fields.doubted("tax"):
        return
    if not clear:
        fields.notes.append(Finding(code="ambiguous.tax", text="tax: the page has several tax lines that do not fit each other"))
    elif added is not None:
        fields.values["tax"] = added


def _tax_lines(lines: Sequence[str]) -> tuple[tuple[TaxShare, ...], Decimal | None, bool]:
    """The taxes by rate, the tax that is printed without a rate, and whether there is only one way to read them."""
    shares: dict[Decimal, TaxShare] = {}
    plain: set[Decimal] = set()
    clear = True
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        found = TAX_LINE.match(line)
        if not found:
            continue
        printed = found["before"] or found["after"]
        stated = sole_amount(found["rest"] or (below if printed else ""))
        if not stated:
            continue
        rate = amount(printed or "")
        if stated[0] is None or (printed and rate is None):
            clear = False
        elif rate is None:
            plain.add(stated[0])
        else:
            share = TaxShare(rate=rate, basis=amount(found["basis"] or ""), amount=stated[0])
            clear = clear and shares.setdefault(rate, share) == share
    added = sum((share.amount for share in shares.values()), Decimal(0))
    clear = clear and len(plain) <= 1 and not (shares and plain - {added})
    return tuple(shares.values()), plain.pop() if plain else added if shares else None, clear


def _derive(fields: _Fields, text: str) -> None:
    """What follows from what the page says, and from that alone."""
    values, net, tax = fields.values, fields.amount("net"), fields.amount("tax")
    total, due, paid = fields.amount("total"), fields.amount("due"), fields.amount("prepaid")
    untaxed = tax is None and not fields.doubted("tax") and not values["taxes"] and EXEMPT.search(text)
    if untaxed and total is not None and net in (None, total) and not fields.doubted("net"):
        values["net"], values["tax"] = total, Decimal(0)
        net, tax = total, Decimal(0)
    if total is None and paid is None and not fields.doubted("total") and None not in (net, tax, due) and net + tax == due:  # type: ignore[operator]
        values["total"] = total = due
    if total is not None and due is None and paid is None and not more_to_know(text):
        values["due"], values["prepaid"] = total, Decimal(0)
    elif total is not None and due is not None and not fields.doubted("prepaid"):
        # A payment is printed with either sign (-50,00 below the total, or 50,00 beside it): the amount due tells which is meant.
        if abs(total - due) == abs(paid or Decimal(0)):
            values["prepaid"] = total - due
        elif paid is None:
            values.pop("prepaid", None)


def more_to_know(text: str) -> bool:
    """Whether the page speaks of a payment or of an amount due that was not understood: then the total may not be what is owed."""
    tiers = [*AMOUNTS["prepaid"], *AMOUNTS["due"]]
    behind = (line[found.end() :] for line in text.split("\n") for tier in tiers for found in tier.finditer(line))
    return any(re.search(r"\d[.,]\d{2}(?!\d)", rest) for rest in behind)
