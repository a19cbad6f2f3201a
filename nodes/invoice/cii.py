"""Cross Industry Invoice XML (Factur-X, ZUGFeRD 2, XRechnung): what it states, and what identifies its content.

The parser refuses document types, entities and external references, whatever they say.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from tools.ledger import Invoice, Line, TaxShare, kind_of

MAX_XML: Final = 5 * 1024 * 1024
"""Bytes of the largest XML that is parsed."""

MAX_DEPTH: Final = 64

ROOT: Final = "{urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100}CrossIndustryInvoice"
SETTLEMENT: Final = "SupplyChainTradeTransaction/ApplicableHeaderTradeSettlement"
AGREEMENT: Final = "SupplyChainTradeTransaction/ApplicableHeaderTradeAgreement"
SUMS: Final = f"{SETTLEMENT}/SpecifiedTradeSettlementHeaderMonetarySummation"
LINE_SETTLEMENT: Final = "SpecifiedLineTradeSettlement"
LINE_AMOUNT: Final = f"{LINE_SETTLEMENT}/SpecifiedTradeSettlementLineMonetarySummation/LineTotalAmount"

_DECLARED: Final = re.compile(
    r"/(TestIndicator|GuidelineSpecifiedDocumentContextParameter|ExchangedDocument/Name"
    r"|SpecifiedTradeSettlementPaymentMeans/Information|PayeeSpecifiedCreditorFinancialInstitution/Name)(/|$)"
)
"""What an XML says about itself or says in words beside a code: it may differ between two copies of one invoice."""


class Unreadable(Exception):
    """The XML cannot be read as an invoice; its text says why."""


class Hostile(Exception):
    """The XML or the document is built to harm its reader; its text says how."""


def parse(content: bytes) -> Element:
    """The root of a CII document. Raises `Hostile` or `Unreadable`."""
    if len(content) > MAX_XML:
        raise Hostile(f"the XML has {len(content)} bytes; at most {MAX_XML} are read")
    try:
        root: Element = fromstring(content, forbid_dtd=True)
    except DefusedXmlException as error:
        raise Hostile(f"the XML declares a document type or entities, which no invoice needs ({type(error).__name__})") from error
    except (ParseError, ValueError, LookupError) as error:
        raise Unreadable(f"the XML is not well-formed: {error}") from error
    if root.tag != ROOT:
        raise Unreadable(f"the XML is no Cross Industry Invoice: its root element is {root.tag}")
    for depth, _ in enumerate(_levels(root)):
        if depth > MAX_DEPTH:
            raise Hostile(f"the XML nests elements more than {MAX_DEPTH} deep")
    return root


def _levels(root: Element) -> Iterator[list[Element]]:
    level = [root]
    while level:
        yield level
        level = [child for element in level for child in element]


def find_all(element: Element, path: str) -> list[Element]:
    """The elements at a path of local names, whatever their namespace."""
    return element.findall("/".join(f"{{*}}{name}" for name in path.split("/")))


def words(element: Element, path: str) -> str | None:
    """The text at a path with white space normalised, None if there is none."""
    found = find_all(element, path)
    return (" ".join((found[0].text or "").split()) or None) if found else None


def decimal(element: Element, path: str = ".") -> Decimal | None:
    """The number at a path, None if there is none or it is no plain decimal number."""
    found = [element] if path == "." else find_all(element, path)
    text = (found[0].text or "").strip() if found else ""
    try:
        return Decimal(text) if re.fullmatch(r"[-+]?\d{1,18}(\.\d{1,18})?", text) else None
    except InvalidOperation:
        return None


def day(element: Element, path: str) -> datetime.date | None:
    """The date (format 102, YYYYMMDD) at a path, None if there is none."""
    text = words(element, path) or ""
    try:
        return datetime.datetime.strptime(text, "%Y%m%d").date() if re.fullmatch(r"\d{8}", text) else None
    except ValueError:
        return None


def in_currency(found: list[Element], currency: str | None) -> Element | None:
    """Of several amounts the one in the invoice's currency (an amount without one is in it)."""
    return next((amount for amount in found if amount.get("currencyID") in (None, currency)), None)


