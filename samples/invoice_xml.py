"""The Cross Industry Invoice XML of a sample (EN 16931 profile), and a PDF that carries it."""

from __future__ import annotations

import io
from decimal import Decimal
from xml.sax.saxutils import escape

from pypdf import PdfReader, PdfWriter

from samples.invoice_layouts import Paper

_URN = "urn:un:unece:uncefact:data:standard"
_HEAD = f"""<?xml version="1.0" encoding="UTF-8"?>
<rsm:CrossIndustryInvoice xmlns:rsm="{_URN}:CrossIndustryInvoice:100" xmlns:udt="{_URN}:UnqualifiedDataType:100"
  xmlns:ram="{_URN}:ReusableAggregateBusinessInformationEntity:100">
"""


def cii(paper: Paper, number: str, date: str, due: str, code: str = "380") -> bytes:
    """The XML of a paper. Dates as YYYYMMDD; the parties' last lines are a postcode and a town, and a VAT number."""
    paid = Decimal(paper.prepaid or 0)
    settlement = "".join(_tax(rate, basis, tax) for rate, basis, tax in paper.taxes)
    sums = {
        "LineTotalAmount": paper.net,
        "TaxBasisTotalAmount": paper.net,
        f'TaxTotalAmount currencyID="{paper.currency}"': paper.tax,
        "GrandTotalAmount": paper.total,
        "TotalPrepaidAmount": paid,
        "DuePayableAmount": paper.total - paid,
    }
    summed = "".join(f"<ram:{name}>{value}</ram:{name.split()[0]}>" for name, value in sums.items())
    text = f"""{_HEAD}  <rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter>
    <ram:ID>urn:cen.eu:en16931:2017</ram:ID>
  </ram:GuidelineSpecifiedDocumentContextParameter></rsm:ExchangedDocumentContext>
  <rsm:ExchangedDocument><ram:ID>{escape(number)}</ram:ID><ram:TypeCode>{code}</ram:TypeCode>
    <ram:IssueDateTime>{_day(date)}</ram:IssueDateTime></rsm:ExchangedDocument>
  <rsm:SupplyChainTradeTransaction>{"".join(_line(place, paper) for place in range(len(paper.items)))}
    <ram:ApplicableHeaderTradeAgreement>{_party("Seller", paper.seller)}{_party("Buyer", paper.buyer)}
    </ram:ApplicableHeaderTradeAgreement>
    <ram:ApplicableHeaderTradeDelivery><ram:ActualDeliverySupplyChainEvent>
      <ram:OccurrenceDateTime>{_day(date)}</ram:OccurrenceDateTime>
    </ram:ActualDeliverySupplyChainEvent></ram:ApplicableHeaderTradeDelivery>
    <ram:ApplicableHeaderTradeSettlement><ram:InvoiceCurrencyCode>{paper.currency}</ram:InvoiceCurrencyCode>{settlement}
      <ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime>{_day(due)}</ram:DueDateDateTime></ram:SpecifiedTradePaymentTerms>
      <ram:SpecifiedTradeSettlementHeaderMonetarySummation>{summed}</ram:SpecifiedTradeSettlementHeaderMonetarySummation>
    </ram:ApplicableHeaderTradeSettlement>
  </rsm:SupplyChainTradeTransaction>
</rsm:CrossIndustryInvoice>
"""
    return text.encode()


def attach(pdf: bytes, xml: bytes, name: str = "factur-x.xml") -> bytes:
    """A PDF that carries an XML, the same bytes each time."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf)))
    writer.add_attachment(name, xml)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def _day(date: str) -> str:
    return f'<udt:DateTimeString format="102">{date}</udt:DateTimeString>'


def _tax(rate: str, basis: Decimal, tax: Decimal) -> str:
    return f"""
      <ram:ApplicableTradeTax><ram:CalculatedAmount>{tax}</ram:CalculatedAmount><ram:TypeCode>VAT</ram:TypeCode>
        <ram:BasisAmount>{basis}</ram:BasisAmount><ram:CategoryCode>S</ram:CategoryCode>
        <ram:RateApplicablePercent>{rate}</ram:RateApplicablePercent></ram:ApplicableTradeTax>"""


def _party(role: str, lines: tuple[str, ...]) -> str:
    postcode, _, town = lines[2].partition(" ")
    vat = (
        ""
        if role == "Buyer"
        else (f'<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">{lines[3].rpartition(" ")[2]}</ram:ID></ram:SpecifiedTaxRegistration>')
    )
    return f"""
      <ram:{role}TradeParty><ram:Name>{escape(lines[0])}</ram:Name><ram:PostalTradeAddress>
        <ram:PostcodeCode>{postcode}</ram:PostcodeCode><ram:LineOne>{escape(lines[1])}</ram:LineOne>
        <ram:CityName>{escape(town)}</ram:CityName><ram:CountryID>DE</ram:CountryID></ram:PostalTradeAddress>{vat}</ram:{role}TradeParty>"""


def _line(place: int, paper: Paper) -> str:
    item = paper.items[place]
    return f"""
    <ram:IncludedSupplyChainTradeLineItem>
      <ram:AssociatedDocumentLineDocument><ram:LineID>{place + 1}</ram:LineID></ram:AssociatedDocumentLineDocument>
      <ram:SpecifiedTradeProduct><ram:Name>{escape(item.name)}</ram:Name></ram:SpecifiedTradeProduct>
      <ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice><ram:ChargeAmount>{item.price}</ram:ChargeAmount>
      </ram:NetPriceProductTradePrice></ram:SpecifiedLineTradeAgreement>
      <ram:SpecifiedLineTradeDelivery><ram:BilledQuantity unitCode="C62">{item.quantity}</ram:BilledQuantity></ram:SpecifiedLineTradeDelivery>
      <ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax><ram:TypeCode>VAT</ram:TypeCode>
        <ram:CategoryCode>S</ram:CategoryCode><ram:RateApplicablePercent>{item.rate}</ram:RateApplicablePercent></ram:ApplicableTradeTax>
        <ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>{item.net}</ram:LineTotalAmount>
        </ram:SpecifiedTradeSettlementLineMonetarySummation></ram:SpecifiedLineTradeSettlement>
    </ram:IncludedSupplyChainTradeLineItem>"""
