"""Rules that an invoice's XML must keep: those of EN 16931 on sums and taxes, and what its profile allows.

A finding here does not say that the amounts are wrong, but that the sender's program is, so nobody should rely on it unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final
from xml.etree.ElementTree import Element

from nodes.invoice.cii import AGREEMENT, SETTLEMENT, SUMS, decimal, find_all, words
from nodes.invoice.findings import Finding
from tools.ledger import Invoice

_PROFILE: Final = re.compile(
    r"urn:(factur-x\.eu:1p0|zugferd\.de:2p0):(minimum|basicwl)"
    r"|urn:cen\.eu:en16931:2017"
    r"(#compliant#urn:(factur-x\.eu:1p0|zugferd\.de:2p0):basic"
    r"|#conformant#urn:(factur-x\.eu:1p0|zugferd\.de:2p0):extended"
    r"|#(compliant|conformant)#urn:(xoev-de:kosit:standard|xeinkauf\.de:kosit):[\w.:#-]+"
    r"|#compliant#urn:fdc:peppol\.eu:2017:poacc:billing:3\.0)?"
)
_NAMESPACE: Final = "{urn:un:unece:uncefact:data:standard:"
_MINIMUM: Final = {"InvoiceCurrencyCode", "SpecifiedTradeSettlementHeaderMonetarySummation"}
_EXEMPTIONS: Final = {"VATEX-EU-O": "O", "VATEX-EU-AE": "AE", "VATEX-EU-IC": "K", "VATEX-EU-G": "G"}
_IBAN_LENGTHS: Final = {
    "AT": 20,
    "BE": 16,
    "CH": 21,
    "DE": 22,
    "DK": 18,
    "ES": 24,
    "FI": 18,
    "FR": 27,
    "GB": 22,
    "IE": 22,
    "IT": 27,
    "LI": 21,
    "LU": 20,
    "NL": 18,
    "NO": 15,
    "PL": 28,
    "PT": 25,
    "SE": 24,
}


def problems(root: Element, invoice: Invoice) -> Iterator[Finding]:
    """Every rule that an XML breaks."""
    yield from _form(root)
    yield from _sums(root, invoice)
    yield from _taxes(root, invoice)
    yield from _payment(root)


def _form(root: Element) -> Iterator[Finding]:
    profile = words(root, "ExchangedDocumentContext/GuidelineSpecifiedDocumentContextParameter/ID")
    if profile is None or not _PROFILE.fullmatch(profile):
        yield Finding(code="xml.profile", text=f"the XML declares the profile {profile!r}, which is no published one")
    strays = sorted({element.tag for element in root.iter() if not element.tag.startswith(_NAMESPACE)})
    if strays:
        yield Finding(code="xml.namespace", text=f"the XML has elements outside the CII namespaces: {', '.join(strays)}")
    if profile and profile.endswith(":minimum"):
        below = [child.tag.rpartition("}")[2] for settlement in find_all(root, SETTLEMENT) for child in settlement]
        if extra := [name for name in below if name not in _MINIMUM]:
            yield Finding(code="xml.minimum", text=f"the XML declares the profile MINIMUM, which has no {', '.join(extra)}")


def _sums(root: Element, invoice: Invoice) -> Iterator[Finding]:
    lines = decimal(root, f"{SUMS}/LineTotalAmount")
    if lines is not None and invoice.lines:
        added = sum((line.amount for line in invoice.lines), Decimal(0))
        if added != lines:
            yield Finding(code="xml.lines", text=f"in the XML the lines add up to {added}, but their sum is given as {lines}")
    if lines is not None and invoice.net is not None:
        charges = decimal(root, f"{SUMS}/ChargeTotalAmount") or Decimal(0)
        allowances = decimal(root, f"{SUMS}/AllowanceTotalAmount") or Decimal(0)
        if lines + charges - allowances != invoice.net:
            sums = f"lines {lines} + charges {charges} - allowances {allowances}"
            yield Finding(code="xml.net", text=f"in the XML {sums} = {lines + charges - allowances}, but the net amount is {invoice.net}")


def _taxes(root: Element, invoice: Invoice) -> Iterator[Finding]:
    if invoice.taxes and invoice.tax is not None:
        added = sum((share.amount for share in invoice.taxes), Decimal(0))
        if added != invoice.tax:
            yield Finding(code="xml.tax", text=f"in the XML the taxes add up to {added}, but their sum is given as {invoice.tax}")
    for share in find_all(root, f"{SETTLEMENT}/ApplicableTradeTax"):
        code, category = words(share, "ExemptionReasonCode"), words(share, "CategoryCode")
        expected = _EXEMPTIONS.get(code or "")
        if expected and category != expected:
            text = f"in the XML the exemption {code} stands with tax category {category}; it belongs to {expected} only"
            yield Finding(code="xml.exemption", text=text)
        if category == "K":
            yield from _delivery(root)


def _delivery(root: Element) -> Iterator[Finding]:
    delivery = "SupplyChainTradeTransaction/ApplicableHeaderTradeDelivery"
    dated = words(root, f"{delivery}/ActualDeliverySupplyChainEvent/OccurrenceDateTime/DateTimeString")
    period = find_all(root, f"{SETTLEMENT}/BillingSpecifiedPeriod")
    country = words(root, f"{delivery}/ShipToTradeParty/PostalTradeAddress/CountryID")
    lacking = [] if dated or period else ["the date of delivery (BR-IC-11)"]
    lacking += [] if country else ["the country of delivery (BR-IC-12)"]
    if lacking:
        yield Finding(code="xml.delivery", text=f"the XML claims a tax-free intra-community supply without {' and '.join(lacking)}")


def _payment(root: Element) -> Iterator[Finding]:
    account = f"{SETTLEMENT}/SpecifiedTradeSettlementPaymentMeans/PayeePartyCreditorFinancialAccount/IBANID"
    for found in find_all(root, account):
        iban = "".join((found.text or "").split())
        length = _IBAN_LENGTHS.get(iban[:2])
        if length and len(iban) != length:
            yield Finding(
                code="xml.account", text=f"the XML asks for payment to {iban}: {len(iban)} characters, an IBAN of {iban[:2]} has {length}"
            )
    party = find_all(root, f"{AGREEMENT}/SellerTradeParty")
    if len(party) > 1:
        yield Finding(code="xml.seller", text="the XML names several sellers")