def invoice_of(root: Element) -> Invoice:
    """What a CII document states; None for what it does not state. Nothing is calculated but a missing `prepaid`, which is 0."""
    code = words(root, "ExchangedDocument/TypeCode")
    currency = words(root, f"{SETTLEMENT}/InvoiceCurrencyCode")
    tax = in_currency(find_all(root, f"{SUMS}/TaxTotalAmount"), currency)
    prepaid = decimal(root, f"{SUMS}/TotalPrepaidAmount")
    return Invoice(
        number=words(root, "ExchangedDocument/ID"),
        kind=kind_of(code) if code else None,
        type_code=code,
        date=day(root, "ExchangedDocument/IssueDateTime/DateTimeString"),
        due_date=day(root, f"{SETTLEMENT}/SpecifiedTradePaymentTerms/DueDateDateTime/DateTimeString"),
        seller=words(root, f"{AGREEMENT}/SellerTradeParty/Name"),
        buyer=words(root, f"{AGREEMENT}/BuyerTradeParty/Name"),
        currency=currency,
        net=decimal(root, f"{SUMS}/TaxBasisTotalAmount"),
        tax=None if tax is None else decimal(tax),
        total=decimal(root, f"{SUMS}/GrandTotalAmount"),
        prepaid=Decimal(0) if prepaid is None else prepaid,
        rounding=decimal(root, f"{SUMS}/RoundingAmount") or Decimal(0),
        due=decimal(root, f"{SUMS}/DuePayableAmount"),
        taxes=tuple(_shares(root)),
        lines=tuple(_lines(root)),
    )


def _shares(root: Element) -> Iterator[TaxShare]:
    for share in find_all(root, f"{SETTLEMENT}/ApplicableTradeTax"):
        tax = decimal(share, "CalculatedAmount")
        rate = decimal(share, "RateApplicablePercent")
        if tax is not None:
            yield TaxShare(rate=rate or Decimal(0), basis=decimal(share, "BasisAmount"), amount=tax)


def _lines(root: Element) -> Iterator[Line]:
    for line in find_all(root, "SupplyChainTradeTransaction/IncludedSupplyChainTradeLineItem"):
        net = decimal(line, LINE_AMOUNT)
        if net is not None:
            yield Line(
                name=words(line, "SpecifiedTradeProduct/Name") or "",
                quantity=decimal(line, "SpecifiedLineTradeDelivery/BilledQuantity"),
                price=decimal(line, "SpecifiedLineTradeAgreement/NetPriceProductTradePrice/ChargeAmount"),
                amount=net,
            )


def digest(root: Element) -> str:
    """SHA-256 of what a CII document states, the same for every spelling of it.

    White space, comments, namespaces' prefixes, trailing zeros, amounts of zero and the declared profile do not count;
    every party, address, date, amount and reference does.
    """
    sha = hashlib.sha256()
    for path, text, attributes in _leaves(root):
        if not _DECLARED.search(path):
            sha.update(f"{path}\t{text}\t{attributes}\n".encode())
    return sha.hexdigest()


def _leaves(root: Element) -> Iterator[tuple[str, str, str]]:
    waiting = [(root, "")]
    while waiting:
        element, above = waiting.pop()
        path = f"{above}/{element.tag.rpartition('}')[2]}"
        text = " ".join((element.text or "").split())
        if text and path.endswith(("Amount", "Quantity", "Percent")):
            number = decimal(element)
            text = text if number is None else format(number.normalize(), "f") if number else ""
        if text:
            yield path, text, str(sorted(element.attrib.items()))
        waiting.extend((child, path) for child in reversed(element))
